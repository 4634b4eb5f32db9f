package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/larder-build/larder/internal/rootless"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/sys/mountinfo"
	"github.com/moby/sys/userns"
)

// RootlessName is what this program is called as where it works as root of a user namespace: then main calls RunRootless
// with the arguments behind it.
const RootlessName = "larder-builder"

// Kinds of work, the first argument of RunRootless. A state folder follows.
const (
	rootlessServe  = "serve"
	rootlessRemove = "remove"
)

// Descriptors of a rootless builder.
const (
	userGone = rootless.FirstFile     // its end says that the process which started the builder is done with it, or dead
	readyTo  = rootless.FirstFile + 1 // takes "ready", or what is wrong
)

const ready = "ready"

// errTaken says that another process owns the state folder.
var errTaken = errors.New("another larder build uses the folder")

// connectRootless shares the builder that runs on the state folder, or else starts one, as root of a user namespace. This
// process stays what it is: it reads and writes files as its user.
func connectRootless(ctx context.Context, o Options, dockerErr error) (*Builder, error) {
	if o.Answers != nil {
		return nil, errors.New("only root's embedded builder can answer in the place of a network: run larder as root or with sudo, or as root in a user namespace ('unshare --map-root-user --map-auto --mount larder …')")
	}
	if err := rootless.Check(); err != nil {
		return nil, notWithoutRoot(err, dockerErr)
	}
	f, err := openFolder(o.StateDir)
	if err != nil {
		return nil, err
	}
	b, err := joinOrStart(ctx, f, o)
	if err != nil {
		return nil, errors.Join(notWithoutRoot(err, dockerErr), f.Close())
	}
	return b, nil
}

func notWithoutRoot(err, dockerErr error) error {
	if dockerErr != nil {
		err = fmt.Errorf("%w; %w", err, dockerErr)
	}
	return fmt.Errorf("no builder: the embedded builder can't run without root here (sudo larder …), and none was named with --builder or BUILDKIT_HOST: %w", err)
}

// joinOrStart tries both in turn until one succeeds: an owner may start, stop or die at any moment.
func joinOrStart(ctx context.Context, f *folder, o Options) (*Builder, error) {
	for {
		if b, err := f.join(ctx); err == nil {
			return b, nil
		}
		started, err := startRootless(ctx, f.path, o)
		if err == nil {
			b, err := f.join(ctx)
			if err != nil {
				return nil, errors.Join(err, started.stop())
			}
			// Its users' lock is freed first: the builder waits for all users.
			return newBuilder(Embedded, f.path, b.Version, b.Client, func() error { return errors.Join(f.Close(), started.stop()) }), nil
		}
		if !errors.Is(err, errTaken) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pollEvery):
		}
	}
}

// A rootlessBuilder is a process whose BuildKit runs in a user namespace.
type rootlessBuilder struct {
	cmd *exec.Cmd
	use io.Closer // its end ends the process
}

// startRootless starts a builder and waits until it answers on the folder's socket.
func startRootless(ctx context.Context, state string, o Options) (*rootlessBuilder, error) {
	if _, err := findRuntime(); err != nil {
		return nil, err
	}
	gone, use, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	said, tell, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, gone.Close(), use.Close())
	}
	defer said.Close()
	notice := o.Notice
	if notice == nil {
		notice = io.Discard
	}
	cmd, err := rootless.Start([]string{RootlessName, rootlessServe, state}, os.Environ(), notice, gone, tell)
	if err = errors.Join(err, gone.Close(), tell.Close()); err != nil {
		return nil, errors.Join(err, use.Close())
	}
	b := &rootlessBuilder{cmd, use}
	defer context.AfterFunc(ctx, func() { use.Close() })()
	text, err := io.ReadAll(io.LimitReader(said, 64<<10))
	switch text := string(text); {
	case err != nil:
	case text == ready:
		return b, nil
	case text == errTaken.Error():
		err = errTaken
	case text != "":
		err = rootless.Explain(errors.New(text))
	}
	if stopErr := b.stop(); err == nil {
		err = fmt.Errorf("its process ended before it was ready: %w", stopErr)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return nil, err
}

// stop ends the process once no other larder process builds on it.
func (b *rootlessBuilder) stop() error {
	return errors.Join(ignoreClosed(b.use.Close()), b.cmd.Wait())
}

func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

// RemoveState removes a state folder that nobody uses. Without root it has files of other users, which root of a user
// namespace removes.
func RemoveState(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !rootless.Needed() || rootless.Check() != nil {
		return err
	}
	var said strings.Builder
	cmd, err := rootless.Start([]string{RootlessName, rootlessRemove, dir}, os.Environ(), &said)
	if err != nil {
		return err
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("removing %s: %w: %s", dir, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// RunRootless does one kind of work on the state folder that args names, and returns the exit status. A builder serves until
// the process that started it is done.
func RunRootless(ctx context.Context, args []string, stderr io.Writer) int {
	if len(args) != 2 {
		fmt.Fprintf(stderr, "%s: expected a kind of work and a state folder, not %q\n", RootlessName, args)
		return 1
	}
	if args[0] == rootlessServe {
		return serveRootless(ctx, args[1], stderr)
	}
	if err := os.RemoveAll(args[1]); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func serveRootless(ctx context.Context, state string, notice io.Writer) int {
	for _, fd := range []int{userGone, readyTo} {
		syscall.CloseOnExec(fd) // of steps, too
	}
	tell := os.NewFile(readyTo, "ready")
	b, err := ownRootless(ctx, state, notice)
	if err != nil {
		fmt.Fprint(tell, err)
		return 1
	}
	_, err = io.WriteString(tell, ready)
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, os.NewFile(userGone, "user"))
		ended <- err
	}()
	if err = errors.Join(err, tell.Close()); err == nil {
		select {
		case err = <-ended:
		case <-ctx.Done():
		}
	}
	if err = errors.Join(err, b.Close()); err != nil {
		fmt.Fprintln(notice, "the embedded builder:", err)
		return 1
	}
	return 0
}

func ownRootless(ctx context.Context, state string, notice io.Writer) (*Builder, error) {
	f, err := openFolder(state)
	if err != nil {
		return nil, err
	}
	owned, err := f.owner.TryLock()
	if err == nil && !owned {
		err = errTaken
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	b, err := own(ctx, f, Options{StateDir: f.path, Notice: notice})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return b, nil
}

// setRuntimeFolder makes runc and crun keep the state of containers where root of a user namespace may write. They take
// XDG_RUNTIME_DIR for that, unless the user is called root.
func setRuntimeFolder(state string) error {
	if !userns.RunningInUserNS() {
		return nil
	}
	dir := filepath.Join(state, "run")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return errors.Join(os.Setenv("XDG_RUNTIME_DIR", dir), os.Setenv("USER", "larder"))
}

// processMode is how processes of steps are kept apart. In a container whose runtime hides files of /proc, the kernel lets
// nobody mount a proc that would show them (mount_too_revealing in its fs/namespace.c): then steps see, and can signal, the
// processes of this user namespace. What systemd mounts on the empty folder binfmt_misc hides nothing.
func processMode() oci.ProcessMode {
	if !userns.RunningInUserNS() {
		return oci.ProcessSandbox
	}
	hiding, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return !strings.HasPrefix(m.Mountpoint, "/proc/") || m.Mountpoint == "/proc/sys/fs/binfmt_misc", false
	})
	if err == nil && len(hiding) > 0 {
		return oci.NoProcessSandbox
	}
	return oci.ProcessSandbox
}
