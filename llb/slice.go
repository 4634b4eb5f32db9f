package larder

import (
	"strings"

	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/moby/buildkit/client/llb"
)

// Slice returns the files of a tree that a slice names. BuildKit keys the copy by the content of these files, so an
// edit of another file doesn't run any later step again.
func (b Builder) Slice(tree llb.State, s goslice.Slice, label string) llb.State {
	patterns := SlicePatterns(s)
	if len(patterns) == 0 {
		return llb.Scratch().Platform(b.Platform)
	}
	return take(llb.Scratch().Platform(b.Platform), tree, patterns, label)
}

// SlicePatterns returns patterns in the syntax of .dockerignore that match exactly the files of a slice.
func SlicePatterns(s goslice.Slice) []string { return append(literals(s.Files), s.Globs...) }

// Files returns those of some files that exist in a tree.
func Files(tree llb.State, files []string, label string) llb.State {
	return take(llb.Scratch(), tree, literals(files), label)
}

// literals returns patterns that match names.
func literals(names []string) (patterns []string) {
	for _, name := range names {
		patterns = append(patterns, literal(name))
	}
	return patterns
}

// take copies the files that patterns match. It is one copy with many patterns, because a copy for each file would take
// a millisecond each.
func take(to, tree llb.State, patterns []string, label string) llb.State {
	return to.File(llb.Copy(tree, "/", "/", &llb.CopyInfo{IncludePatterns: patterns, CopyDirContentsOnly: true}), llb.WithCustomName(label))
}

// literal returns a pattern that matches only a name. The syntax is that of .dockerignore. It is read as a regular
// expression except for * and ?, and a pattern loses spaces at its ends.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `!`, `\!`, ` `, `[ ]`).Replace(name)
}
