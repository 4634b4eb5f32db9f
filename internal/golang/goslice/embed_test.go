package goslice

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// A pattern that no file matches is noted, with its file and its line: go can't compile the package.
func TestMissing(t *testing.T) {
	for pattern, there := range map[string]bool{
		"a.txt": true, "b.txt": false, "*.txt": true, "*.html": false, "a.txt b.txt": false,
		"dist": true, "dist/index.html": true, "dist/*.html": true, "dist/*.css": false, "*/index.html": true, "dist/none/*": false,
		"kept": false, "all:kept": true, "kept/.gitkeep": true, "under": false, "empty": false, "deep": true, "*": true,
		"a.txt/b": false, ".": true, "[": true, // which go refuses itself
		"linked/index.html": true, "link.txt": true, // what a link leads to isn't known
	} {
		tree := fstest.MapFS{
			"go.mod":  {Data: []byte("module example.com/m\n\ngo 1.26\n")},
			"main.go": {Data: []byte("package main\n\nimport \"embed\"\n\n//go:embed " + pattern + "\nvar files embed.FS\n\nfunc main() {}\n")},
			"a.txt":   {}, "dist/index.html": {}, "dist/x/y": {}, "kept/.gitkeep": {}, "under/_x": {}, "deep/er/x": {},
			"empty": {Mode: fs.ModeDir | 0o755}, "linked": {Data: []byte("dist"), Mode: fs.ModeSymlink}, "link.txt": {Data: []byte("a.txt"), Mode: fs.ModeSymlink},
		}
		slice, err := Of(Request{Tree: tree, Module: moduleOf(t, tree, ".", true), GOOS: "linux", GOARCH: "amd64"})
		require.NoError(t, err, pattern)
		require.Equal(t, there, len(slice.Missing) == 0, pattern)
	}
}

// What isn't compiled embeds nothing.
func TestMissingElsewhere(t *testing.T) {
	embed := func(head, name string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(head + "package " + name + "\n\nimport _ \"embed\"\n\n//go:embed none.txt\nvar s string\n")}
	}
	tree := fstest.MapFS{
		"go.mod":          {Data: []byte("module example.com/m\n\ngo 1.26\n")},
		"main.go":         {Data: []byte("package main\n\nimport _ \"example.com/m/lib\"\n\nfunc main() {}\n")},
		"lib/lib.go":      {Data: []byte("package lib\n")},
		"lib/lib_test.go": embed("", "lib"), "lib/x_test.go": embed("", "lib_test"), "lib/lib_windows.go": embed("", "lib"), "lib/tag.go": embed("//go:build web\n\n", "lib"),
		"other/other.go": embed("", "other"),
	}
	for _, tt := range []struct {
		req  Request
		want []Embed
	}{
		{Request{}, nil},
		{Request{Patterns: []string{"./..."}}, []Embed{{"other/other.go", 5, "none.txt"}}},
		{Request{GOOS: "windows"}, []Embed{{"lib/lib_windows.go", 5, "none.txt"}}},
		{Request{Tags: []string{"web"}}, []Embed{{"lib/tag.go", 7, "none.txt"}}},
		{Request{Tests: true}, nil}, // of the packages that are named
		{Request{Tests: true, Patterns: []string{"./lib"}}, []Embed{{"lib/lib_test.go", 5, "none.txt"}, {"lib/x_test.go", 5, "none.txt"}}},
	} {
		req := tt.req
		req.Tree, req.Module, req.GOARCH = tree, moduleOf(t, tree, ".", true), "amd64"
		if req.GOOS == "" {
			req.GOOS = "linux"
		}
		slice, err := Of(req)
		require.NoError(t, err)
		require.Equal(t, tt.want, slice.Missing)
	}
}
