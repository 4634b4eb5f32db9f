package builder

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestBuildOverAndOver is the process that TestKilledAtAnyMoment kills.
func TestBuildOverAndOver(t *testing.T) {
	state := os.Getenv("LARDER_TEST_BUSY_STATE")
	if state == "" {
		return
	}
	for {
		b := start(t, state)
		checkBuild(t, b, strconv.FormatInt(time.Now().UnixNano(), 10))
		checkBuild(t, b, "again and again")
		require.NoError(t, b.Close())
		os.Stdout.WriteString("built\n")
	}
}

// TestKilledAtAnyMoment kills builders, once they have built something, after
// times that nobody chose: none leaves a state that breaks, that the next loses,
// or that gives something else than was built.
func TestKilledAtAnyMoment(t *testing.T) {
	testkit.NeedContainers(t)
	state := stateDir(t)
	for range 15 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestBuildOverAndOver$")
		cmd.Env = append(os.Environ(), "LARDER_TEST_BUSY_STATE="+state)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.ReadFull(stdout, make([]byte, len("built\n")))
		require.NoError(t, err)
		go io.Copy(io.Discard, stdout)
		time.Sleep(rand.N(time.Second))
		require.NoError(t, cmd.Process.Kill())
		cmd.Wait()

		var told bytes.Buffer
		b, err := Connect(t.Context(), Options{Address: Embedded, StateDir: state, Notice: &told})
		require.NoError(t, err)
		require.NotZero(t, checkBuild(t, b, "again and again"), "what was built before is there")
		checkBuild(t, b, "after "+strconv.Itoa(cmd.Process.Pid))
		require.NoError(t, b.Close())
		require.Empty(t, told.String())
		require.NoFileExists(t, filepath.Join(state, unsyncedName))
		checkNothingLeft(t, state)
	}
}

// TestMachineStopped gives a builder the state of one that ran when the machine
// lost power: the kernel was started anew, and of what was written in any order
// some is missing.
func TestMachineStopped(t *testing.T) {
	testkit.NeedContainers(t)
	state := stateDir(t)
	b := start(t, state)
	checkBuild(t, b, "first")
	require.NoError(t, b.Close())
	stopped := func() {
		require.NoError(t, os.WriteFile(filepath.Join(state, unsyncedName), []byte("another boot\n"), 0o600))
	}

	stopped()
	databases, err := filepath.Glob(filepath.Join(globEscape(state), "*", "*.db"))
	require.NoError(t, err)
	require.NotEmpty(t, databases)
	for _, name := range databases {
		require.NoError(t, os.WriteFile(name, bytes.Repeat([]byte{7}, 1<<16), 0o600))
	}
	var told bytes.Buffer
	b, err = Connect(t.Context(), Options{Address: Embedded, StateDir: state, Notice: &told})
	require.NoError(t, err)
	require.Contains(t, told.String(), "removing the builder's cache in "+state)
	require.FileExists(t, filepath.Join(state, unsyncedName), "while it runs")
	require.Zero(t, checkBuild(t, b, "first"), "nothing of it is used")
	require.NotZero(t, checkBuild(t, b, "first"))
	require.NoError(t, b.Close())
	require.NoFileExists(t, filepath.Join(state, unsyncedName))

	// A mark that was never finished is one of another boot.
	require.NoError(t, os.WriteFile(filepath.Join(state, unsyncedName), nil, 0o600))
	b = start(t, state)
	require.Zero(t, checkBuild(t, b, "first"))
	require.NoError(t, b.Close())
	require.NotZero(t, checkBuild(t, start(t, state), "first"), "a clean stop")
}

// TestLeftoversOfOddPaths finds an overlay by a path that the kernel escapes.
func TestLeftoversOfOddPaths(t *testing.T) {
	testkit.NeedContainers(t)
	state, at := stateDir(t), t.TempDir()
	for _, name := range []string{"a", "b"} {
		require.NoError(t, os.MkdirAll(filepath.Join(state, name), 0o755))
	}
	require.NoError(t, syscall.Mount("overlay", at, "overlay", 0, "lowerdir="+filepath.Join(state, "a")+":"+filepath.Join(state, "b")))
	defer syscall.Unmount(at, syscall.MNT_DETACH)
	found, err := leftovers{state: state}.mounts()
	require.NoError(t, err)
	require.Equal(t, []string{at}, found)
	require.NoError(t, leftovers{state: state}.remove())
	checkNothingLeft(t, state)
}
