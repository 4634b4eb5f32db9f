package llb

import (
	"strings"

	"github.com/larder-build/larder/internal/goslice"
	"github.com/moby/buildkit/client/llb"
)

// Slice returns the part of a tree that a slice names. BuildKit keys the copy by the content of what it copies: an edit
// of any other file of the tree changes nothing that comes after.
func (b Builder) Slice(tree llb.State, s goslice.Slice, label string) llb.State {
	var patterns []string
	for _, file := range s.Files {
		patterns = append(patterns, literal(file))
	}
	patterns = append(patterns, s.Globs...)
	if len(patterns) == 0 {
		return llb.Scratch().Platform(b.Platform)
	}
	// One copy for each file is slow, a millisecond each; one copy with many patterns is not.
	return llb.Scratch().Platform(b.Platform).File(llb.Copy(tree, "/", "/", &llb.CopyInfo{IncludePatterns: patterns, CopyDirContentsOnly: true}), llb.WithCustomName(label))
}

// literal writes a name as a pattern that matches it alone. The syntax is .dockerignore's, which is read as a regular
// expression but for * and ?, and whose patterns lose spaces at their ends.
func literal(name string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `!`, `\!`, ` `, `[ ]`).Replace(name)
}
