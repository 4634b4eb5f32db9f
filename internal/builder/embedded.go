package builder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/larder-build/larder/internal/rootless"
	buildkitversion "github.com/moby/buildkit/version"
	"github.com/sirupsen/logrus"
)

// quietWait is how long a wait for another process may last before the user is
// told. To start a BuildKit takes less.
const quietWait = 2 * time.Second

// connectEmbedded connects to the BuildKit that another larder process runs on
// the state folder, or starts one here. If dockerErr isn't nil, it says why no
// Docker engine was used. Errors that a Docker engine would have avoided
// include it.
func connectEmbedded(ctx context.Context, o Options, dockerErr error) (*Builder, error) {
	if rootless.Needed() {
		return connectRootless(ctx, o, dockerErr)
	}
	f, err := openFolder(o.StateDir)
	if err != nil {
		return nil, err
	}
	b, err := ownOrJoin(ctx, f, o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return b, nil
}

// ownOrJoin tries to own the folder and to join its owner, in turn, until one
// succeeds. An owner may start, stop or die at any time.
func ownOrJoin(ctx context.Context, f *folder, o Options) (*Builder, error) {
	tell := time.AfterFunc(quietWait, func() { o.notify("waiting for another larder build that uses %s", f.path) })
	defer tell.Stop()
	for {
		if owned, err := f.owner.TryLock(); err != nil {
			return nil, fmt.Errorf("builder's state folder %s: %w", f.path, err)
		} else if owned {
			return own(ctx, f, o)
		}
		if o.Answers == nil {
			if b, err := f.join(ctx); err == nil {
				return b, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
}

// own starts BuildKit in this process, on a folder whose owner lock it holds.
func own(ctx context.Context, f *folder, o Options) (_ *Builder, err error) {
	var undo stack
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	runtime, err := findRuntime()
	if err != nil {
		return nil, err
	}
	if err := setRuntimeFolder(f.path); err != nil {
		return nil, fmt.Errorf("builder's state folder: %w", err)
	}
	undo.push(prepareProcess(o.Log))
	leftovers := leftovers{state: f.path, runtime: runtime}
	if err := leftovers.remove(); err != nil {
		return nil, fmt.Errorf("what a killed build left in %s can't be removed: %w", f.path, err)
	}
	undo.push(leftovers.settle)
	if err := f.beginUnsynced(o); err != nil {
		return nil, fmt.Errorf("builder's state folder: %w", err)
	}
	d, err := startDaemon(f.path, runtime, o.Answers)
	if err != nil {
		return nil, fmt.Errorf("the embedded builder can't start on %s: %w", f.path, err)
	}
	undo.push(func() error {
		if err := d.Close(); err != nil {
			return err
		}
		return f.endUnsynced()
	})
	l, err := f.listen()
	if err != nil {
		return nil, fmt.Errorf("the embedded builder's socket: %w", err)
	}
	go d.server.Serve(l)
	undo.push(func() error { return f.awaitUsers(o) })
	c, err := f.client(ctx, withSessions(d.sessions))
	if err != nil {
		return nil, err
	}
	version, err := answer(ctx, c, directLimit)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the embedded builder: %w", err), c.Close())
	}
	return newBuilder(Embedded, f.path, version, c, func() error {
		return errors.Join(undo.run(), f.Close())
	}), nil
}

// findRuntime returns the path of the program that runs containers.
func findRuntime() (string, error) {
	const remedy = "the embedded builder runs steps with it: install runc (apt-get install runc), or name a BuildKit with --builder or BUILDKIT_HOST"
	if path, err := exec.LookPath("runc"); err == nil {
		return path, nil
	}
	path, err := exec.LookPath("crun")
	if err != nil {
		return "", errors.New("neither runc nor crun is in PATH, and " + remedy)
	}
	// BuildKit asks for the container to be kept until it has looked at it.
	if help, err := exec.Command(path, "run", "--help").Output(); err != nil || !bytes.Contains(help, []byte("--keep")) {
		return "", fmt.Errorf("%s is too old (its run has no --keep), and %s", path, remedy)
	}
	return path, nil
}

// prepareProcess changes settings of the process for BuildKit, and returns a function that restores
// them, except for the version. It sets that as the linker does in BuildKit's own builds, because it
// is in provenance. The umask must let others read: with a stricter one, non-root steps couldn't
// read the root folder of any layer. BuildKit logs through logrus's standard logger, which must not
// write into the user's terminal.
func prepareProcess(log io.Writer) func() error {
	if log == nil {
		log = io.Discard
	}
	buildkitversion.Version = linkedVersion(buildkitversion.Package, buildkitversion.Version)
	logger := logrus.StandardLogger()
	out, level, umask := logger.Out, logger.GetLevel(), syscall.Umask(0o022)
	logger.SetOutput(log)
	logger.SetLevel(logrus.WarnLevel)
	return func() error {
		syscall.Umask(umask)
		logger.SetOutput(out)
		logger.SetLevel(level)
		return nil
	}
}

// linkedVersion returns the version of a module in this program, or unknown.
func linkedVersion(module, unknown string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	for _, dep := range info.Deps {
		if dep.Path == module {
			return dep.Version
		}
	}
	return unknown
}

// stack is a list of functions that undo something. The last one runs first.
type stack []func() error

func (s *stack) push(f func() error) { *s = append(*s, f) }

func (s *stack) run() error {
	var errs []error
	for i := len(*s) - 1; i >= 0; i-- {
		errs = append(errs, (*s)[i]())
	}
	*s = nil
	return errors.Join(errs...)
}
