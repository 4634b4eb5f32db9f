// Package changes tells which lines of a Go Dockerfile run again since an older state of the same tree, and why: by the
// plans of both, and by the names of the files that differ. It exists so that CI builds only what an edit is part of.
//
// It is pure. It knows what lines read, not what a builder has in its cache: a line that it doesn't name runs again if a
// line before it does, or if its base image is another one by now.
package changes

import (
	"fmt"
	"iter"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"golang.org/x/mod/semver"
)

// A Side is a file and its plan, for the target of that.
type Side struct {
	File   dockerfile.File
	Plan   *planner.Plan
	Target string // the stage that is built; "" is the last one
}

// A Change is a line that runs again.
type Change struct {
	Line int      `json:"line"` // the line in the Dockerfile of now; 0 for a build without instructions
	Step string   `json:"step"` // what runs
	Why  []string `json:"why"`  // files, modules and settings that differ
}

// Of returns the lines of the new side, in the stages that its target is made of, that run again. changed are the files of
// the build context that differ, without those that .dockerignore leaves out on both sides.
func Of(old, new Side, changed []string) []Change {
	c := &comparison{old: old, new: new, changed: changed, modules: moduleChanges(old.Plan, new.Plan), toolchains: toolchainChanges(old.Plan, new.Plan)}
	if new.Plan.Level == 0 {
		return c.packages()
	}
	return c.lines()
}

// A Reading is a line, and what it reads of the build context.
type Reading struct {
	Line  int      // in the Dockerfile; 0 for a build without instructions
	Step  string   // what runs
	Files []string // of those that were asked for, in their order
}

// Readings yields the lines, in the stages that a side's target is made of, that read any of some files of the build
// context.
func Readings(s Side, files []string) iter.Seq[Reading] {
	c := &comparison{old: s, new: s, changed: files}
	return func(yield func(Reading) bool) {
		if s.Plan.Level == 0 {
			if n := len(s.Plan.Packages); n > 0 {
				pkg := s.Plan.Packages[n-1]
				if taken := c.which(c.compiled(pkg.Slice, pkg.Slice)); len(taken) > 0 {
					yield(Reading{0, "go build " + pkg.Dir, taken})
				}
			}
			return
		}
		for _, st := range readLines(s) {
			for _, l := range st.lines {
				if taken := c.taken(l, l); len(taken) > 0 && !yield(Reading{l.number, l.short(), taken}) {
					return
				}
			}
		}
	}
}

// A comparison finds changes.
type comparison struct {
	old, new            Side
	changed             []string
	modules, toolchains []string // how those of the new side differ
}

// packages compares builds without instructions: of the main package that is built.
func (c *comparison) packages() []Change {
	if len(c.new.Plan.Packages) == 0 {
		return nil
	}
	pkg := c.new.Plan.Packages[len(c.new.Plan.Packages)-1]
	change := Change{Step: "go build " + pkg.Dir}
	before := slices.IndexFunc(c.old.Plan.Packages, func(p planner.Package) bool { return p.Dir == pkg.Dir })
	switch {
	case c.old.Plan.Level != 0:
		change.Why = []string{"there is no instruction in the file any more"}
	case before < 0:
		change.Why = []string{"the program is new"}
	default:
		change.Why = slices.Concat(Some(c.which(c.compiled(c.old.Plan.Packages[before].Slice, pkg.Slice))), c.modules, c.toolchains)
		if was, now := settings(c.old.Plan), settings(c.new.Plan); was != now {
			change.Why = append(change.Why, fmt.Sprintf("settings: %s, were %s", now, was))
		}
	}
	if len(change.Why) == 0 {
		return nil
	}
	return []Change{change}
}

func settings(p *planner.Plan) string { return strings.Join(slices.Concat(p.Flags, p.Env), " ") }

