package inbuild

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBaseline(t *testing.T) {
	file := filepath.Join(t.TempDir(), "needs")
	t.Setenv("FTP_PROXY", "what is needed")
	require.Equal(t, "listed what is needed, in 14 bytes\n", mustStep(t, "baseline", "--key", "k", "--out", file))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "what is needed", string(data))
	info, err := os.Lstat(file)
	require.NoError(t, err)
	require.Equal(t, epoch, info.ModTime())

	code, _, stderr := runStep(t, "baseline", "--out", file)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "in-build baseline: --key is missing")
}
