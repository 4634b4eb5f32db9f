package inbuild

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// These are limits on the inputs that a fuzz test may leave: on their number, and on the bytes of one that are shown.
const (
	maxInputs     = 100
	maxInputShown = 4 << 10
)

// withInputs runs a go test. If fuzzing finds a failing input, go writes it into the source tree, which is gone after
// the step. So withInputs shows the new inputs and, if there is a folder for them, copies them.
func (t *testRun) withInputs(to string, stderr io.Writer, run func() error) error {
	if !hasFlag(t.words, "fuzz") {
		return run()
	}
	before, err := fuzzInputs(t.line.Dir)
	if err != nil {
		return err
	}
	failed := run()
	after, err := fuzzInputs(t.line.Dir)
	if err != nil {
		return errors.Join(failed, err)
	}
	found := 0
	for _, name := range after.names {
		if before.has[name] || found == maxInputs {
			continue
		}
		found++
		data, err := os.ReadFile(filepath.Join(t.line.Dir, name))
		if err != nil {
			return errors.Join(failed, fmt.Errorf("reading what fuzzing found: %w", err))
		}
		fmt.Fprintf(stderr, "larder: fuzzing found an input that fails: keep it as %s where the sources are kept:\n%s", name, data[:min(len(data), maxInputShown)])
		if to == "" {
			continue
		}
		if err := copyFile(filepath.Join(t.line.Dir, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("keeping what fuzzing found: %w", err)
		}
	}
	return failed
}

type inputs struct {
	names []string
	has   map[string]bool
}

// fuzzInputs lists the files in the testdata/fuzz folders of a tree.
func fuzzInputs(dir string) (inputs, error) {
	in := inputs{has: map[string]bool{}}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err == nil && d.Type().IsRegular() && strings.Contains("/"+filepath.ToSlash(name), "/testdata/fuzz/") {
			in.names = append(in.names, name)
			in.has[name] = true
		}
		return err
	})
	if err != nil {
		return in, fmt.Errorf("looking for inputs of fuzz tests: %w", err)
	}
	return in, nil
}

// copyFile copies a file if it exists, and makes the folders that the copy needs.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
