package testkit

import (
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

// A Repo is a git repository with a working tree. The real git makes it.
type Repo struct {
	Dir string

	t       testing.TB
	commits int
}

// NewRepo makes an empty repository in a folder.
func NewRepo(t testing.TB, dir string, args ...string) *Repo {
	Installed(t, "git")
	r := &Repo{Dir: dir, t: t}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	r.Git(append([]string{"init", "-q", "-b", "main"}, args...)...)
	return r
}

// Git runs git in the repository, and returns its output. The time of a commit depends only on how many commits came
// before.
func (r *Repo) Git(args ...string) string {
	cmd := exec.Command("git", args...)
	cmd.Dir = r.Dir
	date := time.Date(2026, 3, 1, 12, 0, r.commits, 0, time.UTC).Format(time.RFC3339)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=t", "GIT_AUTHOR_EMAIL=t@t.example", "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME=t", "GIT_COMMITTER_EMAIL=t@t.example", "GIT_COMMITTER_DATE="+date)
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "git %s: %s", strings.Join(args, " "), out)
	return strings.TrimSpace(string(out))
}

// Write writes files into the working tree. It removes files whose text is empty.
func (r *Repo) Write(files map[string]string) {
	for name, text := range files {
		name = filepath.Join(r.Dir, filepath.FromSlash(name))
		if text == "" {
			require.NoError(r.t, os.RemoveAll(name))
			continue
		}
		require.NoError(r.t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(r.t, os.WriteFile(name, []byte(text), 0o644))
	}
}

// Commit writes files, commits the whole tree with the given tags, and returns the commit's hash.
func (r *Repo) Commit(files map[string]string, tags ...string) string {
	r.Write(files)
	r.Git("add", "-A")
	return r.CommitIndex(tags...)
}

// CommitIndex commits the index with the given tags, and returns the commit's hash.
func (r *Repo) CommitIndex(tags ...string) string {
	r.commits++
	r.Git("commit", "-q", "--allow-empty", "-m", "change")
	for _, tag := range tags {
		r.Git("tag", tag)
	}
	return r.Git("rev-parse", "HEAD")
}

// Pseudo returns the pseudo-version of a commit that comes after the version older. older may be "".
func (r *Repo) Pseudo(major, older, hash string) string {
	at, err := time.Parse(time.RFC3339, r.Git("show", "-s", "--format=%cI", hash))
	require.NoError(r.t, err)
	return module.PseudoVersion(major, older, at.UTC(), hash[:12])
}

// GitHandler serves the repositories below a folder through 'git http-backend'.
func GitHandler(t testing.TB, root string) http.Handler {
	return &cgi.Handler{
		Path: Installed(t, "git"), Args: []string{"http-backend"}, Stderr: t.Output(),
		Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME=/nonexistent"},
	}
}
