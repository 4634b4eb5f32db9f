package gitfs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// repository makes a repository with one commit, called first.
func repository(t *testing.T) (dir string, git func(args ...string)) {
	dir = testkit.Tree(t, "-- app/main.go --\npackage main\n-- app/lib/lib.go --\npackage lib\n-- app/lib/empty --\n-- odd/a\tb\"ü --\nodd\n-- .gitignore --\nignored\n")
	require.NoError(t, os.Symlink("lib/lib.go", filepath.Join(dir, "app/link.go")))
	require.NoError(t, os.Symlink("../../..", filepath.Join(dir, "app/lib/out")))
	require.NoError(t, os.Symlink("loop", filepath.Join(dir, "app/loop")))
	require.NoError(t, os.Symlink("lib", filepath.Join(dir, "app/folder")))
	testkit.Installed(t, "git")
	git = func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-q", "-m", "first")
	git("tag", "first")
	return dir, git
}

func TestTree(t *testing.T) {
	dir, git := repository(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "app/main.go"), []byte("package other\n"), 0o644))
	git("commit", "-q", "-a", "-m", "second")
	whole, err := Open(t.Context(), dir, "first")
	require.NoError(t, err)
	defer func() { require.NoError(t, whole.Close()) }()
	odd, err := fs.Sub(whole, "odd")
	require.NoError(t, err)
	require.NoError(t, fstest.TestFS(odd, "a\tb\"ü"))

	app, err := Open(t.Context(), filepath.Join(dir, "app"), "first")
	require.NoError(t, err)
	defer func() { require.NoError(t, app.Close()) }()
	for name, want := range map[string]string{"main.go": "package main\n", "link.go": "package lib\n", "lib/lib.go": "package lib\n", "folder/lib.go": "package lib\n", "lib/empty": ""} {
		data, err := fs.ReadFile(app, name)
		require.NoError(t, err)
		require.Equal(t, want, string(data), name)
	}
	entries, err := fs.ReadDir(app, "folder")
	require.NoError(t, err)
	require.Len(t, entries, 3)
	for _, name := range []string{"lib/out", "loop", "none", "lib/none", "main.go/x", "../odd", "lib"} {
		_, err := fs.ReadFile(app, name)
		require.Error(t, err, name)
	}
}

func TestChanged(t *testing.T) {
	dir, _ := repository(t)
	list, err := Changed(t.Context(), dir, "first")
	require.NoError(t, err)
	require.Empty(t, list)
	for _, name := range []string{"app/main.go", "app/new.go", "app/ignored", "beside.go"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("package other\n"), 0o644))
	}
	require.NoError(t, os.Remove(filepath.Join(dir, "app/lib/lib.go")))
	require.NoError(t, os.Chmod(filepath.Join(dir, "app/lib/empty"), 0o755))
	list, err = Changed(t.Context(), filepath.Join(dir, "app"), "HEAD")
	require.NoError(t, err)
	require.Equal(t, []string{"ignored", "lib/empty", "lib/lib.go", "main.go", "new.go"}, list)
}

// What the configuration of a repository names is not run, and a submodule is its files.
func TestChangedRunsNothing(t *testing.T) {
	dir, git := repository(t)
	ran := filepath.Join(t.TempDir(), "ran")
	for _, name := range []string{"evil", "e.v=il"} {
		for _, key := range []string{"clean", "process", "smudge"} {
			git("config", "filter."+name+"."+key, "touch "+ran+"; cat")
		}
		git("config", "filter."+name+".required", "true")
		git("config", "diff."+name+".command", "touch "+ran)
		git("config", "diff."+name+".textconv", "touch "+ran)
	}
	git("config", "core.fsmonitor", "touch "+ran)
	git("config", "diff.external", "touch "+ran)
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".git/info/attributes"), []byte("*.go filter=evil diff=evil\nlib.go filter=e.v=il diff=e.v=il\n"), 0o644))
	for _, name := range []string{"app/main.go", "app/lib/lib.go"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("package other\n"), 0o644))
	}
	other, gitOther := repository(t)
	gitOther("config", "core.fsmonitor", "touch "+ran)
	require.NoError(t, os.Rename(other, filepath.Join(dir, "app/nested")))
	list, err := Changed(t.Context(), dir, "first")
	require.NoError(t, err)
	require.Subset(t, list, []string{"app/lib/lib.go", "app/main.go", "app/nested/app/main.go"})
	require.NoFileExists(t, ran)

	git("-c", "core.fsmonitor=false", "-c", "filter.evil.process=", "-c", "filter.evil.clean=", "add", "app/nested")
	git("-c", "core.fsmonitor=false", "commit", "-q", "-m", "module")
	list, err = Changed(t.Context(), dir, "HEAD")
	require.NoError(t, err)
	require.NotContains(t, list, "app/nested/app/main.go")
	list, err = Changed(t.Context(), dir, "first")
	require.NoError(t, err)
	require.Contains(t, list, "app/nested/app/main.go")
	require.NoFileExists(t, ran)
}

func TestNoCommit(t *testing.T) {
	dir, _ := repository(t)
	clone := filepath.Join(t.TempDir(), "clone")
	out, err := exec.Command("git", "clone", "-q", "--depth=1", "file://"+dir, clone).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, tt := range []struct{ dir, ref, want string }{
		{dir, "none", "the repository has no commit none: name a commit, tag or branch that 'git log' knows"},
		{dir, "--upload-pack=x", `"--upload-pack=x" isn't the name of a commit`},
		{dir, "HEAD:app", "the repository has no commit HEAD:app"},
		{clone, "first~1", "this shallow clone has no commit first~1: fetch it with 'git fetch --depth=1 origin first~1'"},
		{t.TempDir(), "HEAD", "isn't in a git repository"},
	} {
		_, err := Open(t.Context(), tt.dir, tt.ref)
		require.ErrorContains(t, err, tt.want)
		_, err = Changed(t.Context(), tt.dir, tt.ref)
		require.ErrorContains(t, err, tt.want)
	}
}
