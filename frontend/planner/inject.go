package planner

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner/shellgo"
	"github.com/larder-build/larder/internal/expand"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// askByName is the advice for a RUN that could use modules, if Larder doesn't know whether that is harmless.
const askByName = "ask for the modules with RUN --mount=type=gomod"

// A moduleNeed is a call of go in a RUN, the module that it needs, and the folder of its module cache.
type moduleNeed struct {
	call   shellgo.Call
	target string
	module gotree.Module
}

// consider decides what a RUN may get for its calls of go, or notes why it gets nothing.
func (w *planner) consider(r *runLine) error {
	fetches := ""
	for _, c := range r.script.Calls {
		switch kind := classify(c); {
		case kind == callUses:
			r.uses = append(r.uses, c)
		case kind == callDownload:
			r.downloads = append(r.downloads, c)
		case kind == callWrites && (changesModule(c) || !ofVersion(c)):
			r.left = fmt.Sprintf("go %s writes the module cache", words(c))
		case kind == callWrites:
			fetches = fmt.Sprintf("go %s writes the module cache", words(c))
		}
	}
	off, err := w.optsOut(r)
	switch {
	case err != nil:
		return err
	case !r.callsForModules():
		if r.left == "" {
			r.left = fetches
		}
	case off:
		r.left = "larder:inject=off"
	case r.left == "":
		r.left = w.obstacle(r)
	}
	return nil
}

// callsForModules reports whether a RUN has a call of go that needs modules or fetches them.
func (r *runLine) callsForModules() bool { return len(r.uses)+len(r.downloads) > 0 }

// calls returns the calls of go that need modules or fetch them.
func (r *runLine) calls() []shellgo.Call { return slices.Concat(r.uses, r.downloads) }

var lineDirective = regexp.MustCompile(`^\s*larder:(\S+?)\s*=\s*(\S*)\s*$`)

// optsOut reports whether the file, or a comment above the RUN, turns automatic mounts off.
func (w *planner) optsOut(r *runLine) (bool, error) {
	off := !w.File.Inject
	for _, comment := range r.cmd.Comments() {
		m := lineDirective.FindStringSubmatch(comment)
		switch {
		case m == nil:
		case m[1] != "inject" || m[2] != "on" && m[2] != "off":
			return false, parser.WithLocation(fmt.Errorf("larder:%s=%s: above an instruction there is larder:inject=on or off", m[1], m[2]), r.node.Location())
		default:
			off = m[2] == "off"
		}
	}
	return off, nil
}

// obstacle says why a RUN gets nothing, or notes what it needs and returns "". It looks at the RUN and what comes
// before it.
func (w *planner) obstacle(r *runLine) string {
	s := r.scope
	switch {
	case r.network == instructions.NetworkDefault || r.network == instructions.NetworkHost:
		return "it has --network=" + r.network
	case s.unread:
		return "the environment of its base image isn't known"
	}
	if why := w.settingsObstacle(r); why != "" {
		return why
	}
	for _, c := range r.calls() {
		need, why := w.need(r, c)
		if why != "" {
			return why
		}
		r.needs = append(r.needs, need)
	}
	p := pathReader{w.lex, s}
	for _, c := range r.script.Commands {
		if why := p.reads(c, r.caches()); why != "" {
			return why
		}
	}
	for _, c := range r.removals(w.lex) {
		if slices.ContainsFunc(r.calls(), func(call shellgo.Call) bool { return call.Start > c.Start }) {
			return c.Name + " removes the module cache before go needs it again"
		}
		placed := false
		if c.Bare && r.cmd.PrependShell {
			_, _, placed = sourceAt(w.File, r, c.Start, c.End)
		}
		if !placed {
			return c.Name + " removes the module cache, and may not fail there: write it as a command of its own, on one line"
		}
	}
	return ""
}

// settingsObstacle says why a RUN gets nothing because of its settings, or returns "".
func (w *planner) settingsObstacle(r *runLine) string {
	s := r.scope
	if s.ownSecrets == "" {
		s.ownSecrets = r.bringsOwn()
	}
	if s.ownSecrets != "" {
		return s.ownSecrets
	}
	for _, c := range r.calls() {
		flags, _, known := s.value(&c, "GOFLAGS")
		switch mod, _, _ := s.value(&c, "GO111MODULE"); {
		case !known:
			return "its GOFLAGS aren't known"
		case strings.Contains(flags, "-mod=mod"):
			return "GOFLAGS has -mod=mod: it may fetch what no go.sum lists"
		case mod == "off":
			return "GO111MODULE is off"
		}
		switch v, _, known := s.value(&c, "GOTOOLCHAIN"); {
		case w.offline() || known && (v == "" || v == "local" || v == "path"):
		default:
			return "its GOTOOLCHAIN may fetch a toolchain, which is kept in the module cache: name an image of the Go that go.mod asks for, and set GOTOOLCHAIN=local"
		}
		if v, _, _ := s.value(&c, "GOFIPS140"); v != "" && v != "off" && v != "latest" {
			return "GOFIPS140=" + v + " is unpacked into the module cache: write GO in a FROM go stage"
		}
	}
	return ""
}

