package builder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/buildkit/client"
	"google.golang.org/grpc"
)

const socketName = "buildkitd.sock"

// pollEvery is the time between two looks while the process waits for another one.
const pollEvery = 50 * time.Millisecond

// DefaultStateDir returns the default folder for an embedded builder's state:
// $XDG_DATA_HOME/larder/buildkit, or ~/.local/share/larder/buildkit. It fails
// if neither XDG_DATA_HOME nor a home folder is known.
func DefaultStateDir() (string, error) {
	data := os.Getenv("XDG_DATA_HOME")
	if !filepath.IsAbs(data) { // the XDG specification: a relative one is to be ignored
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no folder for the builder's state: %w; set HOME or XDG_DATA_HOME", err)
		}
		data = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(data, "larder", "buildkit"), nil
}

// folder is a state folder and the two locks that let processes share it.
//
// The owner lock is held by the one process whose BuildKit runs on the folder.
// Every other process builds through that one's socket and holds the users
// lock, shared, for as long as it is connected. The owner takes the users lock
// exclusively before it stops, so it never stops under somebody's build.
type folder struct {
	path         string
	dir          *os.File
	owner, users *flock.Flock
}

// openFolder opens a state folder, and makes it if it doesn't exist. An empty
// path stands for DefaultStateDir.
func openFolder(path string) (*folder, error) {
	if path == "" {
		var err error
		if path, err = DefaultStateDir(); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("builder's state folder: %w", err)
	}
	// Absolute and free of links, as the kernel's list of mounts has it.
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil, fmt.Errorf("builder's state folder: %w", err)
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("builder's state folder: %w", err)
	}
	return &folder{
		path: path, dir: dir,
		owner: flock.New(filepath.Join(path, "owner.lock")),
		users: flock.New(filepath.Join(path, "users.lock")),
	}, nil
}

// Close releases both locks, so that another process can own the folder.
func (f *folder) Close() error {
	return errors.Join(f.users.Close(), f.owner.Close(), f.dir.Close())
}

// socket returns the socket's path through the open folder's descriptor: a unix
// address holds at most 107 bytes, and a state folder's path may be longer.
func (f *folder) socket() string {
	return filepath.Join("/proc/self/fd", strconv.Itoa(int(f.dir.Fd())), socketName)
}

// listen makes the socket. Only the owner may call it. It removes the socket of an owner that died.
func (f *folder) listen() (net.Listener, error) {
	if err := os.Remove(f.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", f.socket())
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(f.socket(), 0o600)
}

// client returns a client of the owner's BuildKit. It stays connected when it
// is idle, because it couldn't connect again once the owner is about to stop.
func (f *folder) client(ctx context.Context, opts ...client.ClientOpt) (*client.Client, error) {
	opts = append(opts,
		client.WithGRPCDialOption(grpc.WithIdleTimeout(0)),
		client.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", f.socket())
		}))
	return client.New(ctx, "passthrough:///larder", opts...)
}

// join connects to the running owner. It fails if there is none yet, or if the
// owner is about to stop.
func (f *folder) join(ctx context.Context) (*Builder, error) {
	if ok, err := f.users.TryRLock(); err != nil || !ok {
		return nil, errors.Join(err, errors.New("the builder is stopping"))
	}
	c, err := f.client(ctx)
	if err != nil {
		return nil, errors.Join(err, f.users.Unlock())
	}
	version, err := answer(ctx, c, directLimit)
	if err != nil {
		return nil, errors.Join(err, c.Close(), f.users.Unlock())
	}
	return newBuilder(Embedded, f.path, version, c, f.Close), nil
}

// awaitUsers waits until no other process builds here. It removes the socket
// first, so that no new process can connect.
func (f *folder) awaitUsers(o Options) error {
	if err := os.Remove(f.socket()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if ok, err := f.users.TryLock(); err != nil || ok {
		return err
	}
	o.notify("waiting for another larder build that uses %s", f.path)
	_, err := f.users.TryLockContext(context.Background(), pollEvery)
	return err
}
