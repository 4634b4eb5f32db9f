package goslice_test

import (
	"fmt"
	"testing/fstest"

	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/golang/gotree"
)

func ExampleOf() {
	tree := fstest.MapFS{
		"go.mod":          {Data: []byte("module example.com/app\n")},
		"README.md":       {Data: []byte("…")},
		"main.go":         {Data: []byte("package main\n\nimport _ \"example.com/app/lib\"\n\nfunc main() {}\n")},
		"lib/lib.go":      {Data: []byte("package lib\n")},
		"lib/lib_test.go": {Data: []byte("package lib\n")},
	}
	module, err := gotree.Tree{FS: tree}.Module(".", false)
	if err != nil {
		fmt.Println(err)
		return
	}
	slice, err := goslice.Of(goslice.Request{
		Tree: tree, Module: module, Patterns: []string{"."}, GOOS: "linux", GOARCH: "amd64", Version: "go1.26.0",
	})
	fmt.Println(slice.Files, err)
	// Output: [go.mod lib/lib.go main.go] <nil>
}
