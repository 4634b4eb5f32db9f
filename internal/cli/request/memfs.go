package request

import (
	"bytes"
	"context"
	"io"
	gofs "io/fs"
	"path"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// memFS is a folder in memory with at most one file: a Dockerfile from standard
// input, or one that the user need not write.
type memFS struct {
	name string // empty for an empty folder
	data []byte
}

// Walk calls fn for the file.
func (m memFS) Walk(ctx context.Context, target string, fn gofs.WalkDirFunc) error {
	clean := path.Clean("/" + target)
	if m.name == "" || (clean != "/" && clean != "/"+m.name) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	st := &types.Stat{Path: m.name, Mode: 0o644, Size: int64(len(m.data))}
	return fn(m.name, &fsutil.DirEntryInfo{Stat: st}, nil)
}

// Open returns the file's content.
func (m memFS) Open(name string) (io.ReadCloser, error) {
	if m.name == "" || path.Clean("/"+name) != "/"+m.name {
		return nil, &gofs.PathError{Op: "open", Path: name, Err: gofs.ErrNotExist}
	}
	return io.NopCloser(bytes.NewReader(m.data)), nil
}