// need returns the module that a call needs, or says why that isn't known for sure.
func (w *planner) need(r *runLine, c shellgo.Call) (moduleNeed, string) {
	s := r.scope
	target, ok := s.goModCache(&c)
	if !ok {
		return moduleNeed{}, "where its GOMODCACHE is isn't known"
	}
	if i := slices.IndexFunc(r.mounts, func(m dockerfile.Mount) bool { return overlaps(s.abs(m.Target), target) }); i >= 0 {
		return moduleNeed{}, fmt.Sprintf("it has a mount of its own at %s", s.abs(r.mounts[i].Target))
	}
	if r.elsewhere = true; !c.DirKnown {
		return moduleNeed{}, "the folder in which it calls go isn't known: " + askByName
	}
	dir, why := r.mounted().moduleDir(w.Tree, s.abs(c.Dir))
	if why != "" {
		return moduleNeed{}, why + ": " + askByName
	}
	r.elsewhere = false
	work, _, _ := s.value(&c, "GOWORK")
	m, err := readModule(w.Tree, dir, work == "off")
	var missing *gotree.MissingSumError
	switch {
	case errors.As(err, &missing):
		w.lintAt(lacksGoSum(missing.GoMod, missing.Requires), r.node, r.cmd.Comments())
		return moduleNeed{}, missing.Error()
	case err != nil:
		return moduleNeed{}, err.Error()
	}
	return moduleNeed{c, target, m}, ""
}

// mounted returns the scope of a RUN with the folders that its own mounts bring.
func (r *runLine) mounted() *scope {
	here := r.scope.clone()
	for _, m := range r.mounts {
		target := here.abs(m.Target)
		source := strings.TrimPrefix(path.Clean("/"+m.Source), "/")
		switch {
		case m.Target == "" || m.Kind == dockerfile.KindSecret || m.Kind == dockerfile.KindSSH:
		case m.Kind != dockerfile.KindBind || m.From != "":
			here.copies = append(here.copies, folderCopy{dest: target, why: "the mount at " + target})
		case path.Base(source) == "go.mod":
			here.copies = append(here.copies, folderCopy{dest: path.Dir(target), src: path.Dir(source)})
		default:
			here.copies = append(here.copies, folderCopy{dest: target, src: path.Clean("./" + source)})
		}
	}
	return here
}

// caches returns the folders of the module caches and compile caches of a RUN's calls.
func (r *runLine) caches() (dirs []string) {
	for _, c := range r.calls() {
		if dir, ok := r.scope.goModCache(&c); ok {
			dirs = append(dirs, dir)
		}
		if dir, ok := r.scope.goCache(&c); ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// removals returns the commands of a RUN that may remove the module cache. They would fail, because a mount can't be
// removed.
func (r *runLine) removals(lex *expand.Lex) (list []shellgo.Command) {
	p := pathReader{lex, r.scope}
	for _, c := range r.script.Commands {
		if slices.ContainsFunc(r.needs, func(n moduleNeed) bool { return p.mayRemove(c, n.target) }) {
			list = append(list, c)
		}
	}
	for _, c := range r.script.Calls {
		if cleans(c, "-modcache") {
			list = append(list, shellgo.Command{Name: "go clean", Start: c.Start, End: c.End, Bare: c.Bare})
		}
	}
	return list
}

// keepsCache reports whether a RUN surely doesn't remove a compile cache.
func (r *runLine) keepsCache(lex *expand.Lex, cache string) bool {
	p := pathReader{lex, r.scope}
	return !slices.ContainsFunc(r.script.Commands, func(c shellgo.Command) bool { return p.mayRemove(c, cache) }) &&
		!slices.ContainsFunc(r.script.Calls, func(c shellgo.Call) bool { return cleans(c, "-cache", "-testcache", "-fuzzcache") })
}

// overlaps reports whether two folders are the same, or one is inside the other.
func overlaps(a, b string) bool {
	_, in := below(a, b)
	_, out := below(b, a)
	return in || out
}

// ofVersion reports whether a call installs or runs a package at a version. It fetches that package whatever go.mod
// says.
func ofVersion(c shellgo.Call) bool {
	return (c.Args[0].Text == "install" || c.Args[0].Text == "run") && slices.ContainsFunc(c.Args[1:], versioned)
}

func words(c shellgo.Call) string {
	var list []string
	for _, a := range c.Args {
		list = append(list, a.Text)
	}
	return dockerfile.Abbreviate(strings.Join(list, " "))
}

// noteArgs adds a note if the user sets a build argument that a RUN doesn't see. A GO line would see it.
func (w *planner) noteArgs(r *runLine) {
	for _, name := range append([]string{"GOWORK"}, settings...) {
		unseen := slices.ContainsFunc(r.uses, func(c shellgo.Call) bool {
			_, set, known := r.scope.value(&c, name)
			return known && !set
		})
		if unseen && w.BuildArgs[name] != "" {
			w.note(r.node, "the build argument %s has no effect on it: declare it with ARG %[1]s in its stage", name)
		}
	}
}

// isLocal reports whether no command of a script needs a network.
func isLocal(script shellgo.Script) bool {
	return !slices.ContainsFunc(script.Calls, func(c shellgo.Call) bool { return !compiles(c) }) &&
		!slices.ContainsFunc(script.Others, func(name string) bool { return !local[name] })
}

// sortedTargets returns the folders where modules are mounted for a RUN, sorted.
func (r *runLine) sortedTargets() []string { return slices.Sorted(maps.Keys(r.modules)) }
