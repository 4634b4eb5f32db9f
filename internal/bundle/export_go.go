package bundle

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/inbuild"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// sumdbFile writes a file of a copy of a checksum database, under the name that the go command asks a module proxy for.
func (e *exporting) sumdbFile(view *View, name string) error {
	if !strings.HasPrefix(name, "sumdb/") {
		return fmt.Errorf("%s: the image %s has the file %s, which is none of a checksum database: don't use this bundle", e.b.dir, SumDBName, name)
	}
	defer e.v.progress.Done(name, 0)
	return e.copy(view, name, path.Join(exportProxy, name))
}

// sumdb writes files which say that the copies of checksum databases are asked through the proxy. It checks the written
// modules against the copy of the database whose key is known. It returns the GOSUMDB that is right for the folder.
func (e *exporting) sumdb(ctx context.Context, parts []part) (gosumdb string, err error) {
	view, err := e.b.steadyView(ctx, SumDBName)
	if err != nil {
		return "", err
	}
	defer view.Close()
	gosumdb = "off"
	name, _, _ := strings.Cut(e.Key, "+")
	for _, file := range view.Names() {
		database, ok := strings.CutSuffix(file, "/latest")
		if !ok {
			continue
		}
		if err := e.write(path.Join(exportProxy, database, "supported"), func(io.Writer) error { return nil }); err != nil {
			return "", err
		}
		if e.Key != "" && database == "sumdb/"+name {
			gosumdb = e.Key
			if name == "sum.golang.org" {
				gosumdb = name // which every go command has the key of
			}
		}
	}
	proxy, err := fs.Sub(e.root.FS(), exportProxy)
	if err != nil {
		return "", err
	}
	if len(e.v.failed) > 0 {
		return gosumdb, nil
	}
	if gosumdb != "off" {
		if err := e.v.vouchedBy(ctx, proxy, parts, e.Key); err != nil {
			return "", err
		}
	}
	e.v.unproved(parts, e.Key)
	return gosumdb, nil
}

// lists writes the lists of versions, in which the go command finds a version that isn't named, such as the latest.
// Versions of commits are in no list: https://go.dev/ref/mod#goproxy-protocol.
func (e *exporting) lists(modules []Item) error {
	versions := map[string][]string{}
	for _, i := range modules {
		if i.Kind == KindModule && !module.IsPseudoVersion(i.Version) {
			versions[i.Name] = append(versions[i.Name], i.Version)
		}
	}
	for name, list := range versions {
		escaped, err := module.EscapePath(name)
		if err != nil {
			return err
		}
		semver.Sort(list)
		err = e.write(path.Join(exportProxy, escaped, "@v", "list"), func(w io.Writer) error {
			_, err := io.WriteString(w, strings.Join(list, "\n")+"\n")
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// toolchains writes an archive of each toolchain, of the zips that were written and checked.
func (e *exporting) toolchains(ctx context.Context, items []Item) error {
	return each(ctx, items, func(i Item) error {
		m := i.toolchain().Module()
		names, err := i.files()
		if err != nil {
			return err
		}
		z, err := zip.OpenReader(filepath.Join(e.root.Name(), exportProxy, filepath.FromSlash(names[0])))
		if err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		defer z.Close()
		name := path.Join(exportToolchains, strings.TrimPrefix(m.Version, "v0.0.1-")+".tar")
		return e.write(name, func(w io.Writer) error { return writeToolchain(ctx, w, m, &z.Reader) })
	})
}

// writeToolchain writes the zip of a toolchain as a tar archive whose folder go is a GOROOT. It has no tests of Go itself.
func writeToolchain(ctx context.Context, w io.Writer, m module.Version, z *zip.Reader) error {
	t := tar.NewWriter(w)
	files := slices.SortedFunc(slices.Values(z.File), func(a, b *zip.File) int { return cmp.Compare(a.Name, b.Name) })
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		as, mode, written := inbuild.InToolchain(strings.TrimPrefix(f.Name, gomod.ToolchainPath+"@"+m.Version+"/"))
		if !written {
			continue
		}
		h := &tar.Header{Name: "go/" + as, Mode: int64(mode), Size: int64(f.UncompressedSize64), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		r, err := f.Open()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		_, err = io.Copy(t, r)
		r.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	return t.Close()
}

// env writes the settings with which the go command takes everything from the folder. Nothing in the file needs quotes,
// so that a shell can read it too.
func (e *exporting) env(gosumdb string) error {
	toolchain := "auto" // the checksum database vouches for what the go command takes then
	if gosumdb == "off" {
		toolchain = "local"
	}
	return e.write(exportEnv, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "GOPROXY=%s\nGONOPROXY=none\nGOSUMDB=%s\nGOTOOLCHAIN=%s\n", fileURL(path.Join(filepath.ToSlash(e.At), exportProxy)), gosumdb, toolchain)
		return err
	})
}

// fileURL returns the URL of a file. It escapes every character that has a meaning in a shell or in GOPROXY.
func fileURL(name string) string {
	var b strings.Builder
	b.WriteString("file://")
	for _, c := range []byte(name) {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/._-", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
