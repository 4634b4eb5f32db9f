package dialect

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/gocalls"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// inject gives a RUN that calls go what it needs, and reports whether nothing of the RUN is left to be run.
func (w *planner) inject(s *scope, r *ran, script gocalls.Script) (gone bool) {
	var uses, downloads []gocalls.Call
	for _, c := range script.Calls {
		switch classify(c) {
		case callUses:
			uses = append(uses, c)
		case callDownload:
			downloads = append(downloads, c)
		case callWrites:
			w.note(r.node, "left as it is: go %s writes the module cache", words(c))
			return false
		}
	}
	calls := append(slices.Clone(uses), downloads...)
	if len(calls) == 0 {
		return false
	}
	mods, why := w.modulesFor(s, r, calls)
	if why != "" {
		w.note(r.node, "left as it is: %s", why)
		return false
	}
	if len(downloads) > 0 && !mods.has() {
		w.note(r.node, "left as it is: there are no modules to mount in its place")
		return false
	}
	if len(downloads) > 0 {
		edits, ok := w.answerDownloads(r, script, downloads)
		if !ok {
			return false
		}
		if edits == nil {
			return w.dropRun(r)
		}
		r.change("true for go mod download", edits...)
	}
	w.mountFor(s, r, uses, mods)
	w.noteArgs(s, r, uses)
	if r.network == "" && isLocal(script) && (mods.has() || mods.vendored || mods.empty) {
		r.network = instructions.NetworkNone
		r.added = append(r.added, "--network="+r.network)
		r.change("no network")
	}
	return false
}

// noteArgs notes the go command's settings among the build arguments that a RUN doesn't see, though a line of GO would.
func (w *planner) noteArgs(s *scope, r *ran, uses []gocalls.Call) {
	for _, name := range append([]string{"GOWORK"}, settings...) {
		unseen := slices.ContainsFunc(uses, func(c gocalls.Call) bool {
			_, set, known := s.value(&c, name)
			return known && !set
		})
		if unseen && w.BuildArgs[name] != "" {
			w.note(r.node, "the build argument %s has no effect on it: declare it with ARG %[1]s in its stage", name)
		}
	}
}

// A found is the module caches that calls of a RUN need.
type found struct {
	targets  map[string]*Modules // by where the call's GOMODCACHE is
	vendored bool
	empty    bool // the modules need no others
	path     string
}

func (f found) has() bool { return len(f.targets) > 0 }

// modulesFor finds the modules for the calls of a RUN, or says why it gets none.
func (w *planner) modulesFor(s *scope, r *ran, calls []gocalls.Call) (found, string) {
	out := found{targets: map[string]*Modules{}}
	if why := w.hands(s, r, calls); why != "" {
		return out, why
	}
	for _, c := range calls {
		target, ok := s.goModCache(&c)
		if !ok {
			return out, "where its GOMODCACHE is isn't known"
		}
		if slices.ContainsFunc(r.mounts, func(m mount) bool { return overlaps(s.abs(m.target), target) }) {
			return out, fmt.Sprintf("it has a mount of its own at %s", target)
		}
		mods, why := w.callModules(s, r, &c)
		if why != "" {
			return out, why
		}
		if mods == nil {
			return out, "no go.mod of the build context belongs to it"
		}
		if out.path == "" {
			out.path = mods[0].Path
		}
		m, err := w.needModules(mods, s, &c)
		if err != nil {
			return out, err.Error()
		}
		if m != nil && m.Private > 0 && s.credentials > 0 {
			return out, fmt.Sprintf("line %d sets up credentials for its private modules: pass them as the secret netrc, goauth or gitconfig, or with --ssh default, leave that line out, and Larder fetches them", s.credentials)
		}
		if m == nil {
			out.vendored = out.vendored || mods[0].Vendored
			out.empty = out.empty || !mods[0].Vendored
			continue
		}
		if have := out.targets[target]; have != nil && have != m {
			return out, "its calls of go belong to different modules: ask for what it needs with --mount=type=gomod"
		}
		if !r.asked {
			out.targets[target] = m
		}
	}
	return out, ""
}

// hands says why a RUN is better left to itself, as far as its settings show that.
func (w *planner) hands(s *scope, r *ran, calls []gocalls.Call) string {
	if w.kept[r.node.StartLine] != "" {
		return w.kept[r.node.StartLine]
	}
	if s.ownSecrets == "" {
		s.ownSecrets = r.bringsOwn()
	}
	if s.ownSecrets != "" {
		return s.ownSecrets
	}
	for _, c := range calls {
		flags, _, known := s.value(&c, "GOFLAGS")
		switch mod, _, _ := s.value(&c, "GO111MODULE"); {
		case !known:
			return "its GOFLAGS aren't known"
		case strings.Contains(flags, "-mod=mod"):
			return "GOFLAGS has -mod=mod: it may fetch what no go.sum lists"
		case mod == "off":
			return "GO111MODULE is off"
		}
		if v, _, _ := s.value(&c, "GOFIPS140"); v != "" && v != "off" && v != "latest" {
			return "GOFIPS140=" + v + " is unpacked into the module cache, and ours is read-only: write GO in a FROM go stage"
		}
	}
	return ""
}

