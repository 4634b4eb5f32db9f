package inbuild

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/larder-build/larder/internal/inbuild/elflibs"
	"github.com/larder-build/larder/internal/step"
)

// runCheckLibs checks that an image has the loader and the libraries of the Go programs that were copied into it, in some
// files or folders. It writes nothing. It ignores programs of other languages, which came with the image.
func runCheckLibs(_ context.Context, s *step.CheckLibs, to output) error {
	if s.Root == "" || len(s.Paths) == 0 {
		return &step.UsageError{Err: errors.New("in-build check-libs: expected --root DIR PATH…")}
	}
	opened, err := os.OpenRoot(s.Root)
	if err != nil {
		return fmt.Errorf("opening the image: %w", err)
	}
	defer opened.Close()
	root := opened.FS()
	checked := map[string]bool{}
	var missing []error
	for _, name := range s.Paths {
		real, err := elflibs.Resolve(root, name)
		if err != nil {
			continue // a later instruction removed it
		}
		err = fs.WalkDir(root, real, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || checked[name] {
				return err
			}
			is, err := checkProgram(root, name)
			if is {
				checked[name] = true
			}
			if lacks := new(elflibs.MissingError); errors.As(err, &lacks) {
				missing = append(missing, err)
				return nil
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("checking the libraries of %s: %w", name, err)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the image lacks what programs made by cgo need to run:\n%w\n"+
			"copy it with GO --libs=DIR, link statically with -ldflags='-linkmode external -extldflags -static', or start the final stage from an image that has it",
			errors.Join(missing...))
	}
	fmt.Fprintf(to.stdout, "%d Go programs have all libraries that they need\n", len(checked))
	return nil
}

// checkProgram checks that the libraries of a file are there, if the file is a Go program.
func checkProgram(root fs.FS, name string) (program bool, err error) {
	f, err := root.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	r, ok := f.(io.ReaderAt)
	if !ok || !isELF(r) {
		return false, nil
	}
	if _, err := buildinfo.Read(r); err != nil {
		return false, nil // not one of Go's
	}
	_, err = elflibs.Find([]fs.FS{root}, elflibs.Program{Path: "/" + name, File: r})
	return true, err
}
