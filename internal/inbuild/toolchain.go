package inbuild

import (
	"archive/zip"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/step"
)

// These are the names of the files that fetch-toolchain writes.
const (
	toolchainZip = "toolchain.zip"
	toolchainH1  = "h1"
)

const useOtherToolchain = "choose a release that Larder has a pin for, such as " + gotoolchain.Default + ", or pass the toolchain with --build-context larder-toolchain=FOLDER"

const otherToolchain = "this is another toolchain than Go's makers published"

// runFetchToolchain fetches the zip of a Go toolchain. If Larder has no pin, the checksum database must confirm the
// hash: unlike for modules, no go.sum has it, and the unpacked files will be run. The folder s.Out gets toolchain.zip
// and h1, the hash as text.
func runFetchToolchain(ctx context.Context, s *step.FetchToolchain, to output) error {
	goproxy, gosumdb := cmp.Or(s.GoProxy, os.Getenv("GOPROXY")), cmp.Or(s.GoSumDB, os.Getenv("GOSUMDB"))
	if goproxy == "" {
		return &step.UsageError{Err: errors.New("in-build fetch-toolchain: --goproxy is missing")}
	}
	m, err := modfetch.ToolchainModule(s.Version, s.Platform)
	if err != nil {
		return err
	}
	what := s.Version + " for " + s.Platform
	proxies, err := modfetch.ParseList(goproxy)
	if err != nil {
		return err
	}
	if gosumdb == "off" && s.H1 == "" {
		return fmt.Errorf("%s: GOSUMDB=off, and only the checksum database can tell whether a toolchain without a pin is the real one: %s", what, useOtherToolchain)
	}
	client, _, err := newClient()
	if err != nil {
		return err
	}
	err = fill(s.Out, func(out *os.Root) error {
		want := modfetch.Expected{Hash: s.H1, By: "its pin", Remedy: otherToolchain}
		if s.H1 == "" {
			if want, err = askToolchain(ctx, client, proxies, gosumdb, m, what); err != nil {
				return err
			}
		}
		return fetchToolchain(ctx, client, proxies, m, what, want, out)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(to.stdout, "fetched %s and checked it\n", what)
	return nil
}

// askToolchain asks the checksum database for the hash of a toolchain.
func askToolchain(ctx context.Context, c *fetch.Client, proxies []modfetch.Entry, gosumdb string, m module.Version, what string) (want modfetch.Expected, err error) {
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

func fetchToolchain(ctx context.Context, c *fetch.Client, proxies []modfetch.Entry, m module.Version, what string, want modfetch.Expected, out *os.Root) error {
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

// runUnpackToolchain unpacks a toolchain's zip and checks it at the same time, so that DIR/bin/go runs. The result is
// the tree that the go command makes on first use, but without the tests of Go itself. If s.Root is set, s.Out becomes
// a root file system with that tree at s.Root and the folders that the go command needs.
func runUnpackToolchain(ctx context.Context, s *step.UnpackToolchain, to output) error {
	if (s.H1 == "") == (s.H1File == "") {
		return &step.UsageError{Err: errors.New("in-build unpack-toolchain: one of --h1 and --h1-file is needed")}
	}
	want := modfetch.Expected{Hash: s.H1, By: "its pin", Remedy: "this is not the toolchain that Go's makers published; take it from another proxy, or give another file"}
	if s.H1File != "" {
		data, err := os.ReadFile(s.H1File)
		if err != nil {
			return fmt.Errorf("reading the toolchain's hash: %w", err)
		}
		want.Hash, want.By = strings.TrimSpace(string(data)), "the checksum database"
	}
	m, err := toolchainOf(s.Zip)
	if err != nil {
		return err
	}
	err = fill(s.Out, func(out *os.Root) error {
		if s.Root == "" {
			return unpackToolchain(ctx, out, ".", m, s.Zip, want)
		}
		if err := unpackToolchain(ctx, out, s.Root, m, s.Zip, want); err != nil {
			return err
		}
		return addRoot(out, s.Root)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(to.stdout, "checked and unpacked %s\n", m)
	return nil
}

// toolchainOf returns the module whose name is in a toolchain's zip. The hash covers that name, as it covers every
// name.
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

func unpackToolchain(ctx context.Context, out *os.Root, dir string, m module.Version, file string, want modfetch.Expected) error {
	if err := extractChecked(ctx, out, dir, m, file, file, want, InToolchain); err != nil {
		return err
	}
	for _, need := range []string{"VERSION", "bin/go"} {
		if _, err := out.Stat(path.Join(dir, need)); err != nil {
			return fmt.Errorf("%s: the zip is not a toolchain: it has no %s", m, need)
		}
	}
	return nil
}

// InToolchain is the placement of a file in a toolchain. A module's zip has no modes, so the go command knows from the
// names which files are executable: those below bin and pkg/tool, and lib's go_OS_ARCH_exec. A zip can have only one
// go.mod file, at its top, so those of the standard library and its tools are named _go.mod.
//
// The tests of Go itself and their data, half of all files, are of no use to any other module.
func InToolchain(name string) (as string, mode fs.FileMode, written bool) {
	dir, base := path.Split(name)
	exec, _ := path.Match("go_?*_?*_exec", base)
	switch {
	case strings.HasPrefix(name, "test/"), strings.HasPrefix(name, "src/") && (strings.HasSuffix(name, "_test.go") || strings.Contains(dir, "/testdata/")):
		return name, 0, false
	case strings.HasPrefix(name, "bin/"), strings.HasPrefix(name, "pkg/tool/"), strings.HasPrefix(name, "lib/") && exec:
		return name, 0o755, true
	case base == "_go.mod":
		return dir + "go.mod", 0o644, true
	}
	return name, 0o644, true
}

// addRoot adds the other files and folders that the go command needs to a root file system with a toolchain at goroot.
func addRoot(out *os.Root, goroot string) error {
	// GOTELEMETRY can't be set in the environment: this is where "go telemetry off" puts it.
	err := errors.Join(
		writeFile(out, "root/.config/go/telemetry/mode", []byte("off\n"), 0o644),
		writeFile(out, "etc/passwd", []byte("root:x:0:0:root:/root:/sbin/nologin\n"), 0o644),
		out.MkdirAll("root/.cache", 0o755), out.MkdirAll("go/pkg/mod", 0o755), out.Mkdir("tmp", 0o755),
		sealBut(out, goroot), out.Chmod("tmp", fs.ModeSticky|0o777))
	if err != nil {
		return fmt.Errorf("making the toolchain's root file system: %w", err)
	}
	return nil
}
