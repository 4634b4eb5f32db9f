package inbuild

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/modfetch"
)

// Names of what fetch-toolchain leaves in its folder.
const (
	toolchainZip = "toolchain.zip"
	toolchainH1  = "h1"
)

const useOtherToolchain = "choose a release that Larder has a pin for, such as " + gomod.DefaultToolchain + ", or pass the toolchain with --build-context larder-toolchain=FOLDER"

const otherToolchain = "this is another toolchain than Go's makers published"

// runFetchToolchain fetches the zip of a Go toolchain. Where Larder has no pin, the checksum database must vouch for it:
// unlike for modules there is no go.sum that could, and the unpacked files will be run.
// Flags: --version go1.26.10, --platform linux/amd64 (where it runs), --goproxy LIST, --gosumdb SETTING, --h1 PIN, --out
// DIR, which gets toolchain.zip and h1, the hash as text.
func runFetchToolchain(ctx context.Context, args []string, stdout io.Writer) error {
	flags := newFlags("fetch-toolchain")
	release := flags.String("version", "", "")
	platform := flags.String("platform", "", "")
	goproxy := flags.String("goproxy", os.Getenv("GOPROXY"), "")
	gosumdb := flags.String("gosumdb", os.Getenv("GOSUMDB"), "")
	pin := flags.String("h1", "", "")
	out := flags.String("out", "", "")
	if err := parseFlags(flags, args, "version", "platform", "goproxy", "out"); err != nil {
		return err
	}
	m, err := modfetch.ToolchainModule(*release, *platform)
	if err != nil {
		return err
	}
	what := *release + " for " + *platform
	proxies, err := modfetch.ParseList(*goproxy)
	if err != nil {
		return err
	}
	if *gosumdb == "off" && *pin == "" {
		return fmt.Errorf("%s: GOSUMDB=off, and only the checksum database can tell whether a toolchain without a pin is the real one: %s", what, useOtherToolchain)
	}
	client, _, err := newClient()
	if err != nil {
		return err
	}
	err = fill(*out, func(out *os.Root) error {
		want := modfetch.Expected{Hash: *pin, By: "its pin", Remedy: otherToolchain}
		if *pin == "" {
			if want, err = askToolchain(ctx, client, proxies, *gosumdb, m, what); err != nil {
				return err
			}
		}
		return fetchToolchain(ctx, client, proxies, m, what, want, out)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "fetched %s and checked it\n", what)
	return nil
}

// askToolchain asks the checksum database for the hash of a toolchain.
func askToolchain(ctx context.Context, c *modfetch.Client, proxies []modfetch.Entry, gosumdb string, m module.Version, what string) (want modfetch.Expected, err error) {
	db, err := modfetch.NewDatabase(ctx, c, gosumdb, proxies)
	if err != nil {
		return want, fmt.Errorf("%s: %w", what, err)
	}
	hash, err := db.Lookup(m)
	switch {
	case ctx.Err() != nil:
		return want, fmt.Errorf("fetching %s was stopped: %w", what, context.Cause(ctx))
	case errors.Is(err, fs.ErrNotExist):
		return want, fmt.Errorf("%s: the checksum database %s knows no such toolchain: is there such a release for that platform? %s", what, db.Name(), useOtherToolchain)
	case err != nil:
		return want, fmt.Errorf("%s has no pin: %w; %s", what, err, useOtherToolchain)
	}
	return modfetch.Expected{Hash: hash, By: "the checksum database " + db.Name(), Remedy: otherToolchain}, nil
}

func fetchToolchain(ctx context.Context, c *modfetch.Client, proxies []modfetch.Entry, m module.Version, what string, want modfetch.Expected, out *os.Root) error {
	name, err := versionFile(m, ".zip")
	if err != nil {
		return err
	}
	src, err := download(ctx, c, proxies, name, out, toolchainZip, modzip.MaxZipFile)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := modfetch.VerifyZip(m, filepath.Join(out.Name(), toolchainZip), src.Shown, want); err != nil {
		return fmt.Errorf("the Go toolchain %s can't be had from %s: %w: use another GOPROXY, or pass a folder that holds golang.org/toolchain with --build-context larder-toolchain=FOLDER", what, src.Shown, err)
	}
	return errors.Join(writeFile(out, toolchainH1, []byte(want.Hash), 0o644), seal(out))
}

// runUnpackToolchain unpacks a toolchain's zip after checking it, so that DIR/bin/go runs: the same tree as the go
// command makes of it on first use. Flags: --zip FILE, --h1 HASH or --h1-file FILE, --out DIR.
func runUnpackToolchain(ctx context.Context, args []string, stdout io.Writer) error {
	flags := newFlags("unpack-toolchain")
	file := flags.String("zip", "", "")
	h1 := flags.String("h1", "", "")
	h1File := flags.String("h1-file", "", "")
	out := flags.String("out", "", "")
	if err := parseFlags(flags, args, "zip", "out"); err != nil {
		return err
	}
	if (*h1 == "") == (*h1File == "") {
		return &usageError{errors.New("in-build unpack-toolchain: one of --h1 and --h1-file is needed")}
	}
	want := modfetch.Expected{Hash: *h1, By: "its pin", Remedy: "this is not the toolchain that Go's makers published; take it from another proxy, or give another file"}
	if *h1File != "" {
		data, err := os.ReadFile(*h1File)
		if err != nil {
			return fmt.Errorf("reading the toolchain's hash: %w", err)
		}
		want.Hash, want.By = strings.TrimSpace(string(data)), "the checksum database"
	}
	m, err := toolchainOf(*file)
	if err != nil {
		return err
	}
	if err := fill(*out, func(out *os.Root) error { return unpackToolchain(ctx, out, m, *file, want) }); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "checked and unpacked %s\n", m)
	return nil
}

