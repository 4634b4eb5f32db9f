package inbuild

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/gocache"
	"github.com/larder-build/larder/internal/step"
)

// runDeps compiles packages in the cache mount GOCACHE, and keeps the results as a layer for the steps that need them.
// For packages of other modules and of the standard library it needs only go.mod and go.sum of the module. It leaves
// out what the folders of s.Deps or the output folder have already. It ignores a package that can't be compiled: the
// step that needs the package then reports why. Beside the results it lists which files of modules it read.
func runDeps(ctx context.Context, s *step.Deps, to output) error {
	if s.Dir == "" || s.Out == "" {
		return &step.UsageError{Err: errors.New("in-build deps: expected --dir DIR --out DIR")}
	}
	args := slices.Clone(s.Args)
	if s.Imports != "" {
		data, err := os.ReadFile(s.Imports)
		if err != nil {
			return fmt.Errorf("reading the list of packages: %w", err)
		}
		args = append(append(args, "--"), strings.Fields(string(data))...)
	}
	if os.Getenv("GOCACHE") == "" {
		return &step.UsageError{Err: errors.New("in-build deps: GOCACHE is not set")}
	}
	if err := linkModules(os.Getenv("GOMODCACHE"), s.Modules.Names()); err != nil {
		return err
	}
	env := append(os.Environ(), "PWD="+s.Dir)
	if s.Imports == "" { // else no file of the module's is read but go.mod and go.sum
		env = append(env, "GODEBUG="+indexSetting(s.Dir, os.Getenv("GODEBUG")))
	}
	var listed string
	cache := compileCache{dir: gocache.Dir(os.Getenv("GOCACHE")), deps: append(s.Deps, s.Out)}
	added, err := cache.keep(ctx, s.Out, func() (err error) {
		listed, err = compileAll(ctx, s.Dir, env, s.Args, args, to)
		return err
	})
	if err != nil {
		return err
	}
	if s.Imports != "" {
		compiled, err := sourcesOf(listed, os.Getenv("GOMODCACHE"))
		if err != nil {
			return err
		}
		if err := atomicfile.Write(filepath.Join(s.Out, step.Sources), compiled.Text()); err != nil {
			return fmt.Errorf("writing which files are compiled: %w", err)
		}
	}
	fmt.Fprintf(to.stdout, "added %d entries to those that were there\n", added)
	return stampTree(s.Out)
}

// compileAll compiles the packages that arguments of the go command name, and the packages that they import, and lists
// them: see listFormat. The parameter flags has those of the arguments that may name a profile.
func compileAll(ctx context.Context, dir string, env, flags, args []string, to output) (listed string, err error) {
	if err := readProfile(ctx, dir, env, flags, to.stderr); err != nil {
		fmt.Fprintf(to.stdout, "the profile can't be read: %v\n", err) // the step that needs it says why
	}
	list := []string{"list", "-e", "-deps", "-f"}
	cmd := exec.CommandContext(ctx, "go", slices.Concat(list, []string{listFormat, "-export", "-v"}, args)...)
	cmd.Dir, cmd.Env = dir, env
	var out bytes.Buffer
	names := &packageCounter{messages: to.stderr}
	cmd.Stdout, cmd.Stderr = &out, names
	stop := names.report(to.stdout, func() string {
		cmd := exec.CommandContext(ctx, "go", slices.Concat(list, []string{"{{.ImportPath}}"}, args)...)
		cmd.Dir, cmd.Env = dir, env
		all, _ := cmd.Output() // what is wrong is told by the command that compiles
		return string(all)
	})
	err = errors.Join(cmd.Run(), names.flush())
	stop()
	if err != nil && ctx.Err() != nil {
		return "", ctx.Err()
	} else if err != nil {
		fmt.Fprintf(to.stdout, "not all packages could be compiled: %v\n", err)
	}
	fmt.Fprintf(to.stdout, "compiled %d packages\n", bytes.Count(out.Bytes(), []byte("\n")))
	return out.String(), nil
}

// keep runs go commands and copies the entries that they use from the cache to a layer. It leaves out entries of the
// layers that they start with. It returns how many it copied. Meanwhile no other process compiles the same packages.
func (c compileCache) keep(ctx context.Context, out string, run func() error) (added int, err error) {
	done, err := c.dir.Turn(ctx, "")
	if err != nil {
		return 0, err
	}
	defer done(false)
	if err := c.fill(ctx); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := c.dir.Age(ctx, start); err != nil {
		return 0, err
	}
	if err := run(); err != nil {
		return 0, err
	}
	choice := gocache.Choice{Used: start, Stamp: epoch}
	for _, layer := range c.deps {
		choice.Without = append(choice.Without, gocache.Dir(layer))
	}
	return gocache.Dir(out).Copy(ctx, c.dir, choice)
}

// readProfile makes go build read the profile that flags of the go command name. Until go build has read it, go list
// compiles as if there was none (Go 1.26); go build does so for any package.
func readProfile(ctx context.Context, dir string, env, flags []string, stderr io.Writer) error {
	i := slices.IndexFunc(flags, func(f string) bool { return strings.HasPrefix(f, "-pgo=/") })
	if i < 0 {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", flags[i], "math/bits")
	cmd.Dir, cmd.Env, cmd.Stderr = dir, env, stderr
	return cmd.Run()
}
