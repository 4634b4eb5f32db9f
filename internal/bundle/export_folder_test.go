package bundle

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a killed export has left is removed by the next one to the same place, and nothing else is: not the folder of one that
// runs, nor one of another place, nor what only looks like a folder of an export.
func TestKilledExport(t *testing.T) {
	const inside = "LARDER_KILLED_EXPORT"
	if dir := os.Getenv(inside); dir != "" {
		f, err := newExportFolder(dir)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(f.temp, "proxy/a"), 0o755))
		require.NoError(t, syscall.Kill(os.Getpid(), syscall.SIGKILL))
		select {}
	}
	parent := t.TempDir()
	at := func(name string) string { return filepath.Join(parent, name) }
	left := func() []string {
		list, err := filepath.Glob(at(".out.larder-export-*"))
		require.NoError(t, err)
		return list
	}
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledExport$")
		cmd.Env = append(os.Environ(), inside+"="+at("out"))
		require.Error(t, cmd.Run())
		require.Len(t, left(), 1, "each removes what was left before it")
	}
	running, err := newExportFolder(at("out"))
	require.NoError(t, err)
	require.Equal(t, []string{running.temp}, left())
	stay := []string{".out-1", ".other.larder-export-1", ".outer.larder-export-2"}
	for _, name := range stay {
		require.NoError(t, os.Mkdir(at(name), 0o755))
	}
	require.NoError(t, os.WriteFile(at(".out.larder-export-file"), nil, 0o644))
	require.NoError(t, os.Symlink(".out-1", at(".out.larder-export-link")))

	s := newStock(t, 1)
	b := s.create(t.TempDir(), s.request())
	_, err = b.Export(t.Context(), Export{Dir: at("out"), Sums: s.set()})
	require.NoError(t, err)
	require.DirExists(t, at("out/proxy"))
	require.DirExists(t, running.temp)
	for _, name := range append(stay, ".out.larder-export-file", ".out.larder-export-link") {
		_, err := os.Lstat(at(name))
		require.NoError(t, err, name)
	}
	require.Error(t, running.place(), "the other one has the name")
	require.NoError(t, running.drop())
	require.NoDirExists(t, running.temp)
}

// A folder that was swept before it was locked isn't taken for one that is locked.
func TestLockFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	lock, err := lockFolder(dir)
	require.NoError(t, err)
	require.Nil(t, lock)
	require.NoError(t, os.Mkdir(dir, 0o755))
	lock, err = lockFolder(dir)
	require.NoError(t, err)
	require.NotNil(t, lock)
	other, err := lockFolder(dir)
	require.NoError(t, err)
	require.Nil(t, other)
	require.NoError(t, lock.Close())
	other, err = lockFolder(dir)
	require.NoError(t, err)
	require.NotNil(t, other)
	require.NoError(t, other.Close())
}
