package main

import (
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
)

// TestTrees builds the odd trees of testdata/trees, each a script.
func TestTrees(t *testing.T) { buildTrees(t, "trees") }

// buildTrees runs scripts whose command build is larder build on the embedded builder that most tests share; the module
// proxy has a.example/greet v1.2.0.
func buildTrees(t *testing.T, dir string) {
	testkit.NeedRoot(t)
	testkit.Larder(t, "larder-frontend")
	larder, state, proxy := testkit.Larder(t, "larder"), sharedState(t), t.TempDir()
	testkit.Toolchain(t, proxy, toolchain)
	testkit.Module{Path: "a.example/greet", Version: "v1.2.0", Files: map[string]string{
		"greet.go": "package greet\n\nconst Hello = \"hello\"\n",
	}}.Write(t, proxy)
	testscript.RunT(inTurn{t}, testscript.Params{
		Dir:                 filepath.Join("testdata", dir),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GOPROXY", "file://"+proxy)
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"build": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec(larder, append([]string{"build", "--builder", "embedded", "--state", state, "--progress", "plain"}, args...)...)
				if (err != nil) != neg {
					ts.Fatalf("larder build: %v", err)
				}
			},
		},
	})
}

// inTurn runs scripts one after the other: each builds on two cores already.
type inTurn struct{ *testing.T }

func (t inTurn) Parallel()     {}
func (t inTurn) Verbose() bool { return testing.Verbose() }
func (t inTurn) Run(name string, f func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { f(inTurn{t}) })
}

// A context that the builder fetches from a git server: a folder of a branch, with a module beside it that it replaces.
func TestGitContext(t *testing.T) {
	w := newWorld(t)
	w.context = testkit.Tree(t, "-- svc/go.mod --\nmodule example.com/app\n\ngo 1.26\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n"+
		"-- svc/main.go --\npackage main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Name) }\n"+
		"-- svc/Dockerfile --\n# syntax=ghcr.io/larder-build/larder:1\n"+
		"-- lib/go.mod --\nmodule example.com/lib\n\ngo 1.26\n-- lib/lib.go --\npackage lib\n\nconst Name = \"lib of git\"\n")
	git := func(args ...string) {
		testkit.Run(t, "git", append([]string{"-C", w.context, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
	}
	git("init", "-q", "-b", "trunk")
	git("add", ".")
	git("commit", "-q", "-m", "first")
	url := serveGit(t, w.context)

	out := t.TempDir()
	w.context = url + "#trunk:svc"
	said, err := w.build("-o", out, "--build-context", "example.com/lib="+url+"#trunk:lib")
	require.NoError(t, err, "%s", said)
	app, err := exec.CommandContext(t.Context(), filepath.Join(out, "usr/local/bin/app")).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "lib of git\n", string(app))

	said, err = w.build()
	require.Error(t, err)
	require.Contains(t, said, "go.mod:7: example.com/lib is replaced by ../lib, which is outside of the build context: pass that folder with --build-context example.com/lib=../lib")
}

// serveGit serves a folder's repository by git's own server and returns its URL.
func serveGit(t *testing.T, dir string) string {
	libexec := strings.TrimSpace(testkit.Run(t, "git", "--exec-path"))
	srv := httptest.NewServer(&cgi.Handler{
		Path: filepath.Join(libexec, "git-http-backend"), Stderr: os.Stderr,
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	})
	t.Cleanup(srv.Close)
	return srv.URL + "/.git"
}
