package dialect

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/larder-build/larder/internal/gocalls"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// findKept finds the RUN lines whose 'go mod download' has to stay, since something later may need what it leaves in
// the stage and isn't seen to call go: a build tool, a script, or a COPY of the module cache. Stages are gone through
// from the last to the first, so that a stage is told what those that are made of it need.
func (w *planner) findKept() {
	w.kept = map[int]string{}
	stages := w.File.stages
	if !slices.ContainsFunc(stages, func(st instructions.Stage) bool { return slices.ContainsFunc(st.Commands, w.isDownload) }) {
		return
	}
	parents, why := w.stageTree()
	for i := len(stages) - 1; i >= 0; i-- {
		for _, cmd := range slices.Backward(stages[i].Commands) {
			if why[i] != "" && w.isDownload(cmd) {
				w.kept[cmd.Location()[0].Start.Line] = why[i]
			}
			if reason := w.opaque(cmd); reason != "" {
				why[i] = reason
			}
		}
		if p := parents[i]; p >= 0 && why[p] == "" {
			why[p] = why[i]
		}
	}
}

// stageTree returns for each stage the one that it is made of, or -1, and why a download in it has to stay, as far as
// what others copy from it says.
func (w *planner) stageTree() (parents []int, why []string) {
	named := map[string]int{}
	why = make([]string, len(w.File.stages))
	for i, st := range w.File.stages {
		parent, ok := named[strings.ToLower(st.BaseName)]
		if !ok {
			parent = -1
		}
		parents = append(parents, parent)
		for _, cmd := range st.Commands {
			c, ok := cmd.(*instructions.CopyCommand)
			if !ok {
				continue
			}
			from, ok := named[strings.ToLower(c.From)]
			if ok && slices.ContainsFunc(c.SourcePaths, func(p string) bool { return overlaps("/"+strings.Trim(p, "/"), goModCache) }) {
				why[from] = fmt.Sprintf("COPY in line %d takes the module cache from its stage", cmd.Location()[0].Start.Line)
			}
		}
		if st.Name != "" {
			named[strings.ToLower(st.Name)] = i
		}
	}
	return parents, why
}

// seen reads a RUN as far as findKept needs it.
func (w *planner) seen(cmd instructions.Command) (gocalls.Script, bool) {
	run, ok := cmd.(*instructions.RunCommand)
	if !ok || w.File.goLines[cmd.Location()[0].Start.Line] != nil {
		return gocalls.Script{}, false
	}
	return w.File.script(&ran{cmd: run}, nil)
}

// isDownload reports whether a command calls 'go mod download'.
func (w *planner) isDownload(cmd instructions.Command) bool {
	script, ok := w.seen(cmd)
	return ok && slices.ContainsFunc(script.Calls, func(c gocalls.Call) bool { return classify(c) == callDownload })
}

// unseen returns the name of a command that may call go where that isn't seen, of a RUN that doesn't ask for modules; or "".
func (w *planner) unseen(cmd instructions.Command) string {
	script, ok := w.seen(cmd)
	if !ok || w.asksModules(cmd) {
		return ""
	}
	i := slices.IndexFunc(script.Others, mayUseModules)
	if i < 0 {
		return ""
	}
	return script.Others[i]
}

// opaque says how a command may need modules without being seen to call go.
func (w *planner) opaque(cmd instructions.Command) string {
	name := w.unseen(cmd)
	if name == "" {
		return ""
	}
	return fmt.Sprintf("%s in line %d may call go, unseen: ask for the modules there with RUN --mount=type=gomod, and this download goes", name, cmd.Location()[0].Start.Line)
}

// noteUnseen notes the RUNs of stages of the golang image that may call go where it isn't seen: they get no modules. There
// has to be a module at the root of the context that needs any; it is read only if there is such a RUN.
func (w *planner) noteUnseen() {
	needed := sync.OnceValue(func() bool {
		if w.Tree == nil {
			return false
		}
		mod, err := readModule(w.Tree, ".", false)
		return err == nil && !mod.Vendored && len(mod.Set.Zips()) > 0
	})
	parents, _ := w.stageTree()
	golang := make([]bool, len(parents))
	for i, st := range w.File.stages {
		golang[i] = isGolang(st.BaseName) || parents[i] >= 0 && golang[parents[i]]
		if !golang[i] {
			continue
		}
		for _, cmd := range st.Commands {
			if name := w.unseen(cmd); name != "" && !w.callsGo(cmd) && needed() {
				w.note(w.File.nodes[cmd.Location()[0].Start.Line], "left as it is: %s may call go, unseen: ask for the modules with RUN --mount=type=gomod", name)
			}
		}
	}
}

// asksModules reports whether a RUN has a module mount by name.
func (w *planner) asksModules(cmd instructions.Command) bool {
	n := w.File.nodes[cmd.Location()[0].Start.Line]
	return slices.ContainsFunc(n.Flags, func(flag string) bool {
		value, ok := strings.CutPrefix(flag, "--mount=")
		m, err := parseMount(value)
		return ok && err == nil && m.kind == mountModules
	})
}

// Uses reports whether the file may ask for something of Larder's: a virtual base, GO, a mount of Larder's, or a RUN
// that calls go. Where it doesn't, the build context need not be read, and the file is BuildKit's alone. An error is one
// of a line that is Larder's.
func (f File) Uses(req Request) (bool, error) {
	if f.err != nil {
		return true, f.err
	}
	if f.broken {
		return len(f.goLines) > 0, nil
	}
	bases, err := f.Bases(req)
	if err != nil || len(bases) > 0 || len(f.goLines) > 0 {
		return true, err
	}
	w := &planner{Request: Request{File: f}}
	for _, st := range f.stages {
		for _, cmd := range st.Commands {
			if _, ok := cmd.(*instructions.RunCommand); ok && (w.asksOwn(cmd) || w.callsGo(cmd)) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (w *planner) asksOwn(cmd instructions.Command) bool {
	n := w.File.nodes[cmd.Location()[0].Start.Line]
	return slices.ContainsFunc(n.Flags, func(flag string) bool {
		return strings.HasPrefix(flag, "--mount=") && strings.Contains(flag, "type=go")
	})
}

func (w *planner) callsGo(cmd instructions.Command) bool {
	if !strings.Contains(w.File.nodes[cmd.Location()[0].Start.Line].Original, "go") && !slices.ContainsFunc(cmd.(*instructions.RunCommand).Files, func(f instructions.ShellInlineFile) bool { return strings.Contains(f.Data, "go") }) {
		return false
	}
	script, ok := w.seen(cmd)
	return ok && slices.ContainsFunc(script.Calls, func(c gocalls.Call) bool { return classify(c) != callNothing })
}

// placeholders returns the file with each GO line as a RUN, for BuildKit's parser to find what is wrong with the rest.
func (f File) placeholders() []byte {
	var edits []edit
	for _, g := range f.goLines {
		edits = append(edits, f.replaceLines(g.node, func(i, count int) string {
			switch {
			case count == 1:
				return `RUN ["go"]`
			case i == 0:
				return "RUN " + string(f.escape)
			case i == count-1:
				return `["go"]`
			}
			return string(f.escape)
		})...)
	}
	return f.apply(edits)
}