// overlaps reports whether one folder is the other, or in it.
func overlaps(a, b string) bool {
	_, in := below(a, b)
	_, out := below(b, a)
	return in || out
}

// callModules returns the modules that a call is for: that of the folder it runs in, as far as COPY and bind mounts show
// where that comes from; else the one at the root of the build context, else all there are.
func (w *planner) callModules(s *scope, r *ran, c *gocalls.Call) ([]Module, string) {
	here := s.clone()
	for _, m := range r.mounts {
		if m.kind == kindBind && m.from == "" && m.target != "" {
			source := strings.TrimPrefix(path.Clean("/"+m.source), "/")
			if path.Base(source) == "go.mod" {
				here.copies = append(here.copies, copied{path.Dir(s.abs(m.target)), path.Dir(source)})
			} else {
				here.copies = append(here.copies, copied{s.abs(m.target), path.Clean("./" + source)})
			}
		}
	}
	var dirs []string
	if dir, ok := here.contextDir(w.Tree, s.abs(c.Dir)); ok && c.DirKnown {
		dirs = []string{dir}
	} else if c.DirKnown && isModule(w.Tree, ".") || len(w.modules()) == 0 {
		dirs = []string{"."}
	} else {
		dirs = w.modules()
	}
	var mods []Module
	work, _, _ := s.value(c, "GOWORK")
	for _, dir := range dirs {
		m, err := readModule(w.Tree, dir, work == "off")
		var missing *MissingSumError
		switch {
		case errors.Is(err, ErrNoModule):
			return nil, ""
		case errors.As(err, &missing):
			w.lintAt(ruleGoSum, r.node, r.cmd.Comments(), missing.GoMod, missing.Requires)
			return nil, missing.Error()
		case err != nil:
			return nil, err.Error()
		}
		mods = append(mods, m)
	}
	return mods, ""
}

// answerDownloads returns the edits that make each 'go mod download' succeed at once, or none if nothing else is run.
func (w *planner) answerDownloads(r *ran, script gocalls.Script, downloads []gocalls.Call) ([]edit, bool) {
	rest := slices.ContainsFunc(script.Others, func(name string) bool { return !slices.Contains([]string{"set", "cd", "true", ":"}, name) })
	if !rest && len(downloads) == len(script.Calls) && !slices.ContainsFunc(downloads, func(c gocalls.Call) bool { return !c.Bare }) && !slices.ContainsFunc(r.mounts, mount.keeps) {
		return nil, true
	}
	var edits []edit
	for _, c := range downloads {
		from, to, ok := w.File.sourceAt(r, c.Start, c.End)
		if !r.cmd.PrependShell || !ok {
			w.note(r.node, "left as it is: its go mod download can't be taken out: write it as an instruction of its own")
			return nil, false
		}
		edits = append(edits, edit{from, to, "true"})
	}
	return edits, true
}

// dropRun takes out a RUN that does nothing but download.
func (w *planner) dropRun(r *ran) bool {
	w.rewrote(r.node, "go mod download is left out: the modules are mounted where they are needed",
		w.File.replaceLines(r.node, func(int, int) string { return "#" })...)
	return true
}

// mountFor adds the mounts that calls need.
func (w *planner) mountFor(s *scope, r *ran, uses []gocalls.Call, mods found) {
	for _, target := range sortedTargets(mods.targets) {
		m := mods.targets[target]
		r.added = append(r.added, w.quoteFlag("--mount=type=bind,from="+m.Context+",target="+target))
		r.change(modules(m.Zips))
	}
	done := map[string]bool{}
	for _, c := range uses {
		target, ok := s.goCache(&c)
		own := slices.ContainsFunc(r.mounts, func(m mount) bool { return overlaps(s.abs(m.target), target) })
		if !ok || own || r.asksCache || done[target] {
			continue
		}
		done[target] = true
		r.added = append(r.added, w.quoteFlag("--mount="+cacheMount("larder-run", mods.path, s, target, "")))
		r.change("a compile cache")
	}
}

func sortedTargets(m map[string]*Modules) []string {
	set := map[string]bool{}
	for k := range m {
		set[k] = true
	}
	return sortedKeys(set)
}

// isLocal reports whether nothing that a script runs has a use for a network.
func isLocal(script gocalls.Script) bool {
	return !script.HasFuncs &&
		!slices.ContainsFunc(script.Calls, func(c gocalls.Call) bool { return !compiles(c) }) &&
		!slices.ContainsFunc(script.Others, func(name string) bool { return !local[name] })
}

func words(c gocalls.Call) string {
	var list []string
	for _, a := range c.Args {
		list = append(list, a.Text)
	}
	return abbreviate(strings.Join(list, " "))
}
