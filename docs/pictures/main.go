// Command pictures draws the pictures of the documents, as SVG, from what larder printed:
//
//	larder plan --llb json examples/hello                             hello-llb.json, without what isn't drawn
//	larder build --progress rawjson … examples/hello, main.go edited  hello-edit.json, the last word on each vertex
//	larder bundle verify stock                                       hello-bundle.txt
//
// Run it from the root of the repository: go run ./docs/pictures
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(filepath.Join("docs", "pictures")); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// run reads the data in a folder, and writes its pictures.
func run(dir string) error {
	all, err := draw(dir)
	if err != nil {
		return err
	}
	for name, svg := range all {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(svg), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// draw returns the pictures by the names of their files.
func draw(dir string) (map[string]string, error) {
	g, err := read(dir, "hello-llb.json", readGraph)
	if err != nil {
		return nil, err
	}
	ran, err := read(dir, "hello-edit.json", readRan)
	if err != nil {
		return nil, err
	}
	stock, err := read(dir, "hello-bundle.txt", readStock)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"build.svg":   g.picture("The build of examples/hello", byNetwork),
		"edit.svg":    g.picture("The same build after an edit of main.go", byState(ran)),
		"air-gap.svg": airGap(stock),
	}, nil
}

// read reads a file with a parse function.
func read[T any](dir, name string, parse func([]byte) (T, error)) (v T, err error) {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return v, err
	}
	if v, err = parse(data); err != nil {
		return v, fmt.Errorf("%s: %w", name, err)
	}
	return v, nil
}
