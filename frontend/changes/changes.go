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
	return compare(old.build(), new.build(), changed, func(file string) string { return file }).all()
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
	b := s.build()
	c := compare(b, b, files, nil)
	return func(yield func(Reading) bool) {
		if c.newFile.HeaderOnly() {
			if slice := b.compiled(); b.Program != "" {
				if taken := c.which(c.compiles(slice, slice)); len(taken) > 0 {
					yield(Reading{0, "go build " + b.Program, taken})
				}
			}
			return
		}
		for _, st := range readLines(c.newFile, b.Stages) {
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
	old, new            Build
	oldFile, newFile    dockerfile.File
	changed             []string
	say                 func(file string) string // what is said of one of them
	modules, toolchains []string                 // how those of the new build differ
	same                map[int]int              // lines that are the same in both builds: old ones by new ones
}

func compare(old, new Build, changed []string, say func(file string) string) *comparison {
	return &comparison{
		old: old, new: new, oldFile: old.parse(), newFile: new.parse(), changed: changed, say: say,
		modules: moduleChanges(old, new), toolchains: toolchainChanges(old, new), same: map[int]int{},
	}
}

func (c *comparison) all() []Change {
	if c.newFile.HeaderOnly() {
		return c.program()
	}
	return c.lines()
}

// program compares builds without instructions: of the main package that is built.
func (c *comparison) program() []Change {
	if c.new.Program == "" {
		return nil
	}
	change := Change{Step: "go build " + c.new.Program}
	switch {
	case !c.oldFile.HeaderOnly():
		change.Why = []string{"there is no instruction in the file any more"}
	case c.old.Program != c.new.Program:
		change.Why = []string{"the program is new"}
	default:
		change.Why = slices.Concat(c.some(c.compiles(c.old.compiled(), c.new.compiled())), c.modules, c.toolchains)
		if c.old.Settings != c.new.Settings {
			change.Why = append(change.Why, fmt.Sprintf("settings: %s, were %s", c.new.Settings, c.old.Settings))
		}
	}
	if len(change.Why) == 0 {
		return nil
	}
	return []Change{change}
}

// lines compares the lines of files with instructions.
func (c *comparison) lines() []Change {
	before := readLines(c.oldFile, c.old.Stages)
	var list []Change
	if head(c.oldFile) != head(c.newFile) {
		list = append(list, Change{Line: 1, Step: "the head of the file", Why: []string{"its directives, or ARGs before the first stage, differ"}})
	}
	for _, st := range readLines(c.newFile, c.new.Stages) {
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
		c.same[l.number] = left[i].number
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
		why := []string{"the line is new"}
		if i < len(left) {
			why = c.rewritten(left[i], l)
		}
		list = append(list, Change{l.number, l.short(), why})
	}
	if len(left) > len(others) && len(st.lines) > 0 {
		gone := left[len(others)]
		list = append(list, Change{st.lines[0].number, st.lines[0].short(), []string{"there is no more line " + gone.short()}})
	}
	return list
}

// rewritten says how a line differs from what it was: by its flags if that is all, and if it is a GO line.
func (c *comparison) rewritten(was, l line) []string {
	before, now := c.oldFile.GoLines[was.number], c.newFile.GoLines[l.number]
	if before != nil && now != nil && slices.Equal(before.Node.Flags, now.Node.Flags) && slices.Equal(notFlags(before.Words), notFlags(now.Words)) {
		if flags := flagChanges(before.Words, now.Words); len(flags) > 0 {
			return flags
		}
	}
	return []string{"it was " + was.short()}
}

func notFlags(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return strings.HasPrefix(w, "-") })
}

// flagChanges returns the words that are flags and differ.
func flagChanges(was, now []string) (list []string) {
	name := func(word string) string { return strings.SplitAfter(word, "=")[0] }
	gone := without(was, now)
	for _, word := range without(now, was) {
		if !strings.HasPrefix(word, "-") {
			continue
		}
		i := slices.IndexFunc(gone, func(w string) bool { return name(w) == name(word) })
		if i < 0 {
			list = append(list, "flag "+word+" is new")
			continue
		}
		list = append(list, "flag "+word+", was "+gone[i])
		gone = slices.Delete(gone, i, i+1)
	}
	for _, word := range gone {
		if strings.HasPrefix(word, "-") {
			list = append(list, "flag "+word+" is gone")
		}
	}
	return list
}

// reads says why a line runs again whose text is as it was.
func (c *comparison) reads(was, l line) (why []string) {
	if l.cmd == nil { // FROM
		if base, _, _ := strings.Cut(l.base, ":"); base == "go" {
			return c.toolchains
		}
		return nil
	}
	why = c.some(c.takes(was, l))
	if slices.Contains(c.new.Given, l.number) {
		why = append(why, c.modules...)
	}
	return why
}

// sourceOf returns the name of what a GO line is given of the build context.
func sourceOf(line int) string { return fmt.Sprintf("%ssource-%d", planner.ContextPrefix, line) }

// taken returns the changed files that a line takes of the build context.
func (c *comparison) taken(was, l line) []string { return c.which(c.takes(was, l)) }

// takes returns a function that reports whether a line takes a file of the build context, or took it before.
func (c *comparison) takes(was, l line) func(name string) bool {
	takes := []func(name string) bool{copied(l.sources(c.newFile))}
	if g := c.newFile.GoLines[l.number]; g != nil && g.From == "" {
		takes = append(takes, c.compiles(c.old.slice(sourceOf(was.number)), c.new.slice(sourceOf(l.number))))
	}
	return func(name string) bool {
		return slices.ContainsFunc(takes, func(take func(string) bool) bool { return take(name) })
	}
}

// compiles returns a function that reports whether a step compiles a file, or compiled it before.
func (c *comparison) compiles(old, new *Slice) func(name string) bool {
	was, is := old.has(), new.has()
	return func(name string) bool { return was(name) || is(name) }
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

// shown is how many of a list are named.
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

// some says of the changed files of which something is true how they changed: not of all of many.
func (c *comparison) some(is func(name string) bool) (list []string) {
	for _, name := range c.which(is) {
		list = append(list, c.say(name))
	}
	return Some(list)
}

// Some returns a list as reasons have it: not all of many.
func Some(list []string) []string {
	if more := len(list) - shown; more > 0 {
		list = append(list[:shown], fmt.Sprintf("and %d more", more))
	}
	return list
}

func toolchainChanges(old, new Build) []string {
	if slices.Equal(old.Toolchains, new.Toolchains) {
		return nil
	}
	return []string{fmt.Sprintf("%s, was %s", listOf(new.Toolchains), listOf(old.Toolchains))}
}

func listOf(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// moduleChanges lists the modules whose versions differ.
func moduleChanges(old, new Build) (list []string) {
	was, now := old.Modules, new.Modules
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
