package goslice

import (
	"go/build"
	"io"
	"io/fs"
	"path"
)

// Context returns a context for go/build that reads a tree in place of the disk, for an OS and architecture, without cgo
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
