package inbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/larder-build/larder/internal/gocache"
	"github.com/larder-build/larder/internal/step"
)

// An exitError has the exit code of a go command, which has printed its own error.
type exitError struct{ code int }

func (e *exitError) Error() string {
	return fmt.Sprintf("the go command failed with exit code %d", e.code)
}

// runGo runs the go command and sets all files that it wrote below the folder s.Stamp to one fixed time, so that equal
// sources give equal layers. Its build cache is GOCACHE, into which the entries in the folders of s.Deps are copied.
// Its git is in the folder s.Git, and gets the facts of a commit from the environment: see runGit.
func runGo(ctx context.Context, s *step.GoCommand, to output) error {
	if len(s.Args) == 0 {
		return &step.UsageError{Err: errors.New("in-build go: expected --stamp DIR -- SUBCOMMAND")}
	}
	goflags, err := moduleFlags([]string{os.Getenv("GOFLAGS")}, false)
	if err != nil {
		return err
	}
	if err := linkModules(os.Getenv("GOMODCACHE"), s.Modules.Names()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", s.Args...)
	cmd.Env = append(os.Environ(), "GOFLAGS="+goflags)
	if s.Git != "" {
		cmd.Env = append(cmd.Env, "PATH="+firstInPath(s.Git, os.Getenv("PATH")))
	}
	cmd.Env = append(cmd.Env, "GODEBUG="+indexSetting(".", os.Getenv("GODEBUG")))
	cache := compileCache{dir: gocache.Dir(os.Getenv("GOCACHE")), deps: s.Deps}
	if err := cache.inTurn(ctx, ".", cmd.Env, func() error { return runCommand(cmd, to.stdout, to.stderr) }); err != nil {
		return err
	}
	return stampTree(s.Stamp)
}

// runCommand runs a go command. It passes on the output as it comes. If the command fails, it adds hints.
func runCommand(cmd *exec.Cmd, stdout, stderr io.Writer) error {
	return runConverted(cmd, stdout, stderr, func(stdout, stderr io.Writer) (io.Writer, io.Writer, func()) { return stdout, stderr, func() {} })
}

// runConverted runs a go command as runCommand does, but converts its output. The function convert gets the writers for
// the result. It returns the writers for the command, and a function to call at its end.
func runConverted(cmd *exec.Cmd, stdout, stderr io.Writer, convert func(stdout, stderr io.Writer) (io.Writer, io.Writer, func())) error {
	var said [2]*listener
	for i := range said {
		said[i] = &listener{modCache: modCache(cmd), dir: cmd.Dir, noCgo: slices.Contains(cmd.Environ(), "CGO_ENABLED=0")}
	}
	var done func()
	cmd.Stdout, cmd.Stderr, done = convert(io.MultiWriter(stdout, said[0]), io.MultiWriter(stderr, said[1]))
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	done()
	if err == nil || errors.Is(err, exec.ErrWaitDelay) { // then it did well, and left a process that holds its output
		return nil
	}
	tellHints(stderr, said[:]...)
	exit := new(exec.ExitError)
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return &exitError{exit.ExitCode()}
	case errors.Is(err, syscall.ENOEXEC):
		return fmt.Errorf("running the go command: %w: the stage's image is for another platform than the builder's: write FROM --platform=$BUILDPLATFORM", err)
	}
	return fmt.Errorf("running the go command: %w", err)
}

func modCache(cmd *exec.Cmd) string {
	for _, kv := range slices.Backward(cmd.Environ()) {
		if dir, ok := strings.CutPrefix(kv, "GOMODCACHE="); ok && dir != "" {
			return dir
		}
	}
	return step.ModCache
}

// stampTree gives every file and folder below dir, and dir itself, the fixed time.
func stampTree(dir string) error {
	out, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the output folder: %w", err)
	}
	defer out.Close()
	return fs.WalkDir(out.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		if info, err := d.Info(); err != nil || info.ModTime().Equal(epoch) {
			return err // a file of a layer below would be copied
		}
		return out.Chtimes(name, epoch, epoch)
	})
}
