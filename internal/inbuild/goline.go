package inbuild

import (
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
	"github.com/larder-build/larder/internal/gowords"
)

// defaultGo is where the official images, and FROM go, have the go command: a stage may have another PATH.
const defaultGo = "/usr/local/go/bin/go"

// A goLine is a GO line, and what the flags of the step go-line say about it.
type goLine struct {
	dir, stdout     string
	junit, record   string
	target, work    string
	modCache        string
	modules         modulesFlag
	goCache, commit string
	compile         string
	cgo, escape     string
	deps            stringList
	vendor          bool
	env             stringList
	line            string
	libs            string
	compiler        string // that was chosen for C; "" if none is needed, or it is the user's choice
}

// runGoLine runs the go command as a GO line says, in the stage's own file system and environment:
//
//	go-line [flags] -- LINE
//
// LINE is all that follows GO and its flags, as one argument: continuations are joined, variables not expanded. Flags:
//
//	--dir DIR         where the go command runs (required)
//	--target FILE     lines KEY=VALUE for the target platform: GOOS, GOARCH, maybe GOARM or GOAMD64
//	--modcache DIR    GOMODCACHE; /go/pkg/mod if absent
//	--modules PARTS   GOMODCACHE gets links to what some folders have: see modulesFlag
//	--gocache DIR     GOCACHE; the stage's own if absent
//	--deps DIR        packages that are compiled already, if the folder is there: copied into GOCACHE (may be repeated)
//	--compile KIND    the line only compiles: own with the toolchain in /usr/local/go and nothing of the stage, image with what the stage has
//	--commit JSON     a commit.Commit: what git tells the go command, in place of a git of the stage's
//	--work FILE       GOWORK; off if absent
//	--vendor          take packages from vendor/
//	--cgo true|false  CGO_ENABLED, whatever the stage says
//	--env KEY=VALUE   a variable that goes before the stage's (may be repeated); GOFLAGS is added to the stage's
//	--libs DIR        copy the libraries that the programs named by -o need into DIR; an absolute path
//	--stdout FILE     keep what go prints on stdout, if it succeeds; an absolute path
//	--junit FILE      of a test: write what it says as JUnit XML, if it succeeds; an absolute path
//	--record DIR      of a test: keep its results there, and succeed if tests fail: see testRun
//	--escape CHAR     the file's escape character: \ (if absent) or `
func runGoLine(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	l, err := parseGoLine(args)
	if err != nil {
		return err
	}
	words, err := gowords.Expand(l.line, []rune(l.escape)[0], os.Environ())
	if err != nil {
		return err
	}
	env, err := l.environment(os.Environ(), words)
	if err != nil {
		return err
	}
	goCommand := defaultGo
	if l.compile != compilesByOwn {
		if goCommand, err = findGo(defaultGo); err != nil {
			return err
		}
	}
	if info, err := os.Stat(l.dir); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no folder %s in this stage to run GO %s in", l.dir, l.line)
	}
	if err := errors.Join(makeFolders(words), linkModules(l.modCache, l.modules)); err != nil {
		return err
	}
	if l.compiler != "" {
		fmt.Fprintf(stderr, "larder: C is compiled by %s\n", l.compiler)
	}
	err = l.withCache(ctx, env, func() error {
		return keepOutput(l.stdout, stdout, func(stdout io.Writer) error {
			cmd := exec.CommandContext(ctx, goCommand, words...)
			cmd.Dir, cmd.Env = l.dir, env
			if t := l.test(words); t != nil {
				return t.run(cmd, stdout, stderr)
			}
			return runCommand(cmd, stdout, stderr)
		})
	})
	if err != nil || l.libs == "" {
		return err
	}
	return l.takeLibraries(words, env, stderr)
}

// withCache runs the go command of the line with its compile cache. A line that runs code of the tree, such as a test that
// hangs, holds nobody up.
func (l *goLine) withCache(ctx context.Context, env []string, run func() error) error {
	cache := compileCache{dir: gocache.Dir(l.goCache), deps: l.deps}
	switch {
	case l.goCache == "":
		return run()
	case l.compile != "":
		return cache.inTurn(ctx, l.dir, env, run)
	}
	if err := cache.fill(ctx); err != nil {
		return err
	}
	return run()
}

