package testkit

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Patience is how long tests wait for something that usually takes moments. It is so long that even a slow and busy
// machine reaches it only if something hangs.
const Patience = 15 * time.Minute

// A log keeps the output of a daemon. It is shown if the test fails.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// start starts a daemon, and stops it when the test ends. If the test fails, the daemon's log is shown.
func start(t testing.TB, cmd *exec.Cmd) {
	out := &log{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stop(cmd)
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), tail(out.String()))
		}
	})
}

func tail(s string) string {
	const limit = 8 << 10
	if len(s) > limit {
		s = "…" + s[len(s)-limit:]
	}
	return s
}

// Buildkitd starts a real BuildKit daemon, with additional flags, and returns its address. If ns isn't nil, the daemon
// has only that namespace's network.
func Buildkitd(t testing.TB, ns *Netns, flags ...string) string {
	NeedContainers(t)
	// A socket's path has to be short, whatever the test is called.
	dir, err := os.MkdirTemp("", "larder-bk")
	require.NoError(t, err)
	t.Cleanup(func() {
		// With --proxy-network it leaves these to its next start.
		namespaces, _ := filepath.Glob(filepath.Join(dir, "root/net/proxy/*"))
		for _, name := range namespaces {
			_ = unix.Unmount(name, unix.MNT_DETACH)
		}
		require.NoError(t, os.RemoveAll(dir), "the daemon left mounts behind")
	})
	sock := filepath.Join(dir, "sock")
	// A daemon that clears up its cache, since the disk is nearly full, runs steps again that tests want cached.
	args := []string{"--root", filepath.Join(dir, "root"), "--addr", "unix://" + sock, "--oci-worker-net", "host", "--oci-worker-gc=false"}
	cmd := ns.Command(t, Tool(t, "buildkitd"), append(args, flags...)...)
	start(t, cmd)
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", sock)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, Patience, 50*time.Millisecond, "buildkitd doesn't answer")
	return "unix://" + sock
}

// Registry starts a real registry on loopback and returns its host and port.
func Registry(t testing.TB) string {
	addr := freeAddr(t)
	start(t, exec.Command(Tool(t, "registry"), "serve", registryConfig(t, addr)))
	require.Eventually(t, func() bool {
		res, err := http.Get("http://" + addr + "/v2/")
		if err == nil {
			res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK
	}, Patience, 50*time.Millisecond, "the registry doesn't answer")
	return addr
}

// registryConfig writes the configuration of a registry that has a folder of its own, and returns the file's name.
func registryConfig(t testing.TB, addr string) string {
	config := filepath.Join(t.TempDir(), "registry.yml")
	text := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n", t.TempDir(), addr)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o666))
	return config
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
