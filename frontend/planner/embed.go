package planner

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// An embedError says that an embedded file doesn't exist. The go command would say so too, but only after it has
// compiled everything else.
type embedError struct {
	goslice.Embed
	remedy string
}

// Error implements error.
func (e *embedError) Error() string {
	return fmt.Sprintf("%s:%d: //go:embed %s: no file of the build context matches that pattern: %s", e.File, e.Line, e.Pattern, e.remedy)
}

// named returns the pattern's path up to its first wildcard, from the root of the tree. That is the file, or the folder
// that holds it.
func (e *embedError) named() string {
	dir := path.Dir(e.File)
	for element := range strings.SplitSeq(strings.TrimPrefix(e.Pattern, "all:"), "/") {
		if strings.ContainsAny(element, "*?[") {
			break
		}
		dir = path.Join(dir, element)
	}
	return dir
}

// missing returns an error for a pattern of a slice that matches no file on one of the platforms, or nil.
func (s *SourceSlice) missing(platforms []string, shown func(string) string, remedy string) error {
	for _, platform := range platforms {
		if list := s.Of[platform].Missing; len(list) > 0 {
			e := list[0]
			e.File = shown(e.File)
			return &embedError{e, remedy}
		}
	}
	return nil
}

// checkEmbeds returns an error if a GO line compiles a package that embeds a missing file. It returns nil if the target
// doesn't need the line's stage, or if a mount may bring the file.
func (w *planner) checkEmbeds(s *scope, g *dockerfile.GoLine, slice *SourceSlice) error {
	err := slice.missing(w.plan.Platforms, w.plan.Wide.shown, "make it before the build, or in a stage from which GO --from=STAGE takes the sources")
	if err == nil || w.Describe || mountsSources(g) || !w.needed()[s.index] {
		return nil
	}
	return err
}

// mountsSources reports whether a mount of the line itself adds files to the sources.
func mountsSources(g *dockerfile.GoLine) bool {
	return slices.ContainsFunc(g.Mounts, func(value string) bool {
		m, err := dockerfile.ParseMount(value)
		_, inside := below(step.Src, path.Clean(m.Target))
		return err != nil || inside
	})
}

// needed returns the stages that the target surely needs. It doesn't follow stages that are named by a variable.
func (w *planner) needed() map[int]bool {
	stages := w.File.Stages
	last := len(stages) - 1
	if w.Target != "" {
		if last = w.stageIndex(w.Target, len(stages)); last < 0 {
			return nil // a target of Larder's own
		}
	}
	needed := map[int]bool{}
	for todo := []int{last}; len(todo) > 0; todo = todo[1:] {
		i := todo[0]
		if i < 0 || needed[i] || stages[i].Name != "" && w.hasContext(stages[i].Name) {
			continue
		}
		needed[i] = true
		for _, name := range w.stagesOf(stages[i]) {
			if !w.hasContext(name) {
				todo = append(todo, w.stageIndex(name, i))
			}
		}
	}
	return needed
}

// stageIndex returns the index of a stage before another one, by its name or number, or -1.
func (w *planner) stageIndex(name string, before int) int {
	for i, st := range slices.Backward(w.File.Stages[:before]) {
		if st.Name != "" && strings.EqualFold(st.Name, name) {
			return i
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 0 && n < before {
		return n
	}
	return -1
}

// stagesOf returns the names by which a stage may refer to others.
func (w *planner) stagesOf(st instructions.Stage) []string {
	names := []string{(&scope{env: w.globals}).expand(w.lex, st.BaseName)}
	for _, cmd := range st.Commands {
		if c, ok := cmd.(*instructions.CopyCommand); ok {
			names = append(names, c.From)
		}
		line := cmd.Location()[0].Start.Line
		if g := w.File.GoLines[line]; g != nil {
			names = append(append(names, g.From), mountsFrom(g.Mounts)...)
		} else if n := w.File.Nodes[line]; n != nil {
			names = append(names, mountsFrom(mountFlags(n))...)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

func mountFlags(n *parser.Node) (values []string) {
	for _, flag := range n.Flags {
		if value, ok := strings.CutPrefix(flag, "--mount="); ok {
			values = append(values, value)
		}
	}
	return values
}

func mountsFrom(mounts []string) (names []string) {
	for _, value := range mounts {
		if m, err := dockerfile.ParseMount(value); err == nil {
			names = append(names, m.From)
		}
	}
	return names
}
