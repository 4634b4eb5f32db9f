package request

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTree opens what a hostile folder has in place of files.
func TestTree(t *testing.T) {
	dir, secret := t.TempDir(), filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600))
	require.NoError(t, os.Symlink("file", filepath.Join(dir, "within")))
	require.NoError(t, os.Symlink(secret, filepath.Join(dir, "absolute")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "up")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	require.NoError(t, os.Symlink("/dev/zero", filepath.Join(dir, "zero")))

	ctx, cancel := context.WithCancel(t.Context())
	tree, err := OpenTree(ctx, dir)
	require.NoError(t, err)
	defer tree.Close()
	data, err := readBounded(tree, "within", 4)
	require.NoError(t, err)
	require.Equal(t, "text", string(data))
	_, err = readBounded(tree, "file", 3)
	require.ErrorContains(t, err, "file is larger than")
	for _, name := range []string{"absolute", "up/" + filepath.Base(filepath.Dir(secret)) + "/secret", "pipe", "zero", "../secret", "/etc/passwd"} {
		_, err := tree.Open(name)
		require.Error(t, err, name)
	}
	entries, err := fs.ReadDir(tree, ".")
	require.NoError(t, err)
	require.Len(t, entries, 6)

	cancel()
	_, err = tree.Open("file")
	require.ErrorIs(t, err, context.Canceled)
}
