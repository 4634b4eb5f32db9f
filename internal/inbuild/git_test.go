package inbuild

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/larder-build/larder/internal/step"
)

// Larder's binary by the name of git answers in the folder that it runs in, and reads nothing outside of it.
func TestGit(t *testing.T) {
	const revision = "32561dd7fd18c47689d9fdc8f22f9bee60a02395"
	dir := t.TempDir()
	t.Chdir(dir)
	require.NoError(t, os.WriteFile("go.mod", []byte("module x\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(dir), "secret"), []byte("hush"), 0o644))
	t.Setenv(step.CommitEnv, `{"revision":"`+revision+`","time":5}`)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"git", "log", "-1", "--format=%H:%ct"}, 0, revision + ":5\n"},
		{[]string{"git", "cat-file", "blob", revision + ":go.mod"}, 0, "module x\n"},
		{[]string{"git", "cat-file", "blob", revision + ":../secret"}, 1, ""},
		{[]string{"git", "push"}, 1, ""},
	} {
		args, ok := step.Of(tt.args)
		require.True(t, ok)
		var stdout, stderr bytes.Buffer
		require.Equal(t, tt.code, Main(t.Context(), args, &stdout, &stderr), "%q: %s", tt.args, &stderr)
		require.Equal(t, tt.want, stdout.String())
	}
	t.Setenv(step.CommitEnv, "")
	var stdout, stderr bytes.Buffer
	require.Equal(t, 2, Main(t.Context(), []string{"git", "status", "--porcelain"}, &stdout, &stderr))
}
