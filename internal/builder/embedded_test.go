package builder

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

func TestEmbeddedBuilds(t *testing.T) {
	state := stateDir(t)
	b := start(t, state)
	require.Equal(t, Embedded, b.Kind)
	require.Equal(t, state, b.Address)
	require.NotEmpty(t, b.Version)
	socket, err := os.Stat(filepath.Join(state, socketName))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), socket.Mode().Perm())

	require.Zero(t, checkBuild(t, b, "first"))
	require.NotZero(t, checkBuild(t, b, "first"))
	require.NoError(t, b.Close())
	require.NoError(t, b.Close(), "again")
	checkNothingLeft(t, state)
	require.Equal(t, io.Writer(os.Stderr), logrus.StandardLogger().Out)

	b = start(t, state)
	require.NotZero(t, checkBuild(t, b, "first"), "the cache outlives the process's builder")
}

func TestNetworkNoneHasNoNetwork(t *testing.T) {
	b := start(t, stateDir(t))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var said bytes.Buffer
	_, _, err = solve(t.Context(), t, b, stepState("dial", l.Addr().String()), func(p []byte) { said.Write(p) })
	require.ErrorContains(t, err, "exit code: 1")
	require.Contains(t, said.String(), "connection refused", "the step's own loopback, where nothing listens")
}

func TestUmaskDoesNotReachLayers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	b := start(t, stateDir(t))
	dir, _, err := solve(t.Context(), t, b, stepState("write", "/out", "x"), nil)
	require.NoError(t, err)
	info, err := os.Stat(filepath.Join(dir, "out"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode().Perm())
	require.NoError(t, b.Close())
	old := syscall.Umask(0o077)
	require.Equal(t, 0o077, old, "put back")
}

func TestNativeWhereOverlayIsNot(t *testing.T) {
	state := t.TempDir()
	// The upper folder of an overlay can't be on an overlay.
	lower, upper, work := t.TempDir(), t.TempDir(), t.TempDir()
	testkit.NeedContainers(t)
	require.NoError(t, syscall.Mount("overlay", state, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work))
	defer syscall.Unmount(state, syscall.MNT_DETACH) // containerd leaves a probe file open until it is collected
	inner := filepath.Join(state, "inner")
	b := start(t, inner)
	checkBuild(t, b, "native")
	require.DirExists(t, filepath.Join(inner, "runc-native"))
	require.NoError(t, b.Close())
}

func TestCancelledBuildLeavesNothing(t *testing.T) {
	state := stateDir(t)
	b := start(t, state)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := solve(ctx, t, b, stepState("sleep", state), func(p []byte) {
		require.Equal(t, "asleep\n", string(p))
		cancel()
	})
	require.ErrorContains(t, err, "context canceled")
	require.NoError(t, b.Close())
	checkNothingLeft(t, state)
	require.Empty(t, processesWith(t, state))
}

// TestBuildForEver is the process that TestKilledOwner kills.
func TestBuildForEver(t *testing.T) {
	state := os.Getenv("LARDER_TEST_STATE")
	if state == "" {
		return
	}
	b := start(t, state)
	_, _, err := solve(t.Context(), t, b, stepState("sleep", state), func([]byte) { os.Stdout.WriteString("asleep\n") })
	require.NoError(t, err)
}

func TestKilledOwner(t *testing.T) {
	testkit.NeedContainers(t)
	state := stateDir(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestBuildForEver$")
	cmd.Env = append(os.Environ(), "LARDER_TEST_STATE="+state)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	buf := make([]byte, 6)
	_, err = io.ReadFull(stdout, buf)
	require.NoError(t, err)
	require.Equal(t, "asleep", string(buf))

	sharer := start(t, state)
	checkBuild(t, sharer, "while it lives")
	require.NotEmpty(t, processesWith(t, state))
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	require.NoError(t, sharer.Close())
	left, err := leftovers{state: state}.mounts()
	require.NoError(t, err)
	require.NotEmpty(t, left)

	b := start(t, state)
	checkNothingLeft(t, state)
	require.Empty(t, processesWith(t, state))
	checkBuild(t, b, "after")
}

// processesWith lists the running processes that have arg as an argument,
// except this one and its like.
func processesWith(t *testing.T, arg string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, line := range lines {
		text, _ := os.ReadFile(line) // gone meanwhile: empty
		if args := strings.Split(string(text), "\x00"); args[0] == "/bin/step" && strings.Contains(string(text), arg) {
			found = append(found, line)
		}
	}
	return found
}

func TestNoRuntime(t *testing.T) {
	testkit.NeedContainers(t)
	state, path := stateDir(t), os.Getenv("PATH")
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	_, err := Connect(t.Context(), Options{Address: Embedded, StateDir: state})
	require.ErrorContains(t, err, "neither runc nor crun is in PATH")
	require.ErrorContains(t, err, "apt-get install runc")

	require.NoError(t, os.WriteFile(filepath.Join(bin, "crun"), []byte("#!/bin/sh\necho Usage\n"), 0o755))
	_, err = Connect(t.Context(), Options{Address: Embedded, StateDir: state})
	require.ErrorContains(t, err, "crun is too old")
	require.ErrorContains(t, err, "apt-get install runc")

	t.Setenv("PATH", path)
	checkBuild(t, start(t, state), "the folder is free again")
}

func TestNotRoot(t *testing.T) {
	testkit.NeedContainers(t)
	dir := t.TempDir()
	for _, parent := range []string{dir, filepath.Dir(dir)} {
		require.NoError(t, os.Chmod(parent, 0o755))
	}
	program := filepath.Join(dir, "test")
	require.NoError(t, os.Link(os.Args[0], program))
	cmd := exec.Command(program, "-test.run=^TestConnectAsNobody$", "-test.v")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LARDER_TEST_NOBODY=1", "XDG_DATA_HOME="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "PASS: TestConnectAsNobody")
	require.NoDirExists(t, filepath.Join(dir, "larder"))
}

// TestConnectAsNobody is the process that TestNotRoot runs as another user.
func TestConnectAsNobody(t *testing.T) {
	if os.Getenv("LARDER_TEST_NOBODY") == "" {
		return
	}
	_, err := Connect(t.Context(), Options{DockerHost: "unix:///no/such/docker.sock"})
	require.ErrorContains(t, err, "can't run without root")
	require.ErrorContains(t, err, "--builder")
	require.ErrorContains(t, err, "/no/such/docker.sock")
}

func TestDefaultStateDir(t *testing.T) {
	t.Setenv("HOME", "/home/cook")
	for env, want := range map[string]string{
		"":         "/home/cook/.local/share/larder/buildkit",
		"relative": "/home/cook/.local/share/larder/buildkit",
		"/data":    "/data/larder/buildkit",
	} {
		t.Setenv("XDG_DATA_HOME", env)
		got, err := DefaultStateDir()
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("HOME", "")
	_, err := DefaultStateDir()
	require.ErrorContains(t, err, "XDG_DATA_HOME")
}

func TestCacheLimit(t *testing.T) {
	for diskBytes, want := range map[int64]int64{
		0:    2e9, // unknown
		8e9:  2e9,
		50e9: 5e9,
		1e12: 20e9,
	} {
		require.Equal(t, want, limitFor(diskBytes), "of %d", diskBytes)
	}
	for _, rule := range gcPolicy(5e9) {
		require.LessOrEqual(t, rule.MaxUsedSpace, int64(5e9))
	}
}
