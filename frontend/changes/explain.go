package changes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/opencontainers/go-digest"
)

// A RanStep is a step that a builder ran: no cache had what it makes.
type RanStep struct {
	Digest digest.Digest
	Name   string
}

// Unknown is what is said of a step that ran although nothing changed.
const Unknown = "nothing that Larder knows of changed: the builder's cache has it no longer"

// Explain says of each step that ran what changed since the build that is remembered. now is what will be remembered of this
// one, and steps are its operations. files says of each file of the build context that differs how, such as "changed". What
// isn't of interest to users has no explanation: the transfer of files, say.
func Explain(old, now Memory, steps *Steps, files map[string]string, ran []RanStep) []Change {
	steps.mu.Lock()
	defer steps.mu.Unlock()
	say := func(file string) string { return file + " " + files[file] }
	e := &explanation{
		comparison: compare(old.Build, now.Build, slices.Sorted(maps.Keys(files)), say),
		before:     old, now: now, steps: steps, ran: map[*operation]bool{}, lines: map[int]Change{},
	}
	for _, change := range e.all() {
		e.lines[change.Line] = change
	}
	var shown []*operation
	for _, r := range ran {
		o := steps.find(r)
		if o == nil || o.key(now.Build.Filename) == "" || e.ran[o] {
			continue
		}
		e.ran[o] = true
		shown = append(shown, o)
	}
	list := []Change{}
	for _, o := range shown {
		change := Change{Step: o.name}
		if o.kind() == "" && !e.newFile.HeaderOnly() {
			change.Line = o.line
		}
		if change.Why = e.reasons(o); len(change.Why) == 0 {
			change.Why = e.inherited(o)
		}
		if !slices.ContainsFunc(list, change.equal) { // several steps may compile the same ahead
			list = append(list, change)
		}
	}
	return list
}

func (c Change) equal(d Change) bool {
	return c.Line == d.Line && c.Step == d.Step && slices.Equal(c.Why, d.Why)
}

// An explanation says why steps ran.
type explanation struct {
	*comparison
	before, now Memory
	steps       *Steps
	ran         map[*operation]bool
	lines       map[int]Change // of the Dockerfile that differ, or read what differs
}

// reasons returns what changed of what an operation reads itself.
func (e *explanation) reasons(o *operation) (why []string) {
	if o.uncached {
		return []string{"the build was asked not to use the cache (--no-cache, --no-cache-filter)"}
	}
	platforms := e.platforms(o)
	why = append(why, platforms...)
	if o.larders() && e.before.Larder != e.now.Larder {
		why = append(why, fmt.Sprintf("Larder %s, was %s", e.now.Larder, e.before.Larder))
	}
	if kind := o.kind(); kind != "" {
		why = append(why, e.own(kind, o)...)
	} else {
		why = append(why, e.lines[o.line].Why...)
	}
	if o.GetExec() != nil {
		why = append(why, e.above(o)...)
	}
	why = append(why, e.bases(o)...)
	variables, rest := e.differs(o)
	if len(platforms) == 0 { // whose variables have names that nobody looks for
		why = append(why, variables...)
	}
	if len(why) == 0 {
		why = rest
	}
	return unique(why)
}

