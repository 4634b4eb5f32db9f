package dockerfile

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// StageIndex returns the index of the stage that a name or a number means where the first below stages come before. It
// returns -1 if there is none.
func (f File) StageIndex(name string, below int) int {
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

// Reached returns the indexes of the stages that a target is made of, in the order of the file. The target "" is the last
// stage. There are none if no stage has the target's name.
func (f File) Reached(target string) (list []int) {
	last := len(f.Stages) - 1
	if target != "" {
		last = f.StageIndex(target, len(f.Stages))
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
		for _, name := range f.StageSources(i) {
			if strings.Contains(name, "$") { // any stage may be meant
				for j := range i {
					visit(j)
				}
			}
			visit(f.StageIndex(name, i))
		}
	}
	visit(last)
	for i := range f.Stages {
		if seen[i] {
			list = append(list, i)
		}
	}
	return list
}

// StageSources lists what a stage takes files from, its base too: see Sources.
func (f File) StageSources(i int) []string {
	names := []string{f.Stages[i].BaseName}
	for _, cmd := range f.Stages[i].Commands {
		names = append(names, f.Sources(cmd)...)
	}
	return names
}

// Sources lists what an instruction takes files from by name: stages, images and named contexts. A name is "" where it is
// the build context.
func (f File) Sources(cmd instructions.Command) (names []string) {
	at := cmd.Location()
	if len(at) == 0 {
		return nil
	}
	line := at[0].Start.Line
	for _, m := range f.Mounts(line) {
		names = append(names, m.From)
	}
	if c, ok := cmd.(*instructions.CopyCommand); ok {
		names = append(names, c.From)
	}
	if g := f.GoLines[line]; g != nil {
		names = append(names, g.From)
	}
	return names
}

// Mounts returns the values of the --mount flags of the instruction that begins at a line.
func (f File) Mounts(line int) (list []Mount) {
	n := f.Nodes[line]
	if n == nil {
		return nil
	}
	for _, flag := range n.Flags {
		if value, ok := strings.CutPrefix(flag, "--mount="); ok {
			m, _ := ParseMount(value) // of one with an error, the kind
			list = append(list, m)
		}
	}
	return list
}
