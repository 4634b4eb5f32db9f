// Package inbuild is what runs inside a build: small steps without a shell, each one a run of Larder's own static
// binary in a container that BuildKit made. They exist because a module layer may be made only of bytes that were
// checked against go.sum, and nothing that is already in a module cache is ever checked again by the go command.
//
// A step that fetches has a network, and trusts nothing that it brings: it is checked while it is unpacked, and leaves
// nothing if it isn't what go.sum, a pin or the checksum database says. No other step has one. Every step reads untrusted
// input, writes into an empty folder, leaves that folder empty if it fails, and writes the same tree for the same input:
// names, contents, modes and times.
package inbuild

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// Exit codes of Main.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// A usageError says that a step was called in a way it doesn't know: the caller's mistake, not the input's.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// GoCommand is the name that Larder's binary has in the step of a GO line: it is what BuildKit shows of a step that fails,
// so the flags that never differ are left out there.
const GoCommand = "/.larder/go"

// GoModules and a number is where the step of a GO line has a part of its modules, if it has not all of them in one.
const GoModules = "/.larder/modules"

// StepArgs returns the arguments for Main if a process, started with args, is a step of a build.
func StepArgs(args []string) (step []string, ok bool) {
	switch {
	case len(args) > 1 && args[1] == "in-build":
		return args[2:], true
	case len(args) > 0 && args[0] == GoCommand:
		return append([]string{"go-line", "--dir=/src", "--target=/.larder/target", "--gocache=/.larder/cache", "--deps=/.larder/deps", "--deps=/.larder/compiled"}, args[1:]...), true
	case len(args) > 0 && args[0] == "git":
		return append([]string{"git"}, args[1:]...), true
	}
	return nil, false
}

// Main runs the step that args[0] names, with the flags that follow it, and returns the exit code: 0, 1 if the step
// failed, 2 if it was called wrongly. What was done goes to stdout in a line or a few, errors to stderr, each as one
// line that starts with "larder: ".
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := caught(func() error { return run(ctx, args, stdout, stderr) })
	if err == nil {
		return exitOK
	}
	if bug := new(bugError); errors.As(err, &bug) && len(args) > 0 {
		err = fmt.Errorf("the step %s: %w", args[0], err)
	}
	if exit := new(exitError); errors.As(err, &exit) {
		return exit.code
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(stderr, "larder: %s\n", strings.TrimSuffix(line, "\n"))
	}
	if usage := new(usageError); errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return &usageError{errors.New("in-build: no step named")}
	}
	step, args := args[0], args[1:]
	switch step {
	case "modules":
		return runModules(ctx, args, stdout)
	case "fetch-toolchain":
		return runFetchToolchain(ctx, args, stdout)
	case "unpack-toolchain":
		return runUnpackToolchain(ctx, args, stdout)
	case "static":
		return runStatic(ctx, args, stdout)
	case "go":
		return runGo(ctx, args, stdout, stderr)
	case "deps":
		return runDeps(ctx, args, stdout, stderr)
	case "baseline":
		return runBaseline(args, stdout)
	case "licences":
		return runLicences(args, stdout)
	case "sbom":
		return runSBOM(args, stdout)
	case "test-results":
		return runTestResults(ctx, args, stdout)
	case "test-verdict":
		return runTestVerdict(args, stdout)
	case "git":
		return runGit(args, stdout)
	case "check-libs":
		return runCheckLibs(args, stdout)
	case "go-line":
		return runGoLine(ctx, args, stdout, stderr)
	}
	return &usageError{fmt.Errorf("in-build: unknown step %q", step)}
}

// parseFlags parses a step's flags and insists on the required ones.
func parseFlags(fs *flag.FlagSet, args []string, required ...string) error {
	if err := parseCommand(fs, args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return &usageError{fmt.Errorf("in-build %s: unexpected argument %q", fs.Name(), fs.Arg(0))}
	}
	for _, name := range required {
		if fs.Lookup(name).Value.String() == "" {
			return &usageError{fmt.Errorf("in-build %s: --%s is missing", fs.Name(), name)}
		}
	}
	return nil
}

// parseCommand parses the flags of a step that takes arguments too.
func parseCommand(fs *flag.FlagSet, args []string) error {
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); err != nil {
		return &usageError{fmt.Errorf("in-build %s: %w", fs.Name(), err)}
	}
	return nil
}

func newFlags(step string) *flag.FlagSet { return flag.NewFlagSet(step, flag.ContinueOnError) }

// A stringList is a flag that may be given several times.
type stringList []string

func (l *stringList) String() string { return strings.Join(*l, " ") }

func (l *stringList) Set(s string) error {
	*l = append(*l, s)
	return nil
}
