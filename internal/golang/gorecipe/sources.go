package gorecipe

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// Sources are the files of modules that compiling a recipe reads. A build with the compiled packages reads no others, so
// that they needn't be unpacked. Names are those in a GOMODCACHE.
type Sources struct {
	folders map[string]bool // of packages: of these all files but those of tests
	files   map[string]bool // that packages embed
}

// MaxSources is how many bytes the text of Sources may have. A program of 5000 packages has a list of 500 kB.
const MaxSources = 16 << 20

// AddPackage adds a package by its folder and the files in it, or below it, that it embeds. It refuses a name that Text
// can't write.
func (s *Sources) AddPackage(folder string, embeds []string) error {
	for _, name := range append([]string{folder}, embeds...) {
		if !listable(name) {
			return fmt.Errorf("%.200q can't be the name of a file of a module", name)
		}
	}
	if s.folders == nil {
		s.folders, s.files = map[string]bool{}, map[string]bool{}
	}
	s.folders[folder] = true
	for _, name := range embeds {
		s.files[path.Join(folder, name)] = true
	}
	return nil
}

// Has reports whether a file is among them.
func (s *Sources) Has(name string) bool {
	return s.files[name] || s.folders[path.Dir(name)] && !strings.HasSuffix(name, "_test.go")
}

// Text returns the list: a line for each folder, with a slash at its end, and for each file. They are sorted.
func (s *Sources) Text() []byte {
	lines := slices.Collect(maps.Keys(s.files))
	for folder := range s.folders {
		lines = append(lines, folder+"/")
	}
	slices.Sort(lines)
	return []byte(strings.Join(append(lines, ""), "\n"))
}

// ParseSources reads a text that Text has written, and refuses any other.
func ParseSources(text []byte) (*Sources, error) {
	if len(text) > MaxSources {
		return nil, fmt.Errorf("the list of sources has %d bytes: at most %d are read", len(text), MaxSources)
	}
	s := &Sources{map[string]bool{}, map[string]bool{}}
	for line := range strings.Lines(string(text)) {
		name, isLine := strings.CutSuffix(line, "\n")
		folder, isFolder := strings.CutSuffix(name, "/")
		if !isLine || !listable(folder) {
			return nil, fmt.Errorf("the list of sources has the line %.200q: expected the name of a file or a folder", line)
		}
		if isFolder {
			s.folders[folder] = true
		} else {
			s.files[folder] = true
		}
	}
	if string(s.Text()) != string(text) {
		return nil, fmt.Errorf("the list of sources isn't written as Larder writes it")
	}
	return s, nil
}

// listable reports whether a line can hold a name.
func listable(name string) bool {
	return fs.ValidPath(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}
