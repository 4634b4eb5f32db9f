package inbuild

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/gocache"
	"github.com/larder-build/larder/internal/golang/gowords"
	"github.com/larder-build/larder/internal/step"
)

// defaultGo is the path of the go command in the official images and in FROM go. It is used because a stage may have
// another PATH.
const defaultGo = ownPath + "/go"

// A goLine is a GO line, with the flags of its step.
type goLine struct {
	step.GoLine
	line     string // all that follows GO and its flags
	compiler string // that was chosen for C; "" if none is needed, or it is the user's choice
}

// runGoLine runs the go command of a GO line, in the stage's own file system and environment.
func runGoLine(ctx context.Context, s *step.GoLine, to output) error {
	l, err := newGoLine(s)
	if err != nil {
		return err
	}
	stdout, stderr := to.stdout, to.stderr
	words, err := gowords.Expand(l.line, []rune(l.Escape)[0], os.Environ())
	if err != nil {
		return err
	}
	env, err := l.environment(os.Environ(), words)
	if err != nil {
		return err
	}
	goCommand := defaultGo
	if l.Compile != step.CompilesByOwn {
		if goCommand, err = findGo(defaultGo); err != nil {
			return err
		}
	}
	if info, err := os.Stat(l.Dir); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder %s in this stage to run GO %s in", l.Dir, l.line)
	}
	if err := errors.Join(makeFolders(words), linkModules(l.ModCache, l.Modules.Names())); err != nil {
		return err
	}
	if l.compiler != "" {
		fmt.Fprintf(stderr, "larder: C is compiled by %s\n", l.compiler)
	}
	err = l.withCache(ctx, env, func() error {
		return keepOutput(l.Stdout, stdout, func(stdout io.Writer) error {
			cmd := exec.CommandContext(ctx, goCommand, words...)
			cmd.Dir, cmd.Env = l.Dir, env
			if t := l.test(words); t != nil {
				return t.run(cmd, stdout, stderr)
			}
			return runCommand(cmd, stdout, stderr)
		})
	})
	if err != nil || l.Libs == "" {
		return err
	}
	return l.takeLibraries(words, env, stderr)
}

// withCache runs the go command of the line with its compile cache. If the line runs code of the tree, such as a test
// that may hang, no other step waits for it.
func (l *goLine) withCache(ctx context.Context, env []string, run func() error) error {
	cache := compileCache{dir: gocache.Dir(l.GoCache), deps: l.Deps}
	switch {
	case l.GoCache == "":
		return run()
	case l.Compile != "":
		return cache.inTurn(ctx, l.Dir, env, run)
	}
	if err := cache.fill(ctx); err != nil {
		return err
	}
	return run()
}

// newGoLine checks the arguments of a step, and sets defaults for empty ones.
func newGoLine(s *step.GoLine) (*goLine, error) {
	l := &goLine{GoLine: *s}
	l.ModCache, l.Work, l.Escape = cmp.Or(l.ModCache, step.ModCache), cmp.Or(l.Work, "off"), cmp.Or(l.Escape, `\`)
	problem := ""
	switch {
	case len(l.Line) != 1:
		problem = fmt.Sprintf("expected one argument after --, the GO line, not %d", len(l.Line))
	case l.Escape != `\` && l.Escape != "`":
		problem = fmt.Sprintf("--escape %q: expected \\ or `", l.Escape)
	case !slices.Contains([]string{"", step.CompilesByOwn, step.CompilesByImage}, l.Compile):
		problem = fmt.Sprintf("--compile %q: expected own or image", l.Compile)
	case l.Cgo != "" && l.Cgo != "true" && l.Cgo != "false":
		problem = fmt.Sprintf("--cgo %q: expected true or false", l.Cgo)
	case l.Stdout != "" && (!filepath.IsAbs(l.Stdout) || strings.HasSuffix(l.Stdout, "/")):
		problem = fmt.Sprintf("--stdout %q: expected the absolute path of a file", l.Stdout)
	case l.JUnit != "" && (!filepath.IsAbs(l.JUnit) || strings.HasSuffix(l.JUnit, "/")):
		problem = fmt.Sprintf("--junit %q: expected the absolute path of a file", l.JUnit)
	case l.Record != "" && !filepath.IsAbs(l.Record):
		problem = fmt.Sprintf("--record %q: expected an absolute path", l.Record)
	case l.Libs != "" && (!filepath.IsAbs(l.Libs) || filepath.Clean(l.Libs) == "/"):
		problem = fmt.Sprintf("--libs %q: expected the absolute path of a folder", l.Libs)
	}
	for _, kv := range l.Env {
		if i := strings.IndexByte(kv, '='); i <= 0 {
			problem = fmt.Sprintf("--env %q: expected KEY=VALUE", kv)
		}
	}
	if problem != "" {
		return nil, &step.UsageError{Err: errors.New("in-build go-line: " + problem)}
	}
	l.line = l.Line[0]
	return l, nil
}

// findGo returns the path of the stage's go command.
func findGo(fallback string) (string, error) {
	for _, name := range []string{"go", fallback} {
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", errors.New("this stage has no go command: start it with FROM go, or from an image that has a Go toolchain")
}

// keepOutput calls run, whose output goes to stdout. If run succeeds, the output is also written to a file, which is
// then complete.
func keepOutput(name string, stdout io.Writer, run func(stdout io.Writer) error) error {
	if name == "" {
		return run(stdout)
	}
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return fmt.Errorf("--stdout=%s: that is a folder: name a file", name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("--stdout=%s: %w", name, err)
	}
	var failed error // of run, which is returned as it is
	err := atomicfile.WriteBy(name, func(f *os.File) error {
		kept := &stdoutFile{File: f}
		if failed = run(io.MultiWriter(stdout, kept)); failed != nil {
			return failed
		}
		return kept.err
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return fmt.Errorf("--stdout=%s: %w", name, err)
	}
	return nil
}

// A stdoutFile is a writer that keeps an error instead of returning it. So a full disk doesn't end the go command
// half-way, and all output is shown.
type stdoutFile struct {
	*os.File
	err error
}

func (k *stdoutFile) Write(p []byte) (int, error) {
	if k.err == nil {
		_, k.err = k.File.Write(p)
	}
	return len(p), nil
}
