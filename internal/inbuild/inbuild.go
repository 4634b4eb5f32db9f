// Package inbuild runs in-build steps. A step has no shell: it is a run of Larder's own static binary in a container
// that BuildKit made. Steps exist because a module layer may be made only of bytes that were checked against go.sum:
// the go command never checks again what is already in a module cache.
//
// A step that fetches has a network, and trusts nothing that it brings: it is checked while it is unpacked, and leaves
// nothing if it isn't what go.sum, a pin or the checksum database says. No other step has one. Every step reads untrusted
// input, writes into an empty folder, leaves that folder empty if it fails, and writes the same tree for the same input:
// names, contents, modes and times.
package inbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/larder-build/larder/internal/step"
)

// These are the exit codes of Main.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// Main runs a step, whose kind and arguments step.Of returned, and returns the exit code: 0, 1 if the step
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
	if usage := new(step.UsageError); errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return &step.UsageError{Err: errors.New("in-build: no step named")}
	}
	kind, args := args[0], args[1:]
	runStep, ok := steps[kind]
	if !ok {
		return &step.UsageError{Err: fmt.Errorf("in-build: unknown step %q", kind)}
	}
	return runStep(ctx, args, stdout, stderr)
}

// A runner runs a kind of step.
type runner func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// steps maps the names of all kinds of steps to their runners.
var steps = map[string]runner{
	step.KindOf(&step.Modules{}):         parsed(runModules),
	step.KindOf(&step.FetchToolchain{}):  parsed(runFetchToolchain),
	step.KindOf(&step.UnpackToolchain{}): parsed(runUnpackToolchain),
	step.KindOf(&step.Static{}):          parsed(runStatic),
	step.KindOf(&step.GoCommand{}):       parsed(runGo),
	step.KindOf(&step.Deps{}):            parsed(runDeps),
	step.KindOf(&step.Baseline{}):        parsed(runBaseline),
	step.KindOf(&step.Licenses{}):        parsed(runLicenses),
	step.KindOf(&step.SBOM{}):            parsed(runSBOM),
	step.KindOf(&step.TestResults{}):     parsed(runTestResults),
	step.KindOf(&step.TestVerdict{}):     parsed(runTestVerdict),
	step.KindOf(&step.CheckLibs{}):       parsed(runCheckLibs),
	step.KindOf(&step.GoLine{}):          parsed(runGoLine),
	step.GitKind:                         runGit,
}

// output has the writers for a step's messages.
type output struct{ stdout, stderr io.Writer }

// parsed returns a runner for a function that takes the arguments of one kind of step.
func parsed[S any, P interface {
	*S
	step.Step
}](run func(context.Context, P, output) error) runner {
	return func(ctx context.Context, args []string, stdout, stderr io.Writer) error {
		s := P(new(S))
		if err := step.Parse(s, args); err != nil {
			return err
		}
		return run(ctx, s, output{stdout, stderr})
	}
}
