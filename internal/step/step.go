// Package step defines the arguments and paths of in-build steps. Planner and llb write the arguments into a build's
// definition, and Larder's binary reads them inside the build. Each kind of step is a struct; its flags are listed
// once, for both sides.
//
// A step is a process whose first argument names Larder's binary in Dir, and whose next ones are "in-build", the kind of
// step, and its flags. The step of a GO line is the exception: see Go.
package step

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// These are the paths in a go stage, the same as in the official golang images.
const (
	GoRoot   = "/usr/local/go"
	ModCache = "/go/pkg/mod"
	GoCache  = "/root/.cache/go-build"
	Src      = "/src" // the sources
)

// These are Larder's own paths in a step that it adds to a build.
const (
	Dir      = "/.larder"  // Larder's binary
	Out      = "/out"      // what a step makes
	In       = "/in"       // what a step is given
	DepsDir  = "/deps"     // packages that are compiled already
	Compiled = "/compiled" // those of the module, for a step that only links
	Parts    = "/modules"  // parts of the modules, with a number
	Kept     = "/kept"     // files of modules that were fetched: a cache mount
	Needs    = "/baseline" // what a build needed that a layer of packages may be of
	GitDir   = "/git"      // Larder's binary as git
	Sources  = "/sources"  // which files of modules are compiled: see Modules.Only
)

// These are Larder's own paths in the step of a GO line, where everything else belongs to the user.
const (
	Go         = Dir + "/go"       // Larder's binary runs a GO line if it is called by that name
	Git        = Dir + "/git/git"  // and is git to the go command by that one
	LineTarget = Dir + "/target"   // variables of the target platform
	LineCache  = Dir + "/cache"    // GOCACHE: writable by the line's go command alone
	LineDeps   = Dir + "/deps"     // packages that are compiled already
	LineLinked = Dir + "/compiled" // those of the module
	LineParts  = Dir + "/modules"  // parts of the modules, with a number
)

// CommitEnv is the environment variable with the facts of a commit for Larder's git.
const CommitEnv = "LARDER_COMMIT"

// inBuild is the first argument of Larder's binary when it runs as a step.
const inBuild = "in-build"

// A Step is a pointer to one of the structs of this package.
type Step interface{ define() definition }

// A definition lists the arguments of a kind of step, in the order in which they are written.
type definition struct {
	kind  string
	flags []flagOf
	rest  *[]string // what follows "--"; nil where nothing does
	shown bool      // users see the arguments: each flag is one word, --NAME=VALUE
}

type flagOf struct {
	name     string
	value    flag.Value
	required bool
}

// A UsageError says that a step was called with invalid arguments. The mistake is in the caller, not in the input.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Args returns the arguments, without the program's name, of a process that runs a step.
func Args(s Step) []string { return append([]string{inBuild, KindOf(s)}, Flags(s)...) }

// Flags returns the flags of a step that aren't empty, and the arguments after them.
func Flags(s Step) (args []string) {
	d := s.define()
	for _, f := range d.flags {
		for _, value := range valuesOf(f.value) {
			switch {
			case isSwitch(f.value):
				args = append(args, "--"+f.name)
			case d.shown:
				args = append(args, "--"+f.name+"="+value)
			default:
				args = append(args, "--"+f.name, value)
			}
		}
	}
	if d.rest != nil {
		args = append(append(args, "--"), *d.rest...)
	}
	return args
}

