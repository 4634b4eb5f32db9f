package request

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"
)

// TestStampFacts checks what is told of a commit, and that git runs nothing
// that the repository names.
func TestStampFacts(t *testing.T) {
	dir, ran := module(t), filepath.Join(t.TempDir(), "ran")
	run := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=n@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=@1500000000 +0200")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	run("init", "-q")
	for _, tag := range []string{"v1.2.0", "v1.10.0", "v2.0.0-rc.1", "v2.0.0", "svc/v0.3.0", "svc/v0.4.0", "release", "v1"} {
		run("commit", "-q", "--allow-empty", "-m", tag)
		run("tag", tag)
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "svc"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".gitattributes"), []byte("* filter=evil\n"), 0o644))
	run("add", "-A")
	run("commit", "-q", "-m", "last")
	run("tag", "v2.1.0")
	run("tag", "nightly")
	run("config", "filter.evil.clean", "touch "+ran+"; cat")
	run("config", "filter.evil.required", "true")
	run("config", "core.fsmonitor", "touch "+ran)
	now := filepath.Join(dir, "go.mod")
	require.NoError(t, os.Chtimes(now, time.Unix(0, 0), time.Unix(0, 0))) // so that git looks into it

	want := map[string]string{
		"localdir:context": ".", "time": "1500000000", "modified": "false", "tags": "nightly v2.1.0", "bases": "svc/v0.4.0 v1.10.0 v2.1.0",
	}
	require.Equal(t, want, stampFacts(t.Context(), dir))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "untracked"), nil, 0o644))
	want["modified"], want["localdir:context"] = "true", "svc/"
	require.Equal(t, want, stampFacts(t.Context(), filepath.Join(dir, "svc")))
	require.NoFileExists(t, ran)
}

// TestStamps checks that git is asked only where a build may stamp.
func TestStamps(t *testing.T) {
	local := func(text string) map[string]fsutil.FS {
		return map[string]fsutil.FS{"dockerfile": memFS{name: "f", data: []byte(text)}}
	}
	for _, tt := range []struct {
		goflags, text string
		want          bool
	}{
		{"", "GO build .\n", false},
		{"-tags=x", "FROM x\n", false},
		{"-buildvcs=true", "", true},
		{"", "FROM go\nGO build -buildvcs .\n", true},
		{"", "# syntax=ghcr.io/larder-build/larder:1\n", true},
		{"-buildvcs=false", "", true}, // which costs no more than a moment
	} {
		so := client.SolveOpt{FrontendAttrs: map[string]string{"build-arg:GOFLAGS": tt.goflags, "filename": "f"}, LocalMounts: local(tt.text)}
		require.Equal(t, tt.want, stamps(so), tt)
	}
	require.False(t, stamps(client.SolveOpt{FrontendAttrs: map[string]string{"filename": "g"}, LocalMounts: local("-buildvcs")}))
	require.False(t, stamps(client.SolveOpt{}))
}
