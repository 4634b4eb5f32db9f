package planner

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// reachable returns for each stage whether the target may need it. BuildKit's frontend doesn't look up the base images
// of other stages. All stages count as needed if a trigger or a variable may name any stage, or if the target is
// Larder's own.
func (w *planner) reachable() []bool {
	reached := make([]bool, len(w.File.Stages))
	all := slices.Repeat([]bool{true}, len(reached))
	last := len(reached) - 1
	if w.Target != "" {
		last = w.stageIndex(w.Target, len(reached))
	}
	if last < 0 {
		return all
	}
	reached[last] = true
	for i := last; i >= 0; i-- {
		if !reached[i] {
			continue
		}
		st := w.File.Stages[i]
		names := w.stagesOf(st)
		triggers := slices.ContainsFunc(st.Commands, func(cmd instructions.Command) bool {
			_, ok := cmd.(*instructions.OnbuildCommand)
			return ok
		})
		if triggers || slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, "$") }) {
			return all
		}
		for _, name := range names {
			if from := w.stageIndex(name, i); from >= 0 {
				reached[from] = true
			}
		}
	}
	return reached
}
