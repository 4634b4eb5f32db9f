package frontend

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"
)

// newFolder opens a folder as a local source with options has it.
func newFolder(t testing.TB, dir string, opts ...llb.LocalOption) *folder {
	def, err := llb.Local("context", append(opts, llb.SessionID("session"))...).Marshal(t.Context())
	require.NoError(t, err)
	name, source := localSource(def, "session")
	require.Equal(t, "context", name)
	f, err := openFolder(t.Context(), dir, source)
	require.NoError(t, err)
	return f
}

// sentNames returns what a session sends of a folder: its own code says so.
func sentNames(t testing.TB, dir string, opt fsutil.FilterOpt) (names []string, err error) {
	from, err := fsutil.NewFS(dir)
	require.NoError(t, err)
	from, err = fsutil.NewFilterFS(from, &opt)
	require.NoError(t, err)
	err = from.Walk(t.Context(), "", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	slices.Sort(names)
	return names, err
}

// allNames returns all that a folder lists.
func allNames(t testing.TB, f *folder, dir string) (names []string) {
	list, err := f.ReadDir(t.Context(), gateway.ReadDirRequest{Path: dir})
	require.NoError(t, err)
	for _, st := range list {
		name := filepath.Join(dir, st.Path)
		names = append(names, name)
		if fs.FileMode(st.Mode).IsDir() {
			names = append(names, allNames(t, f, name)...)
		}
	}
	slices.Sort(names)
	return names
}

// folderFiles are names of every kind that patterns tell apart.
var folderFiles = []string{
	"go.mod", "main.go", "a.txt", ".git/HEAD", ".dockerignore", "cmd/api/main.go", "cmd/api/main_test.go", "cmd/web/main.go", "cmd/web/static/app.js",
	"docs/a.md", "docs/deep/b.md", "docs/deep/er/c.go", "odd [1]/x y.go", "vendor/modules.txt", "node_modules/a/b/c.js", "node_modules/a/go.mod",
}

// FuzzFolder holds that a folder has what a session sends of it, and nothing else, whatever the patterns.
func FuzzFolder(f *testing.F) {
	for _, lines := range []string{
		"", "docs", "docs\n!docs/deep", "docs\n!docs/deep/er/c.go", "*\n!cmd\n!go.mod", "**/*.md", "**\n!**/*.go", "**\n!**/go.mod", "cmd/*/main.go",
		"docs/**\n!docs/*.md", "*\n!cmd/api\ncmd/api/main_test.go", "/docs/", "docs/deep\n!docs", "odd [[]1]", "!docs", "node_modules\n!node_modules/a/b/../go.mod",
		"cmd\n!cmd/*/static\n", ".git", "*\n!*/", "?ocs", "**/deep\n!**/er", "do\\cs", "a.txt/b\n!a.txt/b", "docs/d\n!docs/dee",
	} {
		f.Add(lines, "")
		f.Add("", lines)
		f.Add(lines, "**/*.go\n**/go.mod")
	}
	dir := f.TempDir()
	for _, name := range folderFiles {
		require.NoError(f, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(f, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644))
	}
	require.NoError(f, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	require.NoError(f, os.Symlink("docs/a.md", filepath.Join(dir, "link")))
	split := func(text string) []string {
		return slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	}
	f.Fuzz(func(t *testing.T, exclude, include string) {
		opt := fsutil.FilterOpt{ExcludePatterns: split(exclude), IncludePatterns: split(include)}
		for _, list := range [][]string{opt.ExcludePatterns, opt.IncludePatterns} {
			if _, err := matcherOf(list); err != nil {
				return // no session takes these patterns
			}
		}
		want, err := sentNames(t, dir, opt)
		if err != nil {
			return // no session takes these patterns
		}
		tree := newFolder(t, dir, llb.ExcludePatterns(opt.ExcludePatterns), llb.IncludePatterns(opt.IncludePatterns))
		require.Equal(t, want, allNames(t, tree, "."))
	})
}

// A folder answers as the builder does, which has a copy of it: links are followed within it alone.
func TestFolderLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o644))
	dir := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("a/b/file", "file")
	write("secret", "inside")
	write("hidden/file", "hidden")
	for name, target := range map[string]string{
		"abs": "/a/b/file", "rel": "a/b/file", "a/up": "../a/b/file", "a/far": "../../../../a/b/file", "dir": "a/b", "deep": "dir/../b/file", "loop": "loop",
		"none": "a/none", "out": outside, "upout": "../" + filepath.Base(filepath.Dir(outside)) + "/secret", "top": "/", "over": "../../secret", "tohidden": "hidden/file",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	tree := newRefFS(t.Context(), newFolder(t, dir, llb.ExcludePatterns([]string{"hidden"})))
	for name, want := range map[string]string{
		"abs": "file", "rel": "file", "a/up": "file", "a/far": "file", "dir/file": "file", "top/a/b/file": "file", "over": "inside", "a/b/file": "file",
		"deep": "", "none": "", "out": "", "upout": "", "tohidden": "", "hidden/file": "", "a/b/file/x": "", "none/x": "",
	} {
		data, err := fs.ReadFile(tree, name)
		if want == "" {
			require.ErrorIs(t, err, fs.ErrNotExist, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, want, string(data), name)
	}
	_, err := fs.ReadFile(tree, "loop")
	require.Error(t, err)
	info, err := fs.Stat(tree, "dir")
	require.NoError(t, err)
	require.True(t, info.IsDir())
}

// What isn't a file isn't opened: a pipe would keep the build waiting. What a file has beyond the bound is refused.
func TestFolderFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	require.NoError(t, os.Truncate(newFile(t, dir, "large"), maxFile+1))
	require.NoError(t, os.Truncate(newFile(t, dir, "largest"), maxFile))
	tree := newRefFS(t.Context(), newFolder(t, dir))
	_, err := fs.ReadFile(tree, "pipe")
	require.ErrorIs(t, err, errNotRegular)
	_, err = fs.ReadFile(tree, "large")
	require.EqualError(t, err, "large has 16777217 bytes: Larder reads no file of over 16777216")
	data, err := fs.ReadFile(tree, "largest")
	require.NoError(t, err)
	require.Len(t, data, maxFile)

	ctx, cancel := context.WithCancel(t.Context())
	f := newFolder(t, dir)
	cancel()
	_, err = f.ReadFile(ctx, gateway.ReadRequest{Filename: "largest", Range: &gateway.FileRange{Length: 1}})
	require.ErrorIs(t, err, context.Canceled)
}