// Parse reads the arguments that Flags returned into a step. Fields of missing flags keep their values. If a flag is
// given twice, the last applies; a list gets both. The error is a *UsageError.
func Parse(s Step, args []string) error {
	d := s.define()
	set := flag.NewFlagSet(d.kind, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	for _, f := range d.flags {
		set.Var(f.value, f.name, "")
	}
	failed := func(format string, args ...any) error {
		return &UsageError{fmt.Errorf("in-build "+d.kind+": "+format, args...)}
	}
	if err := set.Parse(args); err != nil {
		return failed("%w", err)
	}
	switch {
	case d.rest != nil:
		*d.rest = set.Args()
	case set.NArg() > 0:
		return failed("unexpected argument %q", set.Arg(0))
	}
	for _, f := range d.flags {
		if f.required && f.value.String() == "" {
			return failed("--%s is missing", f.name)
		}
	}
	return nil
}

// KindOf returns the kind that a step is of.
func KindOf(s Step) string { return s.define().kind }

// Read returns the step that a process runs, from its arguments, which begin with its name. It returns nil if the
// process runs no step, or a GO line's.
func Read(process []string) (Step, error) {
	kind, args := Kind(process)
	for _, s := range kinds() {
		if KindOf(s) == kind {
			return s, Parse(s, args)
		}
	}
	return nil, nil
}

// Kind returns the kind of step that a process runs, from its arguments, which begin with its name. It also returns the
// step's own arguments. The kind is "" for any other process, and for a GO line's.
func Kind(process []string) (kind string, args []string) {
	if len(process) < 3 || path.Dir(process[0]) != Dir || process[1] != inBuild {
		return "", nil
	}
	return process[2], process[3:]
}

// Of returns the kind and the arguments of the step that this process runs. The parameter has the process's arguments,
// which begin with its name, under whatever path.
func Of(process []string) (args []string, ok bool) {
	switch {
	case len(process) > 1 && process[1] == inBuild:
		return process[2:], true
	case len(process) > 0 && process[0] == Go:
		return slices.Concat([]string{KindOf(&GoLine{})}, slices.DeleteFunc(Flags(lineDefaults()), isDashes), process[1:]), true
	case len(process) > 0 && process[0] == path.Base(Git):
		return append([]string{GitKind}, process[1:]...), true
	}
	return nil, false
}

func isDashes(arg string) bool { return arg == "--" }

// A text is a flag with one value.
type text string

func (t *text) String() string         { return string(*t) }
func (t *text) Set(value string) error { *t = text(value); return nil }

// A list is a flag that may be given several times.
type list []string

func (l *list) String() string         { return strings.Join(*l, " ") }
func (l *list) Set(value string) error { *l = append(*l, value); return nil }

// An on is a flag without a value.
type on bool

func (o *on) String() string   { return strconv.FormatBool(bool(*o)) }
func (o *on) IsBoolFlag() bool { return true }
func (o *on) Set(value string) error {
	b, err := strconv.ParseBool(value)
	*o = on(b)
	return err
}

func isSwitch(value flag.Value) bool {
	_, ok := value.(*on)
	return ok
}

// valuesOf returns the values with which a flag is written, or none if the flag is empty.
func valuesOf(value flag.Value) []string {
	switch v := value.(type) {
	case *list:
		return *v
	case *on:
		if !*v {
			return nil
		}
	}
	if value.String() == "" {
		return nil
	}
	return []string{value.String()}
}

// Folders are the folders of the parts of a module cache: Prefix0, Prefix1 and so on. Their number is stored, because a
// stage may have other folders with such names.
type Folders struct {
	Prefix string
	Count  int
}

// maxFolders is more than gomod.Set.Shards makes.
const maxFolders = 100

// Names returns the folders' paths.
func (f Folders) Names() (names []string) {
	for i := range f.Count {
		names = append(names, f.Prefix+strconv.Itoa(i))
	}
	return names
}

// String returns the flag's value, PREFIX,COUNT, or "" for no folders.
func (f *Folders) String() string {
	if f.Count == 0 {
		return ""
	}
	return f.Prefix + "," + strconv.Itoa(f.Count)
}

// Set reads the flag's value.
func (f *Folders) Set(value string) error {
	prefix, count, _ := strings.Cut(value, ",")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n > maxFolders {
		return errors.New("expected PREFIX,COUNT with a count of at most " + strconv.Itoa(maxFolders))
	}
	f.Prefix, f.Count = prefix, n
	return nil
}
