package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner/shellgo"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// settle decides for each RUN whether it gets the mounts that it could get, and adds them. What go writes to a mount is
// dropped, so it is missing in the stage's caches later. Therefore a RUN isn't changed if anything after it may need
// what it leaves there. A RUN that isn't changed needs that itself.
func (w *planner) settle() {
	lines := sortedLines(w.runs)
	w.findCaches(lines)
	before := cloneModules(w.plan.Modules)
	for again := true; again; {
		w.leaveExposed()
		w.noteFilled(lines)
		w.plan.Modules = cloneModules(before)
		again = false
		for _, line := range lines {
			if r := w.runs[line]; r.left == "" && !r.filled && r.callsForModules() {
				r.left = w.takeModules(r)
				again = again || r.left != ""
			}
		}
	}
	for _, line := range lines {
		r := w.runs[line]
		if r.left == "" && r.callsForModules() {
			w.inject(r)
		} else {
			w.leave(r)
		}
		w.finish(r)
	}
	slices.SortStableFunc(w.plan.Rewrites, func(a, b Rewrite) int { return a.Line - b.Line })
}

// noteFilled finds the RUNs in stages where go has a module cache of its own, because an earlier RUN wasn't changed.
// The modules are there already, or a mount would hide what is there.
func (w *planner) noteFilled(lines []int) {
	filled := make([]bool, len(w.scopes))
	for _, line := range lines {
		r := w.runs[line]
		if p := r.scope.parent; p >= 0 {
			filled[r.stage] = filled[r.stage] || filled[p]
		}
		r.filled = filled[r.stage] && !w.offline()
		if r.left != "" && r.callsForModules() && !r.elsewhere {
			filled[r.stage] = true
		}
	}
	for _, line := range lines {
		if r := w.runs[line]; r.filled && r.left == "" && r.callsForModules() && len(r.uses) == 0 {
			r.left = "an earlier line fills the module cache of its stage"
		}
	}
}

// leaveExposed notes the RUNs that aren't changed because of what comes after them. It goes from the last stage to the
// first, so that a stage knows what the stages made from it need. In an offline build it notes nothing: a RUN that
// isn't changed would fail there, so a guess can do no harm.
func (w *planner) leaveExposed() {
	if w.offline() {
		return
	}
	why := w.exposed()
	for i, st := range slices.Backward(w.File.Stages) {
		for _, cmd := range slices.Backward(st.Commands) {
			if r := w.runs[cmd.Location()[0].Start.Line]; r != nil {
				if r.left == "" && r.callsForModules() {
					r.left, r.exposed = why[i], why[i] != ""
				}
				if reason := w.leansOn(r); reason != "" && !r.exposed {
					why[i] = reason
				}
			}
			if _, ok := cmd.(*instructions.OnbuildCommand); ok {
				why[i] = fmt.Sprintf("ONBUILD in line %d may need what this leaves in the module cache", cmd.Location()[0].Start.Line)
			}
		}
		if p := w.scopes[i].parent; p >= 0 && why[p] == "" {
			why[p] = why[i]
		}
	}
}

// exposed says for each stage what copies the go command's caches out of it, or returns "".
func (w *planner) exposed() []string {
	why := make([]string, len(w.scopes))
	for _, t := range w.taken {
		if slices.ContainsFunc(w.caches[t.stage], func(dir string) bool { return t.path == "" || overlaps(t.path, dir) }) {
			why[t.stage] = t.by + " takes from its stage what go leaves there"
		}
	}
	why[w.target().index] = "its stage is of the image that is built, and with it what go leaves there: " + askByName
	return why
}

