package inbuild

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/golang/gorecipe"
)

// listFormat has go list write a line for each package: its folder and the files that it embeds, parted by tabs.
const listFormat = `{{.Dir}}{{range .EmbedFiles}}{{"\t"}}{{.}}{{end}}`

// sourcesOf returns which files of a module cache are compiled, of what go list writes with listFormat. Packages elsewhere,
// such as those of the standard library, are left out.
func sourcesOf(listed, modCache string) (*gorecipe.Sources, error) {
	s := &gorecipe.Sources{}
	for line := range strings.Lines(listed) {
		words := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		folder, below := strings.CutPrefix(filepath.ToSlash(words[0]), path.Clean(modCache)+"/")
		if !below || modCache == "" {
			continue
		}
		if err := s.AddPackage(folder, words[1:]); err != nil {
			return nil, fmt.Errorf("listing what is compiled: %w", err)
		}
	}
	return s, nil
}

// readSources reads a list of the files that are compiled. It returns nil for no list.
func readSources(name string) (s *gorecipe.Sources, err error) {
	if name == "" {
		return nil, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading which files are compiled: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	text, err := io.ReadAll(io.LimitReader(f, gorecipe.MaxSources+1))
	if err != nil {
		return nil, fmt.Errorf("reading which files are compiled: %w", err)
	}
	return gorecipe.ParseSources(text)
}

// onlyOf is the placement of a module's files of which some are compiled, and no others are written.
func onlyOf(s *gorecipe.Sources, dir string) placement {
	if s == nil {
		return readOnly
	}
	return func(name string) (string, fs.FileMode, bool) { return name, 0o444, s.Has(path.Join(dir, name)) }
}
