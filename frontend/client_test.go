package frontend

import (
	"context"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// recorder is a builder that notes what it is asked.
type recorder struct {
	gateway.Client
	opts     gateway.BuildOpts
	inputs   map[string]llb.State
	solved   []gateway.SolveRequest
	warnings []gateway.WarnOpts
}

func newRecorder(opts map[string]string) *recorder {
	var llbCaps, caps apicaps.CapList
	llbCaps.Init(apicaps.Cap{ID: pb.CapFileBase, Enabled: true})
	caps.Init(apicaps.Cap{ID: gwpb.CapFrontendInputs, Enabled: true})
	return &recorder{opts: gateway.BuildOpts{Opts: opts, LLBCaps: llbCaps.CapSet(llbCaps.All()), Caps: caps.CapSet(caps.All())}}
}

func (r *recorder) BuildOpts() gateway.BuildOpts                         { return r.opts }
func (r *recorder) Inputs(context.Context) (map[string]llb.State, error) { return r.inputs, nil }
func (r *recorder) Solve(_ context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	r.solved = append(r.solved, req)
	return gateway.NewResult(), nil
}
func (r *recorder) Warn(_ context.Context, _ digest.Digest, _ string, opts gateway.WarnOpts) error {
	r.warnings = append(r.warnings, opts)
	return nil
}

// A syntax line is followed by who was named in the request, not by who was started for it. A client that runs the
// frontend itself follows it to frontends that it hasn't.
func TestClientFollowsTheSyntaxLine(t *testing.T) {
	file, plain := "# syntax=other:1\nFROM scratch\n", "FROM scratch\n"
	for name, tt := range map[string]struct {
		opts        map[string]string
		file        string
		want, ofOwn bool // ofOwn: BuildKit's frontend is told that the line was followed
	}{
		"named in the request":            {map[string]string{"source": "larder:1"}, file, true, false},
		"without a line":                  {map[string]string{"source": "larder:1"}, plain, false, false},
		"with an argument in its place":   {map[string]string{"source": "larder:1", "build-arg:BUILDKIT_SYNTAX": "other:1"}, plain, true, false},
		"started for the line":            {map[string]string{"source": "larder:1", "cmdline": "larder:1"}, file, false, true},
		"in the client":                   {map[string]string{inbuildOpt: "larder"}, file, true, false},
		"in the client, with an argument": {map[string]string{inbuildOpt: "larder", "build-arg:BUILDKIT_SYNTAX": "other:1"}, plain, true, false},
		"in the client, Larder's":         {map[string]string{inbuildOpt: "larder"}, "# syntax=registry.example/larder:1\n", false, true},
		"in the client, docker's":         {map[string]string{inbuildOpt: "larder"}, "# syntax=docker/dockerfile:1\nFROM scratch\n", false, true},
		"in the client, without a line":   {map[string]string{inbuildOpt: "larder"}, plain, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := wrap(newRecorder(tt.opts))
			args := map[string]string{}
			if arg, ok := tt.opts["build-arg:BUILDKIT_SYNTAX"]; ok {
				args["BUILDKIT_SYNTAX"] = arg
			}
			require.Equal(t, tt.want, c.follows([]byte(tt.file), syntaxOf([]byte(tt.file), args)))
			_, told := c.BuildOpts().Opts["cmdline"]
			require.Equal(t, tt.ofOwn, told)
		})
	}
}

// Which frontend a file asks for.
func TestSyntaxOf(t *testing.T) {
	for ref, want := range map[string]syntaxKind{
		"ghcr.io/larder-build/larder:1":                                          syntaxLarder,
		"registry.internal:5000/mirror/larder@sha256:" + strings.Repeat("a", 64): syntaxLarder,
		"larder:1":                                    syntaxLarder,
		"docker/dockerfile":                           syntaxDocker,
		"docker/dockerfile:1.7-labs":                  syntaxDocker,
		"docker.io/docker/dockerfile:1":               syntaxDocker,
		"mirror.gcr.io/docker/dockerfile:1":           syntaxDocker,
		"docker/dockerfile-upstream:master":           syntaxDocker,
		"dockerfile:1":                                syntaxOther,
		"ghcr.io/project-dalec/dalec/frontend:latest": syntaxOther,
		"ghcr.io/larder-build/larder/other:1":         syntaxOther,
		"not a name":                                  syntaxOther,
	} {
		require.Equal(t, want, syntaxOf([]byte("FROM scratch\n"), map[string]string{"BUILDKIT_SYNTAX": ref}).kind, ref)
		if !strings.Contains(ref, " ") {
			require.Equal(t, syntax{want, ref}, syntaxOf([]byte("# syntax="+ref+"\nFROM scratch\n"), nil))
		}
	}
	require.Equal(t, syntax{}, syntaxOf([]byte("FROM scratch\n"), nil))
}

func TestClientShowsTheUsersFile(t *testing.T) {
	r := newRecorder(map[string]string{"source": "larder:1", "dockerfilekey": "dockerfile"})
	c := wrap(r)
	require.NotContains(t, r.opts.Opts, "cmdline", "the request's own options are left as they are")

	shown := &pb.SourceInfo{Filename: "Dockerfile", Data: []byte("FROM go\n")}
	c.replaceFile("docker/Dockerfile", []byte("FROM other\n"), nil, shown)
	require.NotContains(t, c.BuildOpts().Opts, "dockerfilekey")

	other := &pb.SourceInfo{Filename: "policy", Data: []byte("x")}
	req := gateway.SolveRequest{Definition: &pb.Definition{Source: &pb.Source{Infos: []*pb.SourceInfo{{Filename: "Dockerfile", Data: []byte("FROM other\n")}, other}}}}
	_, err := c.Solve(t.Context(), req)
	require.NoError(t, err)
	require.Same(t, shown, r.solved[0].Definition.Source.Infos[0])
	require.Same(t, other, r.solved[0].Definition.Source.Infos[1])

	require.NoError(t, c.Warn(t.Context(), "", "msg", gateway.WarnOpts{SourceInfo: &pb.SourceInfo{Data: []byte("FROM other\n")}}))
	require.Same(t, shown, r.warnings[0].SourceInfo)
}

func TestClientAddsItsInputs(t *testing.T) {
	r := newRecorder(nil)
	r.inputs = map[string]llb.State{"context": llb.Image("theirs"), "dockerfile": llb.Image("theirs")}
	c := wrap(r)
	c.replaceFile("Dockerfile", []byte("FROM scratch\n"), []byte("*.md\n"), nil)
	inputs, err := c.Inputs(t.Context())
	require.NoError(t, err)
	require.Contains(t, inputs, "context")
	def, err := inputs["dockerfile"].Marshal(t.Context())
	require.NoError(t, err)
	text := string(def.Def[0])
	require.Contains(t, text, "FROM scratch")
	require.Contains(t, text, "/Dockerfile.dockerignore")
}
