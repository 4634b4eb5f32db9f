package goslice

import (
	"go/build"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Context returns a context for go/build that reads a tree instead of the disk, for an OS and architecture, without cgo
// and without tags.
func Context(tree fs.FS, goos, goarch string) *build.Context {
	ctxt := build.Default
	ctxt.GOOS, ctxt.GOARCH, ctxt.CgoEnabled, ctxt.BuildTags = goos, goarch, false, nil
	ctxt.GOPATH, ctxt.GOROOT, ctxt.Dir = "", "", ""
	ctxt.JoinPath, ctxt.IsAbsPath = path.Join, path.IsAbs
	ctxt.HasSubdir = func(root, dir string) (string, bool) { return "", false }
	ctxt.IsDir = func(p string) bool {
		fi, err := fs.Stat(tree, p)
		return err == nil && fi.IsDir()
	}
	ctxt.OpenFile = func(p string) (io.ReadCloser, error) { return tree.Open(p) }
	ctxt.ReadDir = func(p string) ([]fs.FileInfo, error) {
		entries, err := fs.ReadDir(tree, p)
		if err != nil {
			return nil, err
		}
		infos := make([]fs.FileInfo, 0, len(entries))
		for _, e := range entries {
			if fi, err := e.Info(); err == nil { // else it is gone since
				infos = append(infos, fi)
			}
		}
		return infos, nil
	}
	return &ctxt
}

// WithoutTests returns a context that doesn't see test files, because reading them takes as long as reading the others.
func WithoutTests(ctxt *build.Context) *build.Context {
	built := *ctxt
	built.ReadDir = func(dir string) ([]fs.FileInfo, error) {
		infos, err := ctxt.ReadDir(dir)
		return slices.DeleteFunc(infos, func(fi fs.FileInfo) bool { return strings.HasSuffix(fi.Name(), "_test.go") }), err
	}
	return &built
}

// readers is how many packages are read side by side.
const readers = 16

// ImportDirs reads the packages of some folders, and returns for each the package and the error that ImportDir of
// go/build gives. They are read side by side, because reading a file of a tree that a builder holds is a call to it.
func ImportDirs(ctxt *build.Context, dirs []string) ([]*build.Package, []error) {
	packages, errs := make([]*build.Package, len(dirs)), make([]error, len(dirs))
	sideBySide(len(dirs), func(i int) { packages[i], errs[i] = ctxt.ImportDir(dirs[i], 0) })
	return packages, errs
}

// sideBySide calls f with 0 to n-1. Several calls run at the same time.
func sideBySide(n int, f func(i int)) {
	var group errgroup.Group
	group.SetLimit(readers)
	for i := range n {
		group.Go(func() error {
			f(i)
			return nil
		})
	}
	_ = group.Wait() // f reports for itself
}