// leansOn says why a RUN may need what earlier ones leave in the module cache, or returns "".
func (w *planner) leansOn(r *runLine) string {
	line := r.node.StartLine
	switch {
	case !r.known:
		return fmt.Sprintf("RUN in line %d can't be read, and may need what this leaves in the module cache", line)
	case r.asked, r.left == "" && len(r.uses) > 0:
		return "" // it has modules of its own
	}
	for _, c := range r.script.Calls {
		if classify(c) == callUses || changesModule(c) {
			return fmt.Sprintf("go %s in line %d is left as it is, and may need what this leaves in the module cache", words(c), line)
		}
	}
	p := pathReader{w.lex, r.scope}
	for _, c := range r.script.Commands {
		name := commandName(c)
		if !harmless[name] && !copying[name] && !showsItself(c) {
			return fmt.Sprintf("%s in line %d may call go, unseen: ask for the modules there with RUN --mount=type=gomod", c.Name, line)
		}
		if why := p.reads(c, w.caches[r.stage]); why != "" {
			return fmt.Sprintf("%s in line %d", why, line)
		}
	}
	return ""
}

// findCaches finds the cache folders of the calls of go in each stage, and in the stages that it is made from.
func (w *planner) findCaches(lines []int) {
	w.caches = make([][]string, len(w.scopes))
	for _, line := range lines {
		r := w.runs[line]
		w.caches[r.stage] = append(w.caches[r.stage], r.caches()...)
	}
	for i, s := range w.scopes {
		if s.parent >= 0 {
			w.caches[i] = append(w.caches[i], w.caches[s.parent]...)
		}
		slices.Sort(w.caches[i])
		w.caches[i] = slices.Compact(w.caches[i])
	}
}

// takeModules adds the modules that a RUN needs to the plan. It returns the reason if the RUN can't get them, or "".
func (w *planner) takeModules(r *runLine) string {
	r.modules = map[string]*Modules{}
	for _, n := range r.needs {
		scope, call := w.fetchedBy(r, n)
		m, err := w.needModules([]gotree.Module{n.module}, scope, call)
		if err != nil {
			return err.Error()
		}
		if m != nil && m.Private > 0 && r.scope.credentials > 0 {
			return fmt.Sprintf("line %d sets up credentials for its private modules: pass them as the secret netrc, goauth or gitconfig, or with --ssh default, leave that line out, and Larder fetches them", r.scope.credentials)
		}
		if m == nil || r.asked {
			continue
		}
		if have := r.modules[n.target]; have != nil && have != m {
			return "its calls of go belong to different modules: ask for what it needs with --mount=type=gomod"
		}
		r.modules[n.target] = m
	}
	if len(r.downloads) == 0 {
		return ""
	}
	if len(r.modules) == 0 {
		return "there are no modules to mount in its place"
	}
	if _, ok := w.answerDownloads(r); !ok {
		return "its go mod download can't be taken out: write it as an instruction of its own"
	}
	return ""
}

// fetchedBy returns the call whose settings decide where modules come from, and its scope. That is an earlier go mod
// download which the plan removes, or else the call itself. The download would have fetched the modules with its own
// settings, and the later calls would have fetched nothing.
func (w *planner) fetchedBy(r *runLine, n moduleNeed) (*scope, *shellgo.Call) {
	for _, line := range sortedLines(w.runs) {
		before := w.runs[line]
		if line > r.node.StartLine || before.left != "" || before.filled || !w.madeOf(r.stage, before.stage) {
			continue
		}
		for _, have := range before.needs {
			if have.module.Dir == n.module.Dir && have.target == n.target && classify(have.call) == callDownload && (before != r || have.call.Start < n.call.Start) {
				return before.scope, &have.call
			}
		}
	}
	return r.scope, &n.call
}

// madeOf reports whether a stage is the same as another, or comes FROM it.
func (w *planner) madeOf(stage, other int) bool {
	for stage > other {
		stage = w.scopes[stage].parent
	}
	return stage == other
}

// leave notes why a RUN isn't changed.
func (w *planner) leave(r *runLine) {
	if r.left == "" {
		return
	}
	w.note(r.node, "left as it is: %s", r.left)
	if len(r.downloads) > 0 {
		w.lintAt(staysDownload(r.left), r.node, r.cmd.Comments())
	}
}

