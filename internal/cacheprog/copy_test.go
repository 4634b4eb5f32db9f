package cacheprog

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCopyAll(t *testing.T) {
	from, to := Dir(t.TempDir()), Dir(t.TempDir())
	var actions [][]byte
	for _, text := range []string{"one", "two", "three"} {
		action, output := sha256.Sum256([]byte("action "+text)), sha256.Sum256([]byte(text))
		_, err := from.Put(action[:], output[:], int64(len(text)), strings.NewReader(text))
		require.NoError(t, err)
		actions = append(actions, action[:])
	}
	broken, ok := from.Get(actions[2], false)
	require.True(t, ok)
	require.NoError(t, os.WriteFile(broken.Path, []byte("THREE"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(string(from), "README"), []byte("as the go command writes one"), 0o644))

	n, err := to.CopyAll(t.Context(), from, time.Unix(0, 0))
	require.NoError(t, err)
	require.Equal(t, 2, n, "what isn't right is left out")
	for _, action := range actions[:2] {
		e, ok := to.Get(action, true)
		require.True(t, ok)
		require.True(t, e.Time.Equal(time.Unix(0, 0)))
	}
	n, err = to.CopyAll(t.Context(), from, time.Time{})
	require.NoError(t, err)
	require.Zero(t, n, "what is there stays")

	n, err = to.CopyAll(t.Context(), Dir(t.TempDir()), time.Time{})
	require.NoError(t, err)
	require.Zero(t, n)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Dir(t.TempDir()).CopyAll(ended, from, time.Time{})
	require.ErrorIs(t, err, context.Canceled)
}