func parseGoLine(args []string) (*goLine, error) {
	l := new(goLine)
	flags := newFlags("go-line")
	flags.StringVar(&l.dir, "dir", "", "where the go command runs")
	flags.StringVar(&l.target, "target", "", "file of the target platform's variables")
	flags.StringVar(&l.modCache, "modcache", "/go/pkg/mod", "GOMODCACHE")
	flags.Var(&l.modules, "modules", "parts of GOMODCACHE")
	flags.StringVar(&l.goCache, "gocache", "", "GOCACHE")
	flags.Var(&l.deps, "deps", "packages that are compiled already")
	flags.StringVar(&l.compile, "compile", "", "own or image")
	flags.StringVar(&l.commit, "commit", "", "what is known of the commit")
	flags.StringVar(&l.work, "work", "off", "GOWORK")
	flags.BoolVar(&l.vendor, "vendor", false, "take packages from vendor/")
	flags.StringVar(&l.cgo, "cgo", "", "true or false")
	flags.Var(&l.env, "env", "KEY=VALUE")
	flags.StringVar(&l.libs, "libs", "", "folder for libraries")
	flags.StringVar(&l.stdout, "stdout", "", "file for what go prints on stdout")
	flags.StringVar(&l.junit, "junit", "", "file for what tests say, as JUnit XML")
	flags.StringVar(&l.record, "record", "", "folder for the results of tests")
	flags.StringVar(&l.escape, "escape", `\`, "the file's escape character")
	if err := parseCommand(flags, args); err != nil {
		return nil, err
	}
	problem := ""
	switch {
	case l.dir == "":
		problem = "--dir is missing"
	case flags.NArg() != 1:
		problem = fmt.Sprintf("expected one argument after --, the GO line, not %d", flags.NArg())
	case l.escape != `\` && l.escape != "`":
		problem = fmt.Sprintf("--escape %q: expected \\ or `", l.escape)
	case !slices.Contains([]string{"", compilesByOwn, compilesByImage}, l.compile):
		problem = fmt.Sprintf("--compile %q: expected own or image", l.compile)
	case l.cgo != "" && l.cgo != "true" && l.cgo != "false":
		problem = fmt.Sprintf("--cgo %q: expected true or false", l.cgo)
	case l.stdout != "" && (!filepath.IsAbs(l.stdout) || strings.HasSuffix(l.stdout, "/")):
		problem = fmt.Sprintf("--stdout %q: expected the absolute path of a file", l.stdout)
	case l.junit != "" && (!filepath.IsAbs(l.junit) || strings.HasSuffix(l.junit, "/")):
		problem = fmt.Sprintf("--junit %q: expected the absolute path of a file", l.junit)
	case l.record != "" && !filepath.IsAbs(l.record):
		problem = fmt.Sprintf("--record %q: expected an absolute path", l.record)
	case l.libs != "" && (!filepath.IsAbs(l.libs) || filepath.Clean(l.libs) == "/"):
		problem = fmt.Sprintf("--libs %q: expected the absolute path of a folder", l.libs)
	}
	for _, kv := range l.env {
		if i := strings.IndexByte(kv, '='); i <= 0 {
			problem = fmt.Sprintf("--env %q: expected KEY=VALUE", kv)
		}
	}
	if problem != "" {
		return nil, &usageError{errors.New("in-build go-line: " + problem)}
	}
	l.line = flags.Arg(0)
	return l, nil
}

// findGo returns the stage's go command.
func findGo(fallback string) (string, error) {
	for _, name := range []string{"go", fallback} {
		if file, err := exec.LookPath(name); err == nil {
			return file, nil
		}
	}
	return "", errors.New("this stage has no go command: start it with FROM go, or from an image that has a Go toolchain")
}

// keepOutput has run write its output to stdout, and keeps it in a file too if run succeeds: a file that is there is
// whole.
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

// A stdoutFile remembers an error rather than return it: the go command isn't ended half-way by a disk that is full, and
// all that it says is shown.
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
