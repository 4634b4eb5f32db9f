package request

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// A Tree is a folder of this machine from which a plan is made. No symbolic link leads out of it, no pipe or device in
// it is opened, and nothing can be opened once its context has ended.
type Tree struct {
	ctx  context.Context // an fs.FS has no other way to learn of it
	root *os.Root
}

// OpenTree opens a folder. The caller closes it.
func OpenTree(ctx context.Context, dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Tree{ctx, root}, nil
}

// Close closes the folder.
func (t *Tree) Close() error { return t.root.Close() }

// Open implements fs.FS.
func (t *Tree) Open(name string) (fs.File, error) {
	if err := t.ctx.Err(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	f, err := t.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // to open a pipe would wait for its other end
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.IsDir() && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errNoFile}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

var errNoFile = errors.New("neither a file nor a folder")

// readBounded reads a file of at most limit bytes.
func readBounded(tree fs.FS, name string, limit int64) ([]byte, error) {
	f, err := tree.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d MiB", name, limit>>20)
	}
	return data, err
}
