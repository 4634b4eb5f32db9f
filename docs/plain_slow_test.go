//go:build slow

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestSlowPlain runs "make test-plain" as a user who has just cloned the repository: not root, with an empty home, and with
// nothing that make compiles or gets.
func TestSlowPlain(t *testing.T) {
	testkit.NeedRoot(t) // to become another user
	home, clone := t.TempDir(), filepath.Join(t.TempDir(), "larder")
	testkit.Run(t, "git", "-c", "safe.directory=*", "clone", "-q", "--no-local", "--upload-pack", "git -c safe.directory=* upload-pack", testkit.Root(t), clone)
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(clone)), 0o755)) // the test's folder, which is this user's alone
	testkit.Run(t, "chown", "-R", "65534:65534", home, filepath.Dir(clone))
	cmd := exec.CommandContext(t.Context(), "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "make", "test-plain")
	cmd.Dir = clone
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GOPROXY=" + testkit.ServeProxy(t, testkit.ModuleCache(t)).URL, "GOSUMDB=off"}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
	for _, left := range []string{": needs root: ", ": needs bin/larder: make larder", ": needs the modules of hello in the module cache: make setup"} {
		require.Contains(t, string(out), left)
	}
}