// toolchainOf returns the module that a toolchain's zip says to be. The hash covers it, as it covers every name.
func toolchainOf(file string) (module.Version, error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return module.Version{}, fmt.Errorf("reading the toolchain's zip: %w", err)
	}
	defer z.Close()
	if len(z.File) > 0 {
		name, ok := strings.CutPrefix(z.File[0].Name, gomod.ToolchainPath+"@")
		version, _, _ := strings.Cut(name, "/")
		if ok && module.Check(gomod.ToolchainPath, version) == nil {
			return module.Version{Path: gomod.ToolchainPath, Version: version}, nil
		}
	}
	return module.Version{}, fmt.Errorf("the toolchain's zip is not one of the module %s: take it from a module proxy, the archives of go.dev are other files", gomod.ToolchainPath)
}

func unpackToolchain(ctx context.Context, out *os.Root, m module.Version, file string, want modfetch.Expected) error {
	if err := extractChecked(ctx, out, ".", m, file, want, toolchainMode); err != nil {
		return err
	}
	if err := restoreGoMods(out); err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	for _, need := range []string{"VERSION", "bin/go"} {
		if _, err := out.Stat(need); err != nil {
			return fmt.Errorf("%s: the zip is not a toolchain: it has no %s", m, need)
		}
	}
	return seal(out)
}

// toolchainMode returns a file's mode in a toolchain. A module's zip has no modes, so the go command knows by their
// names which files are run: those below bin and pkg/tool, and lib's go_OS_ARCH_exec.
func toolchainMode(name string) fs.FileMode {
	exec, _ := path.Match("go_?*_?*_exec", path.Base(name))
	if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") || strings.HasPrefix(name, "lib/") && exec {
		return 0o755
	}
	return 0o644
}

// restoreGoMods gives go.mod files their name back. A module's zip can hold one alone, at its top, so those of the
// standard library and its tools are called _go.mod there.
func restoreGoMods(out *os.Root) error {
	var names []string
	err := fs.WalkDir(out.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "_go.mod" {
			names = append(names, name)
		}
		return err
	})
	for _, name := range names {
		err = errors.Join(err, out.Rename(name, path.Join(path.Dir(name), "go.mod")))
	}
	return err
}
