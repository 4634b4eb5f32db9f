package planner

import (
	"fmt"
	"path"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// A stagePath is a path that an instruction copies or mounts from a stage.
type stagePath struct {
	stage int
	path  string // "" if it isn't known
	by    string // the instruction
}

// noteTaken notes the paths that a COPY takes from an earlier stage.
func (w *planner) noteTaken(s *scope, cmd instructions.Command) {
	c, ok := cmd.(*instructions.CopyCommand)
	if !ok || c.From == "" {
		return
	}
	from := w.stageNamed(s.expand(w.lex, c.From), true)
	if from == nil {
		return
	}
	for _, p := range c.SourcePaths {
		w.taken = append(w.taken, stagePath{from.index, takenPath(s.expand(w.lex, p)), fmt.Sprintf("COPY in line %d", c.Location()[0].Start.Line)})
	}
}

// takenPath returns the folder or file that a path of COPY --from or of a mount names in its stage. For a pattern, it
// is the folder above the pattern. It is "" if that isn't known.
func takenPath(p string) string {
	if strings.Contains(p, "$") {
		return ""
	}
	if i := strings.IndexAny(p, "*?["); i >= 0 {
		p = path.Dir(p[:i] + "x")
	}
	return path.Join("/", p)
}
