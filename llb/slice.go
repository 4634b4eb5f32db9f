package larder

import (
	"strings"

	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/moby/buildkit/client/llb"
)

// Slice returns the part of a tree that a slice names. BuildKit keys the copy by the content of what it copies: an edit
// of any other file of the tree changes nothing that comes after.
func (b Builder) Slice(tree llb.State, s goslice.Slice, label string) llb.State {
	patterns := SlicePatterns(s)
	if len(patterns) == 0 {
		return llb.Scratch().Platform(b.Platform)
	}
	return take(llb.Scratch().Platform(b.Platform), tree, patterns, label)
}

// SlicePatterns returns patterns, as those of .dockerignore, that match what a slice names and nothing else.
func SlicePatterns(s goslice.Slice) []string { return append(literals(s.Files), s.Globs...) }

// Files returns those of some files that a tree has, and nothing else of it.
func Files(tree llb.State, files []string, label string) llb.State {
	return take(llb.Scratch(), tree, literals(files), label)
}

// literals writes names as patterns.
func literals(names []string) (patterns []string) {
	for _, name := range names {
		patterns = append(patterns, literal(name))
	}
	return patterns
}

// take copies what patterns match. One copy for each file is slow, a millisecond each; one with many patterns is not.
func take(to, tree llb.State, patterns []string, label string) llb.State {
	return to.File(llb.Copy(tree, "/", "/", &llb.CopyInfo{IncludePatterns: patterns, CopyDirContentsOnly: true}), llb.WithCustomName(label))
}

// literal writes a name as a pattern that matches it alone. The syntax is .dockerignore's, which is read as a regular
// expression but for * and ?, and whose patterns lose spaces at their ends.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `!`, `\!`, ` `, `[ ]`).Replace(name)
}
