package dialect

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// reached returns for each stage whether the target needs it: BuildKit's frontend asks no registry about the base of one
// that it doesn't. All count in a file with GO lines or ONBUILD, or where the name of a stage isn't known before it is read.
func (w *planner) reached() []bool {
	needed := make([]bool, len(w.File.stages))
	all := make([]bool, len(needed))
	for i := range all {
		all[i] = true
	}
	if len(needed) == 0 || len(w.File.goLines) > 0 {
		return all
	}
	w.File.mark(needed, len(needed), w.Target, true)
	if !slices.Contains(needed, true) {
		needed[len(needed)-1] = true
	}
	for i := len(needed) - 1; i >= 0; i-- {
		if !needed[i] {
			continue
		}
		names, known := w.File.stagesOf(w.File.stages[i])
		if !known {
			return all
		}
		w.File.mark(needed, i, (&scope{env: w.globals}).expand(w.lex, w.File.stages[i].BaseName), false)
		for _, name := range names {
			w.File.mark(needed, i, name, true)
		}
	}
	return needed
}

// mark marks each of the first stages that has a name or, where that is allowed and none has it, a number.
func (f File) mark(stages []bool, first int, name string, byIndex bool) {
	found := false
	for i, st := range f.stages[:first] {
		if st.Name != "" && strings.EqualFold(st.Name, name) {
			stages[i], found = true, true
		}
	}
	if i, err := strconv.Atoi(name); !found && byIndex && err == nil && i >= 0 && i < first {
		stages[i] = true
	}
}

// stagesOf returns what the instructions of a stage name to take files from, and whether all of it is known.
func (f File) stagesOf(st instructions.Stage) (names []string, known bool) {
	for _, cmd := range st.Commands {
		switch c := cmd.(type) {
		case *instructions.OnbuildCommand:
			return nil, false
		case *instructions.CopyCommand:
			names = append(names, c.From)
		case *instructions.RunCommand:
			for _, flag := range f.nodes[c.Location()[0].Start.Line].Flags {
				if value, ok := strings.CutPrefix(flag, "--mount="); ok {
					m, _ := parseMount(value) // one with an error has no stage, and is told of elsewhere
					names = append(names, m.from)
				}
			}
		}
	}
	for _, name := range names {
		if strings.Contains(name, "$") {
			return nil, false
		}
	}
	return names, true
}
