package inbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/cacheprog"
)

// runCacheProg is the build cache of a go command, which starts it:
//
//	cacheprog --upper DIR [--lower DIR]… [--keep DIR]
//
// See package cacheprog for the folders.
func runCacheProg(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	var lower stringList
	flags := newFlags("cacheprog")
	flags.Var(&lower, "lower", "folder that is only read")
	upper := flags.String("upper", "", "folder that is written, too")
	keep := flags.String("keep", "", "folder for all that is used")
	if err := parseFlags(flags, args, "upper"); err != nil {
		return err
	}
	server := cacheprog.Server{Upper: cacheprog.Dir(*upper), Keep: cacheprog.Dir(*keep)}
	for _, dir := range lower {
		server.Lower = append(server.Lower, cacheprog.Dir(dir))
	}
	return server.Serve(ctx, stdin, stdout)
}

// goCacheProg returns a value for GOCACHEPROG: this binary, as the step cacheprog. A lower folder that isn't there is
// left out. A go command before Go 1.24 doesn't ask for it, and uses GOCACHE, which is the upper folder: see copyDeps.
func goCacheProg(upper, keep string, lower ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding Larder's own binary: %w", err)
	}
	prog := self + " in-build cacheprog --upper=" + upper
	for _, dir := range lower {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			prog += " --lower=" + dir
		}
	}
	if keep != "" {
		prog += " --keep=" + keep
	}
	return prog, nil
}

// runDeps compiles packages, and keeps what was compiled as a lower folder for the steps that need them:
//
//	deps --dir DIR --out DIR [--imports FILE] [--lower DIR] -- ARG…
//
// DIR is the module's folder, and ARG are flags and packages of go build. FILE has import paths of more packages, each
// on a line: for packages of other modules and of the standard library go.mod and go.sum are enough of the module. What
// the lower folder has isn't kept once more, nor what the output folder has already. A package that can't be compiled is
// left to the step that needs it, which then says why.
func runDeps(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := newFlags("deps")
	imports := flags.String("imports", "", "file of import paths")
	dir := flags.String("dir", "", "folder of the module")
	out := flags.String("out", "", "folder to make, or to add to")
	lower := flags.String("lower", "", "packages that are compiled already")
	if err := parseCommand(flags, args); err != nil {
		return err
	}
	if *dir == "" || *out == "" {
		return &usageError{errors.New("in-build deps: expected --dir DIR --out DIR")}
	}
	args = flags.Args()
	if *imports != "" {
		data, err := os.ReadFile(*imports)
		if err != nil {
			return fmt.Errorf("reading the list of packages: %w", err)
		}
		args = append(append(args, "--"), strings.Fields(string(data))...)
	}
	cache := os.Getenv("GOCACHE")
	if cache == "" {
		return &usageError{errors.New("in-build deps: GOCACHE is not set")}
	}
	env, keep, err := depsCache(cache, *out, *lower)
	if err != nil {
		return err
	}
	env = append(env, "PWD="+*dir)
	if err := readProfile(ctx, *dir, env, flags.Args(), stderr); err != nil {
		fmt.Fprintf(stdout, "the profile can't be read: %v\n", err) // the step that needs it says why
	}
	cmd := exec.CommandContext(ctx, "go", append([]string{"list", "-e", "-export", "-deps", "-f", "{{.ImportPath}}"}, args...)...)
	cmd.Dir, cmd.Env = *dir, env
	var listed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &listed, stderr
	if err := cmd.Run(); err != nil && ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		fmt.Fprintf(stdout, "not all packages could be compiled: %v\n", err)
	}
	fmt.Fprintf(stdout, "compiled %d packages\n", bytes.Count(listed.Bytes(), []byte("\n")))
	if err := keep(ctx); err != nil {
		return err
	}
	return stampTree(*out)
}

// depsCache returns the environment of a go command that keeps what it compiles in the folder out, and what to do after it.
func depsCache(cache, out, lower string) (env []string, keep func(context.Context) error, err error) {
	if !asksCacheProg("go") {
		own, keep, err := ownCache(out)
		return append(os.Environ(), "GOCACHE="+own), keep, err
	}
	prog, err := goCacheProg(cache, out, lower, out)
	return append(os.Environ(), "GOCACHEPROG="+prog), func(context.Context) error { return nil }, err
}

// readProfile has go build read the profile that flags of the go command name. go list compiles as if there was none
// until it has (Go 1.26); any package makes it do so.
func readProfile(ctx context.Context, dir string, env, flags []string, stderr io.Writer) error {
	i := slices.IndexFunc(flags, func(f string) bool { return strings.HasPrefix(f, "-pgo=/") })
	if i < 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", flags[i], "math/bits")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, stderr
	return cmd.Run()
}
