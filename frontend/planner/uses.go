package planner

import (
	"slices"
	"strings"
	"sync"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner/shellgo"
	"github.com/larder-build/larder/internal/expand"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// seen reads the script of a RUN, if the default shell reads it.
func (w *planner) seen(cmd instructions.Command) (shellgo.Script, bool) {
	run, ok := cmd.(*instructions.RunCommand)
	if !ok || w.File.GoLines[cmd.Location()[0].Start.Line] != nil {
		return shellgo.Script{}, false
	}
	return scriptOf(&runLine{cmd: run}, nil)
}

// unseen returns the name of a command that may call go where the planner doesn't see it, or "". It is "" too if the
// RUN asks for modules.
func (w *planner) unseen(cmd instructions.Command) string {
	script, ok := w.seen(cmd)
	if !ok || w.asksModules(cmd) {
		return ""
	}
	i := slices.IndexFunc(script.Commands, func(c shellgo.Command) bool { return mayUseModules(c.Name) && !showsItself(c) })
	if i < 0 {
		return ""
	}
	return script.Commands[i].Name
}

// noteUnseen adds a note to RUNs in stages of the golang image that may call go where the planner doesn't see it: they
// get no modules. It does so only if the module at the root of the context needs modules. It reads that module only if
// there is such a RUN.
func (w *planner) noteUnseen() {
	needed := sync.OnceValue(func() bool {
		if w.Tree == nil {
			return false
		}
		mod, err := readModule(w.Tree, ".", false)
		return err == nil && !mod.Vendored && len(mod.Set.Zips()) > 0
	})
	parents := w.File.StageParents()
	golang := make([]bool, len(parents))
	args, lex := globalArgs(w.File, w.Request), expand.New(shell.NewLex(w.File.Escape))
	for i, st := range w.File.Stages {
		base := st.BaseName
		if word, err := lex.Word(base, args); err == nil {
			base = word.Result
		}
		golang[i] = isGolang(base) || parents[i] >= 0 && golang[parents[i]]
		if !golang[i] {
			continue
		}
		for _, cmd := range st.Commands {
			if name := w.unseen(cmd); name != "" && !w.callsGo(cmd) && needed() {
				w.note(w.File.Nodes[cmd.Location()[0].Start.Line], "left as it is: %s may call go, unseen: ask for the modules with RUN --mount=type=gomod", name)
			}
		}
	}
}

// asksModules reports whether a RUN has a mount of type gomod.
func (w *planner) asksModules(cmd instructions.Command) bool {
	n := w.File.Nodes[cmd.Location()[0].Start.Line]
	return slices.ContainsFunc(n.Flags, func(flag string) bool {
		value, ok := strings.CutPrefix(flag, "--mount=")
		m, err := dockerfile.ParseMount(value)
		return ok && err == nil && m.Kind == dockerfile.KindModules
	})
}

// Uses reports whether the file may use something of Larder's: it asks for it, or a RUN calls go. If not, the build
// context needn't be read, and BuildKit builds the file alone. An error is about a line that is Larder's.
func Uses(f dockerfile.File, req Request) (bool, error) {
	asks, err := Asks(f, req)
	if asks || err != nil || f.Broken {
		return asks, err
	}
	w := &planner{Request: Request{File: f}}
	return f.AnyRun(w.callsGo), nil
}

// Asks reports whether the file asks for something that BuildKit's frontend doesn't have: a virtual base, GO, or a
// mount of Larder's. A file without instructions does so, too. Such a file can't be built without Larder. An error is
// about a line that is Larder's.
func Asks(f dockerfile.File, req Request) (bool, error) {
	if f.Err != nil || f.HeaderOnly() {
		return true, f.Err
	}
	if f.Broken {
		return len(f.GoLines) > 0, nil
	}
	bases, err := Bases(f, req)
	if err != nil || len(bases) > 0 || len(f.GoLines) > 0 {
		return true, err
	}
	w := &planner{Request: Request{File: f}}
	return f.AnyRun(w.asksOwn), nil
}

func (w *planner) asksOwn(cmd instructions.Command) bool {
	n := w.File.Nodes[cmd.Location()[0].Start.Line]
	return slices.ContainsFunc(n.Flags, func(flag string) bool {
		return strings.HasPrefix(flag, "--mount=") && strings.Contains(flag, "type=go")
	})
}

func (w *planner) callsGo(cmd instructions.Command) bool {
	if !strings.Contains(w.File.Nodes[cmd.Location()[0].Start.Line].Original, "go") && !slices.ContainsFunc(cmd.(*instructions.RunCommand).Files, func(f instructions.ShellInlineFile) bool { return strings.Contains(f.Data, "go") }) {
		return false
	}
	script, ok := w.seen(cmd)
	return ok && slices.ContainsFunc(script.Calls, func(c shellgo.Call) bool { return classify(c) != callNothing })
}
