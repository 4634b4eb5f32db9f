package frontend

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/stretchr/testify/require"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// countedRef counts the calls of a reference.
type countedRef struct {
	fakeRef
	calls atomic.Int32
}

func (r *countedRef) ReadFile(ctx context.Context, req gateway.ReadRequest) ([]byte, error) {
	r.calls.Add(1)
	return r.fakeRef.ReadFile(ctx, req)
}

func (r *countedRef) StatFile(ctx context.Context, req gateway.StatRequest) (*fstypes.Stat, error) {
	r.calls.Add(1)
	return r.fakeRef.StatFile(ctx, req)
}

func (r *countedRef) ReadDir(ctx context.Context, req gateway.ReadDirRequest) ([]*fstypes.Stat, error) {
	r.calls.Add(1)
	return r.fakeRef.ReadDir(ctx, req)
}

func newCountedFS(t *testing.T) (*refFS, *countedRef) {
	ref := &countedRef{fakeRef: fakeRef{files: fstest.MapFS{"go.mod": {}, "cmd/api/main.go": {Data: []byte("package main\n")}}}}
	return newRefFS(t.Context(), ref), ref
}

// TestRefFSCalls counts how often the builder is asked: each call takes a millisecond of every build.
func TestRefFSCalls(t *testing.T) {
	exists := func(name string) func(*testing.T, *refFS) {
		return func(t *testing.T, tree *refFS) {
			_, err := fs.Stat(tree, name)
			require.NoError(t, err)
		}
	}
	missing := func(name string) func(*testing.T, *refFS) {
		return func(t *testing.T, tree *refFS) {
			_, err := fs.Stat(tree, name)
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}
	unreadable := func(name string) func(*testing.T, *refFS) {
		return func(t *testing.T, tree *refFS) {
			_, err := fs.ReadFile(tree, name)
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}
	together := func(t *testing.T, tree *refFS) {
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { _, err := fs.ReadDir(tree, "cmd"); require.NoError(t, err) })
		}
		all.Wait()
	}
	for name, c := range map[string]struct {
		want int32
		do   []func(*testing.T, *refFS)
	}{
		"missing at the top":       {1, []func(*testing.T, *refFS){missing("go.work"), missing("go.sum"), missing("go.work")}},
		"read in vain":             {1, []func(*testing.T, *refFS){unreadable("Dockerfile.dockerignore"), unreadable(".git/HEAD")}},
		"missing folders":          {1, []func(*testing.T, *refFS){missing("vendor/modules.txt"), missing("vendor/a/b/c"), exists("go.mod")}},
		"below a listed folder":    {1, []func(*testing.T, *refFS){together, exists("cmd/api"), missing("cmd/web/main.go")}},
		"below an unlisted folder": {3, []func(*testing.T, *refFS){missing("cmd/web"), exists("cmd/api/main.go")}},
	} {
		t.Run(name, func(t *testing.T) {
			tree, ref := newCountedFS(t)
			for _, do := range c.do {
				do(t, tree)
			}
			require.Equal(t, c.want, ref.calls.Load())
		})
	}
}

// A file that is longer than what is read when it is opened is read on, and kept.
func TestRefFSLongFiles(t *testing.T) {
	long := strings.Repeat("0123456789abcde\n", firstBlock/16)
	for name, text := range map[string]string{"short": "x", "one less": long[1:], "a block": long, "one more": long + "x", "many": strings.Repeat(long, 5)} {
		ref := &countedRef{fakeRef: fakeRef{files: fstest.MapFS{"a.go": {Data: []byte(text)}}}}
		tree := newRefFS(t.Context(), ref)
		for range 2 {
			f, err := tree.Open("a.go")
			require.NoError(t, err)
			got, err := io.ReadAll(f)
			require.NoError(t, err)
			require.Equal(t, text, string(got), name)
		}
		got, err := fs.ReadFile(tree, "a.go")
		require.NoError(t, err)
		require.Equal(t, text, string(got), name)
		require.LessOrEqual(t, ref.calls.Load(), int32(5), name)
	}
}

// No more is kept of a tree than a bound, however much of it is read.
func TestRefFSKeepsABound(t *testing.T) {
	files := fstest.MapFS{}
	for i := range 5 {
		files[fmt.Sprint(i)] = &fstest.MapFile{Data: make([]byte, maxKept/4)}
	}
	tree := newRefFS(t.Context(), &fakeRef{files: files})
	for name := range files {
		data, err := fs.ReadFile(tree, name)
		require.NoError(t, err)
		require.Len(t, data, maxKept/4)
	}
	require.Len(t, tree.files, 4)
}
