package goslice

import (
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/stretchr/testify/require"
)

// Whatever a go.work and the go.mod files of its modules say, there is a slice of what is in the tree, or an error.
func FuzzWork(f *testing.F) {
	f.Add("go 1.26\n\nuse (\n\t./a\n\t./b\n)\n", "module example.com/a\n\ngo 1.26\nrequire example.com/b v1.0.0\n", "module example.com/b\nignore ./x\n", "example.com/b")
	f.Add("go 1.26\nuse ../a\nreplace example.com/b => ./b\n", "module example.com/a\nreplace example.com/b v1.0.0 => ../../b\n", "module example.com/b", "example.com/b/c")
	f.Add("use \"/a\"\nuse .\nuse ./a\nuse ./a\n", "module \"\"\n", "", "../b")
	f.Add("go 1.999\ntoolchain x\ngodebug a=b\n", "go 1\ntool a\nexclude a v1.0.0\nretract [v1.0.0, v0.0.0]\n", "module a.example/\xff\n", "C")
	f.Fuzz(func(t *testing.T, work, a, b, imports string) {
		tree := fstest.MapFS{
			"go.work": {Data: []byte(work)}, "a/go.mod": {Data: []byte(a)}, "b/go.mod": {Data: []byte(b)},
			"a/main.go": {Data: []byte("package main\n\nimport _ \"" + imports + "\"\n")}, "b/b.go": {Data: []byte("package b\n")}, "b/c/c.go": {Data: []byte("package c\n")},
		}
		m, err := gotree.Tree{FS: tree}.Module("a", false)
		if err != nil {
			return
		}
		s, err := Of(Request{Tree: tree, Module: m, Patterns: []string{"./..."}, GOOS: "linux", GOARCH: "amd64", Version: "go1.26.0"})
		if err != nil {
			return
		}
		for _, name := range s.Files {
			require.Contains(t, tree, name)
		}
	})
}
