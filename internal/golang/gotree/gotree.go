// Package gotree reads the modules and workspaces of a source tree: where they are, and what their go.mod, go.work and
// go.sum files contain. It exists so that all callers get the same answer.
//
// It is pure: a read-only view of a tree in, what it says out. Paths are relative to the root of the tree, with slashes.
package gotree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/larder-build/larder/internal/golang/gomod"
	"golang.org/x/mod/modfile"
)

// A Tree is a source tree.
type Tree struct {
	FS   fs.FS
	Name string // what errors write before the names of files, such as the folder that a user named; it may be empty
}

// maxFile is the greatest size of a file that is read, the same as the go command's for a go.mod.
const maxFile = 16 << 20

// Read returns a file. One of more than 16 MiB is an error.
func (t Tree) Read(name string) ([]byte, error) {
	f, err := t.FS.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.File(name), err)
	}
	defer f.Close()
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, io.LimitReader(f, maxFile+1)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", t.File(name), err)
	}
	if buf.Len() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes, which the go command doesn't read either", t.File(name), maxFile)
	}
	return buf.Bytes(), nil
}

// File returns the name of a file of the tree for messages.
func (t Tree) File(name string) string { return path.Join(t.Name, name) }

// Mod parses the go.mod in a folder. One without a module line is an error.
func (t Tree) Mod(dir string) (*modfile.File, error) {
	name := path.Join(dir, "go.mod")
	data, err := t.Read(name)
	if err != nil {
		return nil, err
	}
	mod, err := modfile.Parse(t.File(name), data, nil)
	if err != nil {
		return nil, err
	}
	if mod.Module == nil {
		return nil, fmt.Errorf("%s has no module line: add 'module PATH' as its first line", t.File(name))
	}
	return mod, nil
}

// Work parses the go.work in a folder.
func (t Tree) Work(dir string) (*modfile.WorkFile, error) {
	name := path.Join(dir, "go.work")
	data, err := t.Read(name)
	if err != nil {
		return nil, err
	}
	return modfile.ParseWork(t.File(name), data, nil)
}

// Sums returns those of the named checksum files that exist.
func (t Tree) Sums(names ...string) (files []gomod.File, err error) {
	for _, name := range names {
		data, err := t.Read(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		files = append(files, gomod.File{Name: t.File(name), Data: data})
	}
	return files, nil
}

func (t Tree) has(name string) bool {
	_, err := fs.Stat(t.FS, name)
	return err == nil
}

// IsModule reports whether a folder has a module, or a workspace.
func (t Tree) IsModule(dir string) bool {
	return t.has(path.Join(dir, "go.mod")) || t.has(path.Join(dir, "go.work"))
}
