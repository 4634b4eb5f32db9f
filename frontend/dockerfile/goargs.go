package dockerfile

import (
	"fmt"
	"slices"
	"strings"
)

// GoArgs are those arguments of a compiling go command that decide which files it reads.
type GoArgs struct {
	Patterns []string // packages
	Tags     []string // of -tags
	Flags    []string // those that change how packages of other modules are compiled
	Compiles bool     // it only compiles tests, for the target platform
	Profile  string   // -pgo: auto (or ""), off, or a file
}

// Flags of "go build", "install", "test" and "vet": see 'go help build' and 'go help testflag'.
var (
	// plainFlags have no value, and change nothing about which files are read.
	plainFlags = strings.Fields(`a n v x work json trimpath race msan asan linkshared modcacherw c short failfast benchmem fullpath cover artifacts`)
	// valueFlags have a value that names no file of the tree.
	valueFlags = strings.Fields(`p covermode asmflags buildmode gccgoflags gcflags installsuffix ldflags mod o buildvcs tags
		pgo run skip bench benchtime blockprofile blockprofilerate count coverprofile cpu cpuprofile fuzz fuzzminimizetime fuzztime list
		memprofile memprofilerate mutexprofile mutexprofilefraction outputdir parallel shuffle timeout trace vet`)
	// depFlags are flags by which packages of other modules are compiled in another way.
	depFlags = strings.Fields("trimpath race msan asan buildmode installsuffix mod tags")
)

// ReadGoArgs reads the words after a subcommand. If it can't know which files they stand for, why is the reason.
func ReadGoArgs(args []string) (a GoArgs, why string) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		if word == "-args" || word == "--args" {
			break
		}
		if !strings.HasPrefix(word, "-") {
			a.Patterns = append(a.Patterns, word)
			continue
		}
		flag, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
		name := strings.TrimPrefix(flag, "test.")
		switch {
		case slices.Contains(valueFlags, name) && (hasValue || name != "buildvcs"):
			if !hasValue {
				if len(args) == 0 {
					return a, "-" + name + " has no value"
				}
				value, args = args[0], args[1:]
			}
		case name == "buildvcs" || slices.Contains(plainFlags, name):
		default:
			return a, fmt.Sprintf("the flag -%s may name other files", name)
		}
		if why := a.add(name, value, hasValue); why != "" {
			return a, why
		}
	}
	for _, p := range a.Patterns {
		if strings.Contains(p, "$") {
			return a, p + " isn't known before the build"
		}
	}
	return a, ""
}

func (a *GoArgs) add(name, value string, hasValue bool) (why string) {
	switch name {
	case "tags":
		if strings.Contains(value, "$") {
			return "-tags=" + value + " isn't known before the build"
		}
		a.Tags = strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	case "pgo":
		if strings.Contains(value, "$") {
			return "-pgo=" + value + " isn't known before the build"
		}
		a.Profile = value
	case "c":
		a.Compiles = value != "false"
	}
	if slices.Contains(depFlags, name) {
		flag := "-" + name
		if hasValue || value != "" {
			flag += "=" + value
		}
		a.Flags = append(a.Flags, flag)
	}
	return ""
}

// linkFlags are flags that change only what is linked or printed, not what is compiled.
var linkFlags = strings.Fields("ldflags o buildvcs v x json work p")

// CompileArgs returns the arguments of a go command without those that only its linker needs, in a form that ReadGoArgs
// reads. varies reports whether the linker's flags have a variable.
func CompileArgs(args []string) (compile []string, varies bool) {
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		flag, value, hasValue := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
		isFlag := strings.HasPrefix(word, "-")
		split := isFlag && !hasValue && flag != "buildvcs" && slices.Contains(valueFlags, flag) && len(args) > 0
		if split {
			value, args = args[0], args[1:]
		}
		if isFlag && slices.Contains(linkFlags, flag) {
			varies = varies || flag == "ldflags" && strings.Contains(value, "$")
			continue
		}
		if compile = append(compile, word); split {
			compile = append(compile, value)
		}
	}
	return compile, varies
}

// ReadGoFlags reads the value of GOFLAGS. If it can't, why is the text that it can't read.
func ReadGoFlags(text string) (a GoArgs, why string) {
	if strings.ContainsAny(text, `'"$`) {
		return a, "GOFLAGS=" + text
	}
	a, why = ReadGoArgs(strings.Fields(text))
	if why != "" || len(a.Patterns) > 0 {
		return a, "GOFLAGS=" + text
	}
	return a, ""
}

// Under adds the settings of GOFLAGS that the line itself doesn't set.
func (a *GoArgs) Under(flags GoArgs) {
	if len(a.Tags) == 0 {
		a.Tags = flags.Tags
	}
	if a.Profile == "" {
		a.Profile = flags.Profile
	}
	// Without what the line says, too: lines that say the same in either way compile alike.
	again := func(flag string) bool { return slices.Contains(a.Flags, flag) }
	a.Flags = append(slices.DeleteFunc(slices.Clone(flags.Flags), again), a.Flags...)
}
