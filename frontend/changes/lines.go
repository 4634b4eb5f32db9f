package changes

import (
	"fmt"
	"maps"
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

// readLines returns the lines of some stages. Those that the file hasn't are left out.
func readLines(f dockerfile.File, stages []int) (list []stageLines) {
	for _, i := range stages {
		if i < 0 || i >= len(f.Stages) {
			continue
		}
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

// Stages returns the indexes of the stages of the file that the target is made of. A target of Larder's own is a stage of
// the rewritten file alone, which has all others at the same places.
func (s Side) Stages() []int {
	if reached := s.File.Reached(s.Target); len(reached) > 0 || s.Plan == nil {
		return reached
	}
	given, seen := dockerfile.Parse(s.Plan.Filename, []byte(s.Plan.Dockerfile)), map[int]bool{}
	for _, i := range given.Reached(s.Target) {
		if i < len(s.File.Stages) {
			continue
		}
		for _, name := range given.StageSources(i) {
			if at := given.StageIndex(name, i); at >= 0 && at < len(s.File.Stages) {
				for _, reached := range s.File.Reached(strconv.Itoa(at)) {
					seen[reached] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(seen))
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

// sources returns the files and folders of the build context that a line copies or mounts by their names.
func (l line) sources(f dockerfile.File) (list []string) {
	switch cmd := l.cmd.(type) {
	case *instructions.CopyCommand:
		if cmd.From == "" {
			list = append(list, cmd.SourcePaths...)
		}
	case *instructions.AddCommand:
		list = append(list, cmd.SourcePaths...)
	case *instructions.RunCommand:
		for _, m := range f.Mounts(l.number) {
			if m.Kind == dockerfile.KindBind && m.From == "" {
				list = append(list, m.Source)
			}
		}
	}
	return slices.DeleteFunc(list, func(s string) bool { return strings.Contains(s, "://") })
}

// head returns the comments before the first instruction, and the ARGs before the first stage.
func head(f dockerfile.File) string {
	end := len(f.Data)
	if len(f.Stages) > 0 && len(f.Stages[0].Location) > 0 {
		end, _ = f.Line(f.Stages[0].Location[0].Start.Line)
	}
	return string(f.Data[:end])
}