func newFile(t *testing.T, dir, name string) string {
	name = filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(name, nil, 0o644))
	return name
}

// What a folder's own code doesn't know of a source, the builder is asked for.
func TestLocalSource(t *testing.T) {
	for name, st := range map[string]llb.State{
		"another session": llb.Local("context", llb.SessionID("other")),
		"metadata alone":  llb.Local("context", llb.SessionID("session"), llb.MetadataOnlyTransfer([]string{"a"})),
		"an image":        llb.Image("alpine"),
		"a copy":          llb.Scratch().File(llb.Copy(llb.Local("context", llb.SessionID("session")), "/", "/")),
		"nothing":         llb.Scratch(),
	} {
		def, err := st.Marshal(t.Context())
		require.NoError(t, err)
		_, source := localSource(def, "session")
		require.Nil(t, source, name)
	}
}

// What can't be read of a folder is asked of the builder, whose words count.
func TestSentFolder(t *testing.T) {
	dir, asked := t.TempDir(), 0
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	refused := errors.New("error from sender: it's a pipe")
	f := sentFolder{newFolder(t, dir), func() (reader, error) {
		asked++
		return nil, refused
	}}
	_, err := f.ReadFile(t.Context(), gateway.ReadRequest{Filename: "none", Range: &gateway.FileRange{Length: 1}})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = f.StatFile(t.Context(), gateway.StatRequest{Path: "none"})
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.Zero(t, asked)
	_, err = f.ReadFile(t.Context(), gateway.ReadRequest{Filename: "pipe", Range: &gateway.FileRange{Length: 1}})
	require.ErrorIs(t, err, refused)
	_, err = f.ReadDir(t.Context(), gateway.ReadDirRequest{Path: "pipe"})
	require.ErrorIs(t, err, refused)
	require.Equal(t, 2, asked)
}
