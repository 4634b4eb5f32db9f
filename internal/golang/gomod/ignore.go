package gomod

import (
	"strings"

	"golang.org/x/mod/modfile"
)

// Ignores are the ignore lines of modules in a tree: see https://go.dev/ref/mod#go-mod-file-ignore.
type Ignores struct{ lines []ignoreLine }

type ignoreLine struct{ module, pattern string }

// Add adds the ignore lines of a go.mod. The parameter dir is the folder of the go.mod, as a path in the tree; "." is
// the root.
func (i *Ignores) Add(dir string, lines []*modfile.Ignore) {
	for _, line := range lines {
		i.lines = append(i.lines, ignoreLine{dir, line.Path})
	}
}

// Has reports whether a line names a folder or one above it. A line that begins with ./ is relative to its module's
// root; another line matches anywhere below.
func (i *Ignores) Has(dir string) bool {
	for _, line := range i.lines {
		rel, below := dir, true
		if line.module != "." {
			rel, below = strings.CutPrefix(dir, line.module+"/")
		}
		root, anchored := strings.CutPrefix(line.pattern, "./")
		if below && (anchored && strings.HasPrefix(rel+"/", root+"/") || !anchored && strings.Contains("/"+rel+"/", "/"+line.pattern+"/")) {
			return true
		}
	}
	return false
}