// inject adds the mounts that a RUN needs. In a stage with a module cache of its own, that is only a compile cache.
func (w *planner) inject(r *runLine) {
	if !r.filled {
		if len(r.downloads) > 0 {
			edits, _ := w.answerDownloads(r)
			if edits == nil {
				w.dropRun(r)
				return
			}
			r.change("true for go mod download", edits...)
		}
		w.mountModules(r)
	}
	w.mountCaches(r)
	if r.scope.guessed && len(r.added) > 0 {
		w.note(r.node, "a plan doesn't read its base image: by what that sets, 'larder build' may mount the modules elsewhere, or leave it as it is")
	}
	w.noteArgs(r)
	if w.File.NoNetwork && r.network == "" && isLocal(r.script) {
		r.network = instructions.NetworkNone
		r.added = append(r.added, "--network="+r.network)
		r.change("no network")
	}
}

// mountModules adds the mounts of modules. go can write to them, so that it can fetch what is missing, but what it
// writes is dropped. A command that removes the module cache would fail at a mount, so the command is edited so that
// its failure doesn't matter.
func (w *planner) mountModules(r *runLine) {
	for _, target := range r.sortedTargets() {
		m := r.modules[target]
		r.added = append(r.added, w.quoteFlag("--mount=type=bind,from="+m.Context+",target="+target+",rw"))
		r.change(modules(m.Zips))
	}
	if len(r.modules) == 0 {
		return
	}
	for _, c := range r.removals(w.lex) {
		if from, to, ok := sourceAt(w.File, r, c.Start, c.End); ok {
			r.change("a removal that may fail", dockerfile.Edit{Start: from, End: to, Text: "{ " + string(w.File.Data[from:to]) + " || true; }"})
		}
	}
}

// mountCaches adds the mounts of compile caches that calls need.
func (w *planner) mountCaches(r *runLine) {
	done := map[string]bool{}
	for _, c := range r.uses {
		target, ok := r.scope.goCache(&c)
		own := slices.ContainsFunc(r.mounts, func(m dockerfile.Mount) bool { return overlaps(r.scope.abs(m.Target), target) })
		if !ok || own || r.asksCache || done[target] || !r.keepsCache(w.lex, target) {
			continue
		}
		done[target] = true
		r.added = append(r.added, w.quoteFlag("--mount="+cacheMount(r.scope, target, cacheName("larder-run", r.needs[0].module.Path, r.scope))))
		r.change("a compile cache")
	}
}

// answerDownloads returns edits that turn each 'go mod download' into arguments of the command true, so that it
// succeeds at once. It returns none if the RUN does nothing else. The bool is false if a download can't be edited.
func (w *planner) answerDownloads(r *runLine) ([]dockerfile.Edit, bool) {
	rest := slices.ContainsFunc(r.script.Others, func(name string) bool { return !slices.Contains([]string{"set", "cd", "true", ":"}, name) })
	if !rest && len(r.downloads) == len(r.script.Calls) && !slices.ContainsFunc(r.downloads, func(c shellgo.Call) bool { return !c.Bare }) && !slices.ContainsFunc(r.mounts, dockerfile.Mount.Keeps) {
		return nil, true
	}
	var edits []dockerfile.Edit
	for _, c := range r.downloads {
		from, to, ok := sourceAt(w.File, r, c.Start, c.End)
		if !r.cmd.PrependShell || !ok {
			return nil, false
		}
		edits = append(edits, dockerfile.Edit{Start: from, End: to, Text: "true " + string(w.File.Data[from:to])})
	}
	return edits, true
}

// dropRun removes a RUN that only downloads modules.
func (w *planner) dropRun(r *runLine) {
	w.rewrote(r.node, "go mod download is left out: the modules are mounted where they are needed",
		w.File.ReplaceLines(r.node, func(int, int) string { return "#" })...)
}

// offline reports whether the build must not use a network.
func (w *planner) offline() bool {
	v := strings.ToLower(w.BuildArgs["LARDER_OFFLINE"])
	return v == "1" || v == "t" || v == "true"
}

func sortedLines(runs map[int]*runLine) []int {
	var lines []int
	for line := range runs {
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func cloneModules(list []*Modules) []*Modules {
	var out []*Modules
	for _, m := range list {
		c := *m
		out = append(out, &c)
	}
	return out
}