// lines compares the lines of files with instructions.
func (c *comparison) lines() []Change {
	before := readLines(c.old)
	var list []Change
	if head(c.old.File) != head(c.new.File) {
		list = append(list, Change{Line: 1, Step: "the head of the file", Why: []string{"its directives, or ARGs before the first stage, differ"}})
	}
	for _, st := range readLines(c.new) {
		var was []line
		if i := slices.IndexFunc(before, func(b stageLines) bool { return b.name == st.name }); i >= 0 {
			was = before[i].lines
		}
		list = append(list, c.stage(was, st)...)
	}
	slices.SortStableFunc(list, func(a, b Change) int { return a.Line - b.Line })
	return list
}

// stage compares the lines of a stage with those that it had before. A line that is the same is looked for first; what is
// left on both sides is paired in order.
func (c *comparison) stage(before []line, st stageLines) (list []Change) {
	left := slices.Clone(before)
	var others []line
	last := 0 // line before that had a counterpart
	for _, l := range st.lines {
		i := slices.IndexFunc(left, func(b line) bool { return b.text == l.text })
		if i < 0 {
			others = append(others, l)
			continue
		}
		why := c.reads(left[i], l)
		if left[i].number < last {
			why = append(why, "it stood further up")
		}
		last = max(last, left[i].number)
		if len(why) > 0 {
			list = append(list, Change{l.number, l.short(), why})
		}
		left = slices.Delete(left, i, i+1)
	}
	for i, l := range others {
		why := "the line is new"
		if i < len(left) {
			why = "it was " + left[i].short()
		}
		list = append(list, Change{l.number, l.short(), []string{why}})
	}
	if len(left) > len(others) && len(st.lines) > 0 {
		gone := left[len(others)]
		list = append(list, Change{st.lines[0].number, st.lines[0].short(), []string{"there is no more line " + gone.short()}})
	}
	return list
}

// reads says why a line runs again whose text is as it was.
func (c *comparison) reads(was, l line) []string {
	if l.cmd == nil { // FROM
		if base, _, _ := strings.Cut(l.base, ":"); base == "go" {
			return c.toolchains
		}
		return nil
	}
	why := Some(c.taken(was, l))
	if _, ok := l.cmd.(*instructions.RunCommand); ok && slices.ContainsFunc(c.new.Plan.Rewrites, func(r planner.Rewrite) bool { return r.Line == l.number && r.Runs }) {
		why = append(why, c.modules...)
	}
	return why
}

// taken returns the changed files that a line takes of the build context.
func (c *comparison) taken(was, l line) []string {
	var takes []func(name string) bool
	switch cmd := l.cmd.(type) {
	case *instructions.CopyCommand:
		if cmd.From == "" {
			takes = append(takes, copied(cmd.SourcePaths))
		}
	case *instructions.AddCommand:
		takes = append(takes, copied(cmd.SourcePaths))
	case *instructions.RunCommand:
		if g := c.new.File.GoLines[l.number]; g != nil && g.From == "" {
			takes = append(takes, c.compiled(sliceOf(c.old.Plan, was.number), sliceOf(c.new.Plan, l.number)))
		}
		for _, m := range c.new.File.Mounts(l.number) {
			if m.Kind == dockerfile.KindBind && m.From == "" {
				takes = append(takes, copied([]string{m.Source}))
			}
		}
	}
	return c.which(func(name string) bool {
		return slices.ContainsFunc(takes, func(take func(string) bool) bool { return take(name) })
	})
}

// sliceOf returns what a GO line is given of the build context, or nil for all of it.
func sliceOf(p *planner.Plan, line int) *planner.SourceSlice {
	i := slices.IndexFunc(p.Slices, func(s *planner.SourceSlice) bool {
		return s.Context == fmt.Sprintf("%ssource-%d", planner.ContextPrefix, line)
	})
	if i < 0 {
		return nil
	}
	return p.Slices[i]
}

// compiled returns a function that reports whether a step compiles a file, or compiled it before.
func (c *comparison) compiled(old, new *planner.SourceSlice) func(name string) bool {
	was, is := compiles(c.old.Plan, old), compiles(c.new.Plan, new)
	return func(name string) bool { return was(name) || is(name) }
}

