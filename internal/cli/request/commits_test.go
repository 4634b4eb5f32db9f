package request

import (
	"os/exec"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestCommits checks that requests which share Commits see one state of a folder, each a map of its own, and that what
// is remembered of one folder or question isn't the answer for another.
func TestCommits(t *testing.T) {
	testkit.Installed(t, "git")
	dir, other := module(t), module(t)
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=n@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	git("init", "-q")
	git("add", "-A")
	git("commit", "-q", "-m", "one")
	shared := &Commits{}
	first := shared.facts(t.Context(), dir, false)
	revision := first["revision"]
	require.Len(t, revision, 40)
	first["revision"] = "changed by a caller"
	git("commit", "-q", "--allow-empty", "-m", "two")
	require.Equal(t, revision, shared.facts(t.Context(), dir, false)["revision"])
	require.Nil(t, shared.facts(t.Context(), other, false), "no repository")

	stamped := shared.facts(t.Context(), dir, true)
	require.NotEqual(t, revision, stamped["revision"], "another question is asked anew")
	require.Greater(t, len(stamped), len(first))

	var none *Commits
	require.Equal(t, stamped["revision"], none.facts(t.Context(), dir, false)["revision"])
}
