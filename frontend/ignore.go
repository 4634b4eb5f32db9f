package frontend

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sync"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ignored returns a function that reports whether a .dockerignore file leaves a file out of the build context.
func ignored(ignore []byte) (hidden func(name string) bool, err error) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(ignore))
	if err != nil {
		return nil, fmt.Errorf("reading .dockerignore: %w", err)
	}
	return ignoredBy(patterns)
}

// ignoredBy is like ignored, but takes the patterns of the file.
func ignoredBy(patterns []string) (hidden func(name string) bool, err error) {
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		return nil, fmt.Errorf(".dockerignore: %w", err)
	}
	var mu sync.Mutex // a matcher isn't for several goroutines
	return func(name string) bool {
		mu.Lock()
		defer mu.Unlock()
		match, err := matcher.MatchesOrParentMatches(name)
		return err == nil && match
	}, nil
}

// An ignoringFS is a tree without the files that .dockerignore leaves out. Folders stay, since some files in them may
// stay.
type ignoringFS struct {
	fs.FS
	hidden func(name string) bool
}

// Open implements fs.FS.
func (i ignoringFS) Open(name string) (fs.File, error) {
	f, err := i.FS.Open(name)
	if err != nil || !i.hidden(name) {
		return f, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return f, nil
	}
	f.Close()
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements fs.ReadDirFS.
func (i ignoringFS) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(i.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return !e.IsDir() && i.hidden(path.Join(name, e.Name()))
	}), err
}
