package changes

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stageLines are the lines of a stage, FROM first.
type stageLines struct {
	name  string // its name or, where it has none, its number
	lines []line
}

// A line is an instruction.
type line struct {
	number int
	text   string
	node   *parser.Node
	cmd    instructions.Command // nil for FROM
	base   string               // of FROM
}

// readLines returns the lines of the stages that the target is made of.
func readLines(s Side) (list []stageLines) {
	f := s.File
	for _, i := range reached(f, s.Target) {
		st := f.Stages[i]
		stage := stageLines{name: strings.ToLower(st.Name)}
		if stage.name == "" {
			stage.name = fmt.Sprintf("number %d", i)
		}
		if len(st.Location) > 0 {
			stage.lines = append(stage.lines, lineAt(f, st.Location[0].Start.Line, nil, st.BaseName))
		}
		for _, cmd := range st.Commands {
			if at := cmd.Location(); len(at) > 0 {
				stage.lines = append(stage.lines, lineAt(f, at[0].Start.Line, cmd, ""))
			}
		}
		list = append(list, stage)
	}
	return list
}

func lineAt(f dockerfile.File, number int, cmd instructions.Command, base string) line {
	l := line{number: number, node: f.Nodes[number], cmd: cmd, base: base}
	if l.node != nil {
		start, _ := f.Line(l.node.StartLine)
		_, end := f.Line(l.node.EndLine)
		l.text = string(f.Data[start:end])
	}
	return l
}

// short returns the line as people are told of it.
func (l line) short() string {
	return dockerfile.Abbreviate(strings.Join(strings.Fields(strings.ReplaceAll(l.text, "\\\n", " ")), " "))
}

// mounts returns the values of the line's --mount flags.
func (l line) mounts() (list []dockerfile.Mount) {
	if l.node == nil {
		return nil
	}
	for _, flag := range l.node.Flags {
		if value, ok := strings.CutPrefix(flag, "--mount="); ok {
			m, _ := dockerfile.ParseMount(value) // of one with an error, the kind
			list = append(list, m)
		}
	}
	return list
}

// reached returns the stages that a target is made of, in the order of the file.
func reached(f dockerfile.File, target string) []int {
	find := func(name string, below int) int {
		for i, st := range slices.Backward(f.Stages[:below]) {
			if st.Name != "" && strings.EqualFold(st.Name, name) {
				return i
			}
		}
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < below {
			return i
		}
		return -1
	}
	last := len(f.Stages) - 1
	if target != "" {
		last = find(target, len(f.Stages))
	}
	if last < 0 {
		return nil
	}
	parents, seen := f.StageParents(), map[int]bool{}
	var visit func(i int)
	visit = func(i int) {
		if i < 0 || seen[i] {
			return
		}
		seen[i] = true
		visit(parents[i])
		for _, name := range sources(f, f.Stages[i]) {
			if strings.Contains(name, "$") { // any stage may be meant
				for j := range i {
					visit(j)
				}
			}
			visit(find(name, i))
		}
	}
	visit(last)
	var list []int
	for i := range f.Stages {
		if seen[i] {
			list = append(list, i)
		}
	}
	return list
}

// sources lists what a stage takes files from by name: stages, images and named contexts.
func sources(f dockerfile.File, st instructions.Stage) (names []string) {
	names = append(names, st.BaseName)
	for _, cmd := range st.Commands {
		at := cmd.Location()
		if len(at) == 0 {
			continue
		}
		l := lineAt(f, at[0].Start.Line, cmd, "")
		for _, m := range l.mounts() {
			names = append(names, m.From)
		}
		if c, ok := cmd.(*instructions.CopyCommand); ok {
			names = append(names, c.From)
		}
		if g := f.GoLines[l.number]; g != nil {
			names = append(names, g.From)
		}
	}
	return names
}

// head returns the comments before the first instruction, and the ARGs before the first stage.
func head(f dockerfile.File) string {
	end := len(f.Data)
	if len(f.Stages) > 0 && len(f.Stages[0].Location) > 0 {
		end, _ = f.Line(f.Stages[0].Location[0].Start.Line)
	}
	return string(f.Data[:end])
}
