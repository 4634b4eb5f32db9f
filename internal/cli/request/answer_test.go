package request

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	gofs "io/fs"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/subrequests/convertllb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// TestSourceURL checks what of a git remote may stand in an image's label.
func TestSourceURL(t *testing.T) {
	for remote, want := range map[string]string{
		"https://user:token@example.com/a/b.git?x=1#y": "https://example.com/a/b.git",
		"git@example.com:a/b.git":                      "https://example.com/a/b.git",
		"ssh://git@example.com:2222/a/b":               "https://example.com/a/b",
		"git://example.com/a":                          "https://example.com/a",
		"file:///home/me/a":                            "",
		"/home/me/a":                                   "",
		"../a":                                         "",
		"":                                             "",
	} {
		require.Equal(t, want, sourceURL(remote), remote)
	}
}

// TestVCS checks what is known of a working tree, and that a folder that is
// none gives nothing.
func TestVCS(t *testing.T) {
	testkit.Installed(t, "git")
	dir := module(t)
	require.Empty(t, vcs(context.Background(), dir))
	run := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=n@example.com"}, args...)...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	run("init", "-q")
	run("remote", "add", "origin", "https://u:p@example.com/m.git")
	require.Empty(t, vcs(context.Background(), dir), "no commit yet")
	run("add", "-A")
	run("commit", "-q", "-m", "one")
	got := vcs(context.Background(), dir)
	require.Len(t, got["revision"], 40)
	require.Equal(t, "https://example.com/m.git", got["source"])
	require.NotContains(t, got, "version")
	run("tag", "v1.0.0")
	require.Equal(t, "v1.0.0", vcs(context.Background(), dir)["version"])
}

// TestMetadata checks --metadata-file and the image's id.
func TestMetadata(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.json")
	response := map[string]string{
		"containerimage.digest":        "sha256:a",
		"containerimage.config.digest": "sha256:b",
		"containerimage.descriptor":    base64.StdEncoding.EncodeToString([]byte(`{"size":1}`)),
	}
	require.NoError(t, WriteMetadata(path, Metadata(response)))
	require.JSONEq(t, `{"containerimage.digest":"sha256:a","containerimage.config.digest":"sha256:b","containerimage.descriptor":{"size":1}}`, read(t, path))
	require.Equal(t, "sha256:b", ImageID(response))
	delete(response, "containerimage.config.digest")
	require.Equal(t, "sha256:a", ImageID(response))
}

// TestCallPrint checks what is said of the frontend's answers.
func TestCallPrint(t *testing.T) {
	var out bytes.Buffer
	status, err := (&Call{Name: "outline"}).Print(&out, map[string][]byte{"result.txt": []byte("TARGET: m\n"), "result.statuscode": []byte("3")})
	require.NoError(t, err)
	require.Equal(t, 3, status)
	require.Equal(t, "TARGET: m\n", out.String())

	out.Reset()
	lint := map[string][]byte{"result.json": []byte(`{"warnings":[]}`)}
	status, err = (&Call{Name: "lint"}).Print(&out, lint)
	require.NoError(t, err)
	require.Zero(t, status)
	require.Equal(t, "Check complete, no warnings found.\n", out.String())

	out.Reset()
	_, err = (&Call{Name: "lint", JSON: true}).Print(&out, lint)
	require.NoError(t, err)
	require.Equal(t, "{\"warnings\":[]}\n", out.String())
	_, err = (&Call{Name: "lint"}).Print(&out, nil)
	require.Error(t, err)
}

// TestDot checks the graph of a small LLB.
func TestDot(t *testing.T) {
	src, run := digest.FromString("src"), digest.FromString("run")
	result := convertllb.Result{
		Def: map[digest.Digest]*pb.Op{
			src: {Op: &pb.Op_Source{Source: &pb.SourceOp{Identifier: "local://context"}}},
			run: {
				Inputs: []*pb.Input{{Digest: src.String()}},
				Op: &pb.Op_Exec{Exec: &pb.ExecOp{
					Meta:   &pb.Meta{Args: []string{"go", "build"}},
					Mounts: []*pb.Mount{{Input: 0, Dest: "/src"}},
				}},
			},
			digest.FromString("last"): {Inputs: []*pb.Input{{Digest: run.String()}}},
		},
		Metadata: map[digest.Digest]llb.OpMetadata{src: {Description: map[string]string{"llb.customname": "load context"}}},
	}
	data, err := result.MarshalJSON()
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, WriteDot(&out, data))
	require.Contains(t, out.String(), `"`+src.String()+`" [label="load context" shape="ellipse"];`)
	require.Contains(t, out.String(), `"`+run.String()+`" [label="go build" shape="box"];`)
	require.Contains(t, out.String(), `"`+src.String()+`" -> "`+run.String()+`" [label="/src"];`)
	require.NotContains(t, out.String(), digest.FromString("last").String())
	require.Error(t, WriteDot(io.Discard, []byte("no JSON")))
}

