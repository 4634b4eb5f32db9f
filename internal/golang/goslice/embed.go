package goslice

import (
	"go/token"
	"io/fs"
	"path"
	"strings"
)

// An Embed is a pattern of a go:embed line that no file of the tree matches: go can't compile its package.
type Embed struct {
	File    string
	Line    int
	Pattern string
}

// noteMissing records those patterns of a package that match no file.
func (s *slicer) noteMissing(dir string, patterns []string, at map[string][]token.Position) {
	for _, pattern := range patterns {
		glob, all := strings.CutPrefix(pattern, "all:")
		if !fs.ValidPath(glob) || strings.Contains(glob, `\`) || s.embeds(dir, strings.Split(glob, "/"), all) {
			continue
		}
		if lines := at[pattern]; len(lines) > 0 {
			s.missing = append(s.missing, Embed{lines[0].Filename, lines[0].Line, pattern})
		}
	}
}

// embeds reports whether a pattern, split at its slashes, matches something in a folder that can be embedded or may be,
// by the rules of 'go doc embed'. The go command itself checks whether a match may be embedded.
func (s *slicer) embeds(dir string, pattern []string, all bool) bool {
	for name, e := range s.entries(dir) {
		if matched, err := path.Match(pattern[0], name); err == nil && !matched {
			continue
		}
		sub := path.Join(dir, name)
		switch {
		case !e.IsDir():
			if len(pattern) == 1 || e.Type()&fs.ModeSymlink != 0 {
				return true
			}
		case len(pattern) > 1:
			if s.embeds(sub, pattern[1:], all) {
				return true
			}
		case s.hasFiles(sub, all):
			return true
		}
	}
	return pattern[0] == "."
}

// hasFiles reports whether an embedded folder has files. Files whose names begin with a dot or an underscore count only
// if all is true.
func (s *slicer) hasFiles(dir string, all bool) bool {
	entries := s.entries(dir)
	if entries["go.mod"] != nil {
		return true // another module's, which go refuses in words of its own
	}
	for name, e := range entries {
		if !all && (name[0] == '.' || name[0] == '_') {
			continue
		}
		if !e.IsDir() || s.hasFiles(path.Join(dir, name), all) {
			return true
		}
	}
	return false
}
