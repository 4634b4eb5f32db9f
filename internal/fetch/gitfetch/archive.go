package gitfetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/fetch"
)

// These are bounds on the files and folders of a module: maxEntries on their number and maxDepth on their depth.
// Without them a few objects could make an endless tree.
const (
	maxEntries = 1_000_000
	maxDepth   = 200
)

// writeZip writes the module's zip. The package x/mod/zip leaves out files that don't belong to the module, and refuses
// invalid names.
func (p *repoPlace) writeZip(ctx context.Context, w io.Writer, m module.Version) error {
	list := &lister{ctx: ctx, place: p, trees: map[plumbing.Hash]*object.Tree{}, counts: map[plumbing.Hash]int{}}
	if err := list.all(); err != nil {
		return err
	}
	files := list.files
	if p.dir != "" && !list.license {
		if data, err := p.read("LICENSE", modzip.MaxLICENSE); err == nil {
			files = append(files, file{name: "LICENSE", mode: 0o644, size: int64(len(data)), open: openBytes(data)})
		}
	}
	if err := modzip.Create(w, m, files); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("making its zip: %w", fetch.OneLine(err))
	}
	return nil
}

// A lister lists the files of a module as 'git archive' has them.
type lister struct {
	ctx     context.Context
	place   *repoPlace
	rules   attributes
	trees   map[plumbing.Hash]*object.Tree
	counts  map[plumbing.Hash]int // of entries below a tree
	files   []modzip.File
	license bool
}

func (l *lister) all() error {
	tree := l.place.tree
	if err := l.rules.add(l.place, tree, ""); err != nil {
		return err
	}
	if l.place.dir == "" {
		return l.walkAll(tree, "")
	}
	at := ""
	for _, name := range strings.Split(l.place.dir, "/") {
		sub, err := tree.Tree(name)
		if err != nil {
			return fmt.Errorf("reading the folder %s: %w", l.place.dir, err)
		}
		tree, at = sub, path.Join(at, name)
		if at != l.place.dir {
			if err := l.rules.add(l.place, tree, at); err != nil {
				return err
			}
		}
	}
	return l.walkAll(tree, at)
}

func (l *lister) walkAll(tree *object.Tree, at string) error {
	if n, err := l.count(tree, 0); err != nil {
		return err
	} else if n > maxEntries {
		return fmt.Errorf("it has more than %d files and folders", maxEntries)
	}
	return l.walk(tree, at)
}

// count returns the number of entries below a tree, or one more than the limit. It reads each tree only once.
func (l *lister) count(tree *object.Tree, depth int) (int, error) {
	if depth > maxDepth {
		return 0, fmt.Errorf("its folders are more than %d deep", maxDepth)
	}
	if n, ok := l.counts[tree.Hash]; ok {
		return n, nil
	}
	n := len(tree.Entries)
	for _, entry := range tree.Entries {
		if entry.Mode != filemode.Dir || n > maxEntries {
			continue
		}
		sub, err := l.tree(entry)
		if err != nil {
			return 0, err
		}
		below, err := l.count(sub, depth+1)
		if err != nil {
			return 0, err
		}
		n = min(n+below, maxEntries+1)
	}
	l.counts[tree.Hash] = n
	return n, nil
}

func (l *lister) tree(entry object.TreeEntry) (*object.Tree, error) {
	if sub := l.trees[entry.Hash]; sub != nil {
		return sub, nil
	}
	sub, err := object.GetTree(l.place.store, entry.Hash)
	if err != nil {
		return nil, fmt.Errorf("reading the folder %q: %w", entry.Name, err)
	}
	l.trees[entry.Hash] = sub
	return sub, nil
}

// walk lists the files of a folder. The parameter at is the folder's path from the repository's root.
func (l *lister) walk(tree *object.Tree, at string) error {
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	if at != "" {
		if err := l.rules.add(l.place, tree, at); err != nil {
			return err
		}
	}
	for _, entry := range tree.Entries {
		name := entry.Name
		if at != "" {
			name = at + "/" + name // not path.Join: a name such as .. is to be seen
		}
		switch {
		case entry.Mode == filemode.Dir:
			sub, err := l.tree(entry)
			if err != nil {
				return err
			}
			if err := l.walk(sub, name); err != nil {
				return err
			}
		case isBlob(entry.Mode):
			if err := l.add(name, entry); err != nil {
				return err
			}
		} // else a submodule
	}
	return nil
}

func isBlob(mode filemode.FileMode) bool {
	return mode.IsFile()
}

func (l *lister) add(name string, entry object.TreeEntry) error {
	if l.ctx.Err() != nil {
		return context.Cause(l.ctx)
	}
	size, err := l.place.store.EncodedObjectSize(entry.Hash)
	if err != nil {
		return fmt.Errorf("reading the file %q: %w", name, err)
	}
	blob := blob{l.place.store, entry.Hash}
	f := file{name: name, mode: 0o644, size: size, open: blob.open}
	if l.place.dir != "" {
		f.name = strings.TrimPrefix(name, l.place.dir+"/")
	}
	switch {
	case entry.Mode == filemode.Symlink:
		f.mode |= fs.ModeSymlink
	case size <= modzip.MaxZipFile:
		if f.size, f.open, err = l.rules.convert(name, blob, size); err != nil {
			return fmt.Errorf("the file %q: %w", name, err)
		}
	}
	l.license = l.license || f.name == "LICENSE"
	l.files = append(l.files, f)
	return nil
}

// A file implements modzip.File and fs.FileInfo.
type file struct {
	name string
	mode fs.FileMode
	size int64
	open func() (io.ReadCloser, error)
}

func openBytes(data []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return f, nil }
func (f file) Open() (io.ReadCloser, error) { return f.open() }
func (f file) Name() string                 { return path.Base(f.name) }
func (f file) Size() int64                  { return f.size }
func (f file) Mode() fs.FileMode            { return f.mode }
func (f file) ModTime() time.Time           { return time.Time{} }
func (f file) IsDir() bool                  { return false }
func (f file) Sys() any                     { return nil }
