package main

import (
	"net/http/httptest"
	"os/exec"
	"path/filepath"
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
	testkit.NeedContainers(t)
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
			testkit.NoTelemetry(t, env.WorkDir)
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
	testkit.NewRepo(t, w.context).Commit(nil)
	srv := httptest.NewServer(testkit.GitHandler(t, w.context))
	t.Cleanup(srv.Close)
	url := srv.URL + "/.git"

	out := t.TempDir()
	w.context = url + "#main:svc"
	said, err := w.build("-o", out, "--build-context", "example.com/lib="+url+"#main:lib")
	require.NoError(t, err, "%s", said)
	app, err := exec.CommandContext(t.Context(), filepath.Join(out, "usr/local/bin/app")).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "lib of git\n", string(app))

	said, err = w.build()
	require.Error(t, err)
	require.Contains(t, said, "go.mod:7: example.com/lib is replaced by ../lib, which is outside of the build context: pass that folder with --build-context example.com/lib=../lib")
}
