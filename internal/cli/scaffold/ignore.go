package scaffold

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/moby/patternmatcher"
)

// ignored has patterns, as in .dockerignore, of files that no build needs. They are always written. Those in
// ignoredIfThere are written only if the tree has such a file.
var (
	ignored        = []string{".git", "**/.env", "**/.env.*", "**/*.test", Dockerfile, BakeFile, DockerIgnore}
	ignoredIfThere = []string{".github", ".idea", ".vscode", "*.md", "bin", "dist", "docs", "node_modules"}
)

// ignore returns the text of .dockerignore. It leaves out a pattern that matches a file which go compiles or embeds, or
// which a test reads.
func (t *survey) ignore() string {
	needed, known := t.needed()
	patterns := slices.Clone(ignored)
	for _, pattern := range ignoredIfThere {
		if matches, err := fs.Glob(t, pattern); known && err == nil && len(matches) > 0 {
			patterns = append(patterns, pattern)
		}
	}
	var b strings.Builder
	b.WriteString("# What no build here needs.\n")
	for _, pattern := range patterns {
		if m, err := patternmatcher.New([]string{pattern}); err == nil && !matchesAny(m, needed) {
			b.WriteString(pattern + "\n")
		}
	}
	return b.String()
}

func matchesAny(m *patternmatcher.PatternMatcher, files []string) bool {
	return slices.ContainsFunc(files, func(f string) bool {
		hit, err := m.MatchesOrParentMatches(f)
		return hit || err != nil
	})
}

// needed returns the files that builds and tests read, and whether these are all.
func (t *survey) needed() (files []string, known bool) {
	var globs []string
	known = true
	for _, m := range t.modules {
		slice, err := goslice.Of(goslice.Request{Tree: t, Module: m.Module,
			Patterns: []string{"./..."}, Tests: true, GOOS: "linux", GOARCH: "amd64", Cache: &t.packages})
		known = known && err == nil
		files, globs = append(files, slice.Files...), append(globs, slice.Globs...)
	}
	for _, p := range t.programs {
		if p.Data {
			globs = append(globs, path.Join(p.Dir, "kodata"))
		}
	}
	embedded, err := newGlobs(globs)
	if err != nil {
		return files, false
	}
	// What can't be read is no file that a build reads.
	_ = fs.WalkDir(t, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == ".git" {
			return fs.SkipDir
		}
		if !d.IsDir() && embedded.has(p) {
			files = append(files, p)
		}
		return nil
	})
	return files, known
}

// globs are patterns as in .dockerignore. Most of them name a folder or a file, and are looked up in a map: it would
// take many seconds to compare each file of a tree with each of many patterns.
type globs struct {
	names    map[string]bool
	patterns *patternmatcher.PatternMatcher
}

func newGlobs(list []string) (g globs, err error) {
	g.names = map[string]bool{}
	var patterns []string
	for _, glob := range list {
		if strings.ContainsAny(glob, `*?[\!`) || strings.TrimSpace(glob) != glob {
			patterns = append(patterns, glob)
		} else {
			g.names[path.Clean(glob)] = true
		}
	}
	slices.Sort(patterns)
	g.patterns, err = patternmatcher.New(slices.Compact(patterns))
	return g, err
}

// has reports whether the patterns name a file, or a folder that it is in.
func (g globs) has(file string) bool {
	for p := file; p != "."; p = path.Dir(p) {
		if g.names[p] {
			return true
		}
	}
	hit, err := g.patterns.MatchesOrParentMatches(file)
	return hit || err != nil
}