func unique(list []string) (out []string) {
	for _, s := range list {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// platforms returns the target platforms that are new, if the operation may be for one of them.
func (e *explanation) platforms(o *operation) (why []string) {
	for _, p := range without(e.now.Build.Platforms, e.before.Build.Platforms) {
		system, arch, _ := strings.Cut(p, "/")
		arch, _, _ = strings.Cut(arch, "/")
		runs := false
		is := func(o *operation) {
			runs = runs || o.GetPlatform().GetOS() == system && o.GetPlatform().GetArchitecture() == arch
		}
		is(o)
		e.walk(o, func(from *operation) bool { // a COPY has the platform of its base
			if !e.ran[from] {
				is(from)
			}
			return !e.ran[from]
		})
		// With one platform the names of steps don't have it.
		larders := o.larders() && (len(e.now.Build.Platforms) == 1 || strings.Contains(o.name, p) || strings.Contains(o.name, "->"+arch))
		if runs || larders {
			why = append(why, fmt.Sprintf("platform %s is new: it was %s", p, listOf(e.before.Build.Platforms)))
		}
	}
	return why
}

// own returns what changed of what a step of Larder's own is made of.
func (e *explanation) own(kind string, o *operation) []string {
	switch kind {
	case step.KindOf(&step.FetchToolchain{}), step.KindOf(&step.UnpackToolchain{}), step.KindOf(&step.Static{}):
		return e.toolchains
	case step.KindOf(&step.Modules{}):
		return e.fetched(o)
	case step.KindOf(&step.Deps{}):
		return e.compiledAhead(o)
	case step.KindOf(&step.GoCommand{}):
		return e.lines[0].Why
	}
	return nil
}

// fetched returns the modules that differ of those that a step unpacks.
func (e *explanation) fetched(o *operation) []string {
	own, err := step.Read(o.GetExec().GetMeta().GetArgs())
	modules, ok := own.(*step.Modules)
	if err != nil || !ok {
		return e.modules
	}
	set, err := gomod.ParseSums(gomod.File{Name: modules.Sums, Data: e.steps.fileAt(o, modules.Sums)})
	if err != nil {
		return e.modules
	}
	has := map[string]bool{}
	for _, sum := range slices.Concat(set.Zips(), set.GoMods()) {
		has[sum.Path] = true
	}
	mine := slices.DeleteFunc(slices.Clone(e.modules), func(change string) bool {
		name, _, _ := strings.Cut(change, " ")
		return !has[name]
	})
	if len(mine) == 0 {
		return e.modules // one that is gone from it
	}
	return mine
}

// compiledAhead returns what differs of what a step compiles that isn't the main module's.
func (e *explanation) compiledAhead(o *operation) (why []string) {
	why = append(why, e.toolchains...)
	own, err := step.Read(o.GetExec().GetMeta().GetArgs())
	if deps, ok := own.(*step.Deps); err == nil && ok && deps.Dir != "/" { // where a module is
		why = append(why, e.modules...)
	}
	now := e.steps.facts(o, e.before.Salt)
	was := now.closest(e.before.Steps[o.key("")])
	if was == nil {
		return append(why, "the step is new")
	}
	for _, name := range without(now.Imports, was.Imports) {
		why = append(why, name+" is imported now")
	}
	for _, name := range without(was.Imports, now.Imports) {
		why = append(why, name+" is imported no more")
	}
	return append(Some(why), flagChanges(was.Flags, now.Flags)...)
}

// above returns the changes of lines above an operation that are no steps themselves, but decide what it makes.
func (e *explanation) above(o *operation) (why []string) {
	if o.kind() != "" {
		return nil
	}
	for _, st := range readLines(e.newFile, e.new.Stages) {
		if !slices.ContainsFunc(st.lines, func(l line) bool { return l.number == o.line }) {
			continue
		}
		for _, l := range st.lines {
			decides := l.cmd == nil // FROM
			switch l.cmd.(type) {
			case *instructions.UserCommand, *instructions.ShellCommand:
				decides = o.GetExec() != nil
			case *instructions.WorkdirCommand:
				decides = true
			}
			if change, ok := e.lines[l.number]; ok && decides && l.number < o.line {
				why = append(why, e.at(change)...)
			}
		}
	}
	return why
}

// at returns the reasons of a change of a line, for another line.
func (e *explanation) at(change Change) (why []string) {
	for _, reason := range change.Why {
		why = append(why, fmt.Sprintf("line %d, %s: %s", change.Line, change.Step, reason))
	}
	return why
}

// bases returns the images with another digest than before, which an operation is made of without a step between that ran.
func (e *explanation) bases(o *operation) (why []string) {
	e.walk(o, func(from *operation) bool {
		ref, dgst := from.image()
		if was := e.before.Images[ref]; ref != "" && dgst != "" && len(was) > 0 && !slices.Contains(was, dgst) {
			why = append(why, fmt.Sprintf("base %s is %s now, was %s", ref, short(dgst), short(was[0])))
		}
		return !e.ran[from]
	})
	return why
}

func short(dgst string) string {
	if algorithm, hex, ok := strings.Cut(dgst, ":"); ok && len(hex) > 12 {
		return algorithm + ":" + hex[:12]
	}
	return dgst
}

// differs returns the variables of a step that have other values than before. If the rest of it differs, other says that.
func (e *explanation) differs(o *operation) (variables, other []string) {
	key := o.key(e.new.Filename)
	if o.kind() == "" {
		key = lineKey(e.same[o.line])
	}
	now := e.steps.facts(o, e.before.Salt)
	was := now.closest(e.before.Steps[key])
	if was == nil {
		return nil, nil
	}
	for _, name := range slices.Sorted(maps.Keys(now.Variables)) {
		switch before, there := was.Variables[name]; {
		case !there:
			variables = append(variables, fmt.Sprintf("variable %s is new%s", name, e.setting(name)))
		case before != now.Variables[name]:
			variables = append(variables, fmt.Sprintf("variable %s has another value%s", name, e.setting(name)))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was.Variables)) {
		if _, there := now.Variables[name]; !there {
			variables = append(variables, fmt.Sprintf("variable %s is gone", name))
		}
	}
	if now.Rest != was.Rest {
		other = []string{"its command or its options differ"}
	}
	return variables, other
}

// setting returns where the Dockerfile sets a variable anew, to stand after its name, or "".
func (e *explanation) setting(name string) string {
	for _, number := range slices.Sorted(maps.Keys(e.lines)) {
		l := e.newFile.Nodes[number]
		if l == nil || !strings.EqualFold(l.Value, "ENV") && !strings.EqualFold(l.Value, "ARG") {
			continue
		}
		for next := l.Next; next != nil; next = next.Next {
			if set, _, _ := strings.Cut(next.Value, "="); set == name {
				return ": " + strings.Join(e.at(e.lines[number]), ", ")
			}
		}
	}
	return ""
}

// inherited says of an operation that has no reasons of its own why it ran: what it is made of ran, or nothing is known to have
// changed.
func (e *explanation) inherited(o *operation) []string {
	var below []*operation
	var folders []string
	e.walk(o, func(from *operation) bool {
		if e.ran[from] {
			below = append(below, from)
			return false
		}
		if name, ok := strings.CutPrefix(from.GetSource().GetIdentifier(), "local://"); ok && !known(name) && o.kind() == "" {
			folders = append(folders, name)
		}
		return true
	})
	if len(below) > 0 {
		return []string{"what it is made of ran again: " + strings.Join(Some(stepNames(below)), ", ")}
	}
	if why := e.above(o); len(why) > 0 {
		return why
	}
	slices.Sort(folders)
	if folders = slices.Compact(folders); len(folders) > 0 {
		return []string{fmt.Sprintf("something changed in the named context %s, of which Larder remembers no files, or the builder's cache has it no longer", strings.Join(folders, " or "))}
	}
	return []string{Unknown}
}

// stepNames returns the lines of steps, or the names of Larder's own.
func stepNames(list []*operation) (names []string) {
	slices.SortFunc(list, func(a, b *operation) int { return cmp.Or(a.line-b.line, strings.Compare(a.name, b.name)) })
	for _, o := range list {
		name := o.name
		if o.kind() == "" {
			name = lineKey(o.line)
		}
		names = append(names, name)
	}
	return slices.Compact(names)
}

// known reports whether a folder that the client sends is one whose files are remembered, or that no line of the user's reads.
func known(name string) bool {
	return name == "context" || name == "dockerfile" || strings.HasPrefix(name, "larder-")
}

// walk visits all that an operation is made of, once. It goes no deeper where visit returns false.
func (e *explanation) walk(o *operation, visit func(from *operation) (deeper bool)) {
	seen := map[*operation]bool{}
	var from func(o *operation)
	from = func(o *operation) {
		for _, in := range o.Inputs {
			next := e.steps.all[digest.Digest(in.GetDigest())]
			if next == nil || seen[next] {
				continue
			}
			seen[next] = true
			if visit(next) {
				from(next)
			}
		}
	}
	from(o)
}
