package planner

import (
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/planner/shellgo"
)

// What a call of the go command does with modules, from harmless to worst.
const (
	callNothing  = iota // it needs none
	callUses            // it reads packages or go.mod files of modules
	callDownload        // it fills the module cache, and does nothing else
	callWrites          // it writes the module cache, or may, with what no go.sum lists
)

// classify returns what a call does with modules. A call that it can't read counts as the worst.
func classify(c shellgo.Call) int {
	if len(c.Args) == 0 {
		return callNothing
	}
	if !c.Args[0].Literal {
		return callWrites
	}
	args := c.Args[1:]
	switch c.Args[0].Text {
	case "build", "test", "vet", "generate", "fix", "doc":
		return orWrites(callUses, hasFlag(args, "-mod=mod"))
	case "install", "run", "tool":
		return orWrites(callUses, slices.ContainsFunc(args, versioned) || hasFlag(args, "-mod=mod"))
	case "list":
		return orWrites(callUses, slices.ContainsFunc(args, versioned) || hasFlag(args, "-u", "-versions", "-retracted", "-mod=mod"))
	case "mod":
		return classifyMod(args)
	case "get":
		return callWrites
	case "work":
		return orWrites(callNothing, len(args) > 0 && (args[0].Text == "sync" || args[0].Text == "vendor"))
	}
	return callNothing
}

func classifyMod(args []shellgo.Word) int {
	if len(args) == 0 {
		return callNothing
	}
	switch args[0].Text {
	case "download":
		for _, a := range args[1:] {
			if !a.Literal || a.Text != "-x" {
				return callWrites
			}
		}
		return callDownload
	case "graph", "verify", "why", "vendor":
		return callUses
	case "init", "edit":
		return callNothing
	}
	return callWrites
}

// changesModule reports whether a call may write go.mod, go.sum, go.work or vendor/, or make other calls do so.
func changesModule(c shellgo.Call) bool {
	if len(c.Args) == 0 {
		return false
	}
	args := c.Args[1:]
	if !c.Args[0].Literal || hasFlag(args, "-mod=mod") {
		return true
	}
	switch c.Args[0].Text {
	case "get", "work":
		return true
	case "mod":
		return len(args) > 0 && !slices.Contains([]string{"download", "graph", "verify", "why"}, args[0].Text) && !shows(args)
	}
	return strings.Contains(c.Env["GOFLAGS"], "-mod=mod")
}

// shows reports whether a 'go mod tidy' only prints the changes that it would make.
func shows(args []shellgo.Word) bool {
	return args[0].Text == "tidy" && hasFlag(args[1:], "-diff")
}

// cleans reports whether a call is 'go clean' with one of the flags.
func cleans(c shellgo.Call, flags ...string) bool {
	return len(c.Args) > 1 && c.Args[0].Text == "clean" && hasFlag(c.Args[1:], flags...)
}

func orWrites(kind int, writes bool) int {
	if writes {
		return callWrites
	}
	return kind
}

// versioned reports whether an argument names a package at a version, such as x@latest. A program such as xargs may
// replace $@ by any package.
func versioned(a shellgo.Word) bool {
	return strings.Contains(strings.ReplaceAll(a.Text, "$@", ""), "@") && !strings.HasPrefix(a.Text, "-")
}

func hasFlag(args []shellgo.Word, flags ...string) bool {
	return slices.ContainsFunc(args, func(a shellgo.Word) bool {
		return slices.Contains(flags, a.Text) || slices.Contains(flags, strings.TrimPrefix(a.Text, "-"))
	})
}

// compiles reports whether a call compiles, tests or lists packages, so that it needs no network.
func compiles(c shellgo.Call) bool {
	return len(c.Args) == 0 || slices.Contains([]string{"build", "install", "test", "vet", "list", "run", "mod", "version", "env", "doc"}, c.Args[0].Text)
}

// goEnv holds what is known of the file that 'go env -w' writes.
type goEnv struct {
	vars env
	open bool // there may be more
}

// noteGoEnv notes what a RUN writes with 'go env -w'. GO lines don't read that file.
func (s *scope) noteGoEnv(script shellgo.Script) {
	for _, c := range script.Calls {
		if len(c.Args) < 2 || c.Args[0].Text != "env" || !hasFlag(c.Args[1:2], "-w", "-u") {
			continue
		}
		for _, arg := range c.Args[2:] {
			name, value, _ := strings.Cut(arg.Text, "=")
			if !arg.Literal {
				s.goEnv.open = true
				continue
			}
			if s.goEnv.vars == nil {
				s.goEnv.vars = env{}
			}
			s.goEnv.vars[name] = value // nothing for -u
		}
	}
}

// value returns the value of a variable for a call, whether it is set, and whether that is known. The call's own shell
// overrides the stage's environment, and that overrides what 'go env -w' wrote. Without a call it returns the stage's
// value.
func (s *scope) value(c *shellgo.Call, name string) (value string, set, known bool) {
	if c != nil {
		if c.Unknown[name] {
			if from := c.From[name]; from != "" {
				return s.env[from], true, true
			}
			return "", true, false
		}
		if v, ok := c.Env[name]; ok {
			return v, true, true
		}
	}
	v := s.env[name]
	if v == "" && c != nil {
		var ok bool
		if v, ok = s.goEnv.vars[name]; !ok && s.goEnv.open {
			return "", true, false
		}
	}
	return v, v != "", true
}

// goModCache returns the folder of a call's module cache. The bool is false if it isn't known.
func (s *scope) goModCache(c *shellgo.Call) (string, bool) {
	if v, set, known := s.value(c, "GOMODCACHE"); set || !known {
		return v, known && path.IsAbs(v)
	}
	if v, set, known := s.value(c, "GOPATH"); set || !known {
		v, _, _ = strings.Cut(v, ":")
		return path.Join(v, "pkg/mod"), known && path.IsAbs(v)
	}
	home, ok := s.homeOf(c)
	return path.Join(home, "go/pkg/mod"), ok
}

// goCache returns the folder of a call's compile cache. The bool is false if it isn't known.
func (s *scope) goCache(c *shellgo.Call) (string, bool) {
	if v, set, known := s.value(c, "GOCACHE"); set || !known {
		return v, known && path.IsAbs(v)
	}
	if v, set, known := s.value(c, "XDG_CACHE_HOME"); set || !known {
		return path.Join(v, "go-build"), known && path.IsAbs(v)
	}
	home, ok := s.homeOf(c)
	return path.Join(home, ".cache/go-build"), ok
}

func (s *scope) homeOf(c *shellgo.Call) (string, bool) {
	if c != nil && (c.Unknown["HOME"] || c.Env["HOME"] != "") {
		return c.Env["HOME"], path.IsAbs(c.Env["HOME"])
	}
	return s.home()
}