// compiles returns a function that reports whether a file of the build context is part of a slice.
func compiles(p *planner.Plan, s *planner.SourceSlice) func(name string) bool {
	if s == nil {
		return func(string) bool { return true }
	}
	if s.Whole {
		return func(name string) bool { return name != ".git" && !strings.HasPrefix(name, ".git/") }
	}
	files := map[string]bool{}
	var globs []string
	for _, of := range s.Of {
		for _, name := range of.Files {
			files[name] = true
		}
		globs = append(globs, of.Globs...)
	}
	matches, err := patternmatcher.New(globs)
	return func(name string) bool {
		name = path.Join(p.Wide.Base, name)
		if files[name] || err != nil {
			return true
		}
		hit, err := matches.MatchesOrParentMatches(name)
		return hit || err != nil
	}
}

// copied returns a function that reports whether sources of COPY name a file.
func copied(sources []string) func(name string) bool {
	var each []func(name string) bool
	for _, source := range sources {
		each = append(each, names(source))
	}
	return func(name string) bool {
		return slices.ContainsFunc(each, func(is func(string) bool) bool { return is(name) })
	}
}

// names returns a function that reports whether a source of COPY or ADD takes a file, or may.
func names(source string) func(file string) bool {
	if strings.Contains(source, "://") {
		return func(string) bool { return false }
	}
	source = path.Join("/", source)[1:]
	switch {
	case source == "" || strings.Contains(source, "$") || strings.Contains(source, "**"):
		return func(string) bool { return true }
	case !strings.ContainsAny(source, `*?[\`):
		return func(file string) bool { return file == source || strings.HasPrefix(file, source+"/") }
	}
	return func(file string) bool {
		for ; file != "." && file != "/"; file = path.Dir(file) { // a folder is taken whole
			if hit, err := path.Match(source, file); hit || err != nil {
				return true
			}
		}
		return false
	}
}

// shown is how many files a reason names.
const shown = 8

// which returns the changed files of which something is true.
func (c *comparison) which(is func(name string) bool) (list []string) {
	for _, name := range c.changed {
		if is(name) {
			list = append(list, name)
		}
	}
	return list
}

// Some returns the files as a reason names them: not all of many.
func Some(list []string) []string {
	if more := len(list) - shown; more > 0 {
		list = append(list[:shown], fmt.Sprintf("and %d files more", more))
	}
	return list
}

func toolchainChanges(old, new *planner.Plan) (list []string) {
	versions := func(p *planner.Plan) string {
		var all []string
		for _, t := range p.Toolchains {
			all = append(all, t.Version)
		}
		return strings.Join(all, ", ")
	}
	if was, now := versions(old), versions(new); was != now {
		list = append(list, fmt.Sprintf("%s, was %s", now, was))
	}
	return list
}

// moduleChanges lists the modules whose versions differ.
func moduleChanges(old, new *planner.Plan) (list []string) {
	was, now := moduleVersions(old), moduleVersions(new)
	for _, name := range slices.Sorted(maps.Keys(now)) {
		switch before := was[name]; {
		case before == "":
			list = append(list, fmt.Sprintf("%s %s is new", name, now[name]))
		case before != now[name]:
			list = append(list, fmt.Sprintf("%s %s, was %s", name, now[name], before))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(was)) {
		if now[name] == "" {
			list = append(list, fmt.Sprintf("%s %s is gone", name, was[name]))
		}
	}
	return list
}

// moduleVersions returns the versions of each module that a plan has the source of.
func moduleVersions(p *planner.Plan) map[string]string {
	all := map[string][]string{}
	for _, m := range p.Modules {
		for _, sum := range m.Set.Zips() {
			all[sum.Path] = append(all[sum.Path], sum.Version)
		}
	}
	versions := map[string]string{}
	for name, list := range all {
		slices.SortFunc(list, semver.Compare)
		versions[name] = strings.Join(slices.Compact(list), ", ")
	}
	return versions
}