// TestMemFS checks the folder in memory as BuildKit's client walks it.
func TestMemFS(t *testing.T) {
	m := memFS{name: "Dockerfile", data: []byte("x")}
	var seen []string
	require.NoError(t, m.Walk(context.Background(), "", func(path string, e gofs.DirEntry, err error) error {
		require.NoError(t, err)
		seen = append(seen, path)
		fi, err := e.Info()
		require.NoError(t, err)
		require.EqualValues(t, 1, fi.Size())
		return err
	}))
	require.Equal(t, []string{"Dockerfile"}, seen)
	f, err := m.Open("Dockerfile")
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	require.Equal(t, "x", string(data))
	_, err = m.Open("other")
	require.ErrorIs(t, err, gofs.ErrNotExist)
}

// TestPlanInputs checks that a plan is made from what a build would use.
func TestPlanInputs(t *testing.T) {
	h := testHost(t)
	proxy := t.TempDir()
	h.Env = map[string]string{"GOPROXY": "file://" + proxy}
	in, err := PlanInputs(t.Context(), Options{Context: module(t), Platforms: []string{"linux/arm64"}, BuildContexts: []string{"larder-modules=/m"}}, h)
	require.NoError(t, err)
	require.Equal(t, Header, string(in.Dockerfile))
	require.Equal(t, []string{"linux/arm64"}, in.Platforms)
	require.Equal(t, map[string]string{"larder-modules": "/m", "larder-goproxy-0": proxy}, in.Contexts)
	_, err = PlanInputs(t.Context(), Options{Context: "https://example.com/x.git"}, h)
	require.ErrorContains(t, err, "a plan is made of a folder")
}

// TestStepLog checks that the words of a failed step become the error, whole
// though they come in pieces, and that other failures are left alone.
func TestStepLog(t *testing.T) {
	ours, theirs := digest.FromString("ours"), digest.FromString("theirs")
	exit := errors.New("process \"x\" did not complete successfully: exit code: 1")
	var l StepLog
	require.Equal(t, exit, l.Explain(exit))
	l.Watch(&client.SolveStatus{Logs: []*client.VertexLog{
		{Vertex: theirs, Data: []byte("larder: a warning of a step that ends well\n")},
		{Vertex: ours, Data: []byte("unpacking\nlarder: m@v1.0.0: wro")},
	}})
	l.Watch(&client.SolveStatus{Logs: []*client.VertexLog{{Vertex: ours, Data: []byte("ng hash\nlarder: second\n")}}})
	require.Equal(t, exit, l.Explain(exit), "no vertex has failed")
	l.Watch(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: theirs}, {Digest: ours, Error: exit.Error()}}})
	err := l.Explain(exit)
	require.EqualError(t, err, "m@v1.0.0: wrong hash\nsecond")
	require.ErrorIs(t, err, exit)
	other := errors.New("the builder went away")
	require.Equal(t, other, l.Explain(other))
	require.NoError(t, l.Explain(nil))
}

// TestRunHints checks what is added to the error of a RUN in which the go command says what is wrong.
func TestRunHints(t *testing.T) {
	exit := errors.New("process \"/bin/sh -c go build\" did not complete successfully: exit code: 1")
	for said, want := range map[string]string{
		"package example.com/app: build constraints exclude all Go files in /work":                                            "the package in /work has no Go file for this platform",
		"\timports example.com/app/c: build constraints exclude all Go files in /work/c":                                      "the package in /work/c has no Go file for this platform",
		"cgo: C compiler \"gcc\" not found: exec: \"gcc\": executable file not found in $PATH":                                "this stage has no C compiler gcc",
		"go: unsupported GOOS/GOARCH pair linux/pdp11":                                                                        "compiles for no platform linux/pdp11",
		"go: cannot load module lib listed in go.work file: open lib/go.mod: no such file":                                    "go.work names the folder lib, which is not in this stage",
		"main.go:3:8: example.com/lib@v0.0.0: replacement directory ../lib does not exist":                                    "--build-context example.com/lib=../lib and COPY --from=example.com/lib",
		"go: example.com/lib@v1.0.0 (replaced by ../lib): reading ../lib/go.mod: open /lib/go.mod: no such file or directory": "go.mod replaces example.com/lib by the folder ../lib",
		"main.go:3:6: undefined: x": "",
	} {
		for name, hints := range map[string]bool{"[build 4/5] RUN go build": true, "[build 4/5] GO build": false} {
			var l StepLog
			step := digest.FromString(name)
			l.Watch(&client.SolveStatus{
				Logs:     []*client.VertexLog{{Vertex: step, Data: []byte(said + "\n" + said + "\n")}},
				Vertexes: []*client.Vertex{{Digest: step, Name: name, Error: exit.Error()}},
			})
			err := l.Explain(exit)
			require.ErrorIs(t, err, exit)
			if want == "" || !hints {
				require.Equal(t, exit, err)
				continue
			}
			first, hint, _ := strings.Cut(err.Error(), "\n")
			require.Equal(t, exit.Error(), first)
			require.Contains(t, hint, want)
			require.NotContains(t, hint, "\n", "a hint is given once")
		}
	}
}
