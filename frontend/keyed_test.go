package frontend

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/testkit"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A capture keeps the definitions that have steps, and has the files that those without one write.
type capture struct {
	*fakeBuilder
	definitions []*pb.Definition
}

func (c *capture) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	written := fstest.MapFS{}
	for _, data := range req.Definition.Def {
		var op pb.Op
		if err := op.Unmarshal(data); err != nil {
			return nil, err
		}
		if op.GetExec() != nil {
			c.definitions = append(c.definitions, req.Definition)
			break
		}
		for _, a := range op.GetFile().GetActions() {
			if f := a.GetMkfile(); f != nil {
				written[strings.TrimPrefix(f.Path, "/")] = &fstest.MapFile{Data: f.Data}
			}
		}
	}
	res, err := c.fakeBuilder.Solve(ctx, req)
	if err == nil && len(written) > 0 {
		res.Ref.(*fakeRef).files = written
	}
	return res, err
}

// planned returns the vertices of a build of some GO lines, by their digests.
func planned(t *testing.T, without ...string) (def *pb.Definition, ops map[digest.Digest]*pb.Op) {
	sum := testkit.Module{Path: "a.example/x", Version: "v1.0.0", Files: map[string]string{"x.go": "package x\n"}}.Write(t, t.TempDir())
	b := newFakeBuilder(fstest.MapFS{
		"go.mod": {Data: []byte("module example.com/app\n\ngo 1.26\n\nrequire a.example/x v1.0.0\n")}, "go.sum": {Data: []byte(sum)},
		"main.go": {Data: []byte("package main\n\nimport _ \"a.example/x\"\nimport _ \"fmt\"\n\nfunc main() {}\n")},
		"Dockerfile": {Data: []byte("FROM go:1.26.8 AS build\nRUN --mount=type=gomod,target=/elsewhere true\nRUN --mount=type=bind,target=/mnt true\n" +
			"ARG V=1\nGO build -ldflags=\"-X main.v=$V\" -o /out/ .\nFROM scratch\nCOPY --from=build /out/ /\n")},
	})
	b.withoutCaps(without)
	b.opts.Opts = map[string]string{inbuildOpt: "larder", "platform": "linux/arm64"}
	c := &capture{fakeBuilder: b}
	_, err := Build(t.Context(), c)
	require.NoError(t, err)
	require.NotEmpty(t, c.definitions)
	def, ops = c.definitions[len(c.definitions)-1], map[digest.Digest]*pb.Op{}
	for _, data := range def.Def {
		var op pb.Op
		require.NoError(t, op.Unmarshal(data))
		for _, in := range op.Inputs {
			require.Contains(t, ops, digest.Digest(in.Digest), "what comes first is what is named")
		}
		ops[digest.FromBytes(data)] = &op
	}
	return def, ops
}

func TestStepsAreKeyedByWhatMadeTheirMounts(t *testing.T) {
	def, ops := planned(t)
	found := map[string]pb.MountContentCache{}
	for dgst, op := range ops {
		require.Contains(t, def.Metadata, string(dgst))
		args := strings.Join(op.GetExec().GetMeta().GetArgs(), " ")
		for _, m := range op.GetExec().GetMounts() {
			switch {
			case strings.HasPrefix(args, "/.larder/go "):
				require.Contains(t, def.Source.Locations, string(dgst), "errors tell the line")
				found["GO "+m.Dest] = m.ContentCache
			case m.Dest == "/elsewhere", m.Dest == "/mnt":
				found["RUN "+m.Dest] = m.ContentCache
			case strings.Contains(args, " deps ") && (m.Dest == "/go/pkg/mod" || m.Dest == "/src" || m.Dest == "/seeded"):
				found["deps "+m.Dest] = m.ContentCache
			}
		}
	}
	off := pb.MountContentCache_OFF
	for name, want := range map[string]pb.MountContentCache{
		"GO /go/pkg/mod": off, "GO /.larder/deps": off, "GO /.larder/compiled": off, "RUN /elsewhere": off, "deps /go/pkg/mod": off,
		"GO /": 0, "GO /src": 0, "RUN /mnt": 0, "deps /src": 0, // by content: what is the user's
		"GO /.larder/seeded": 0, "deps /seeded": 0, // what is the same with any seed
	} {
		require.Contains(t, found, name)
		require.Equal(t, want, found[name], name)
	}

	_, ops = planned(t, string(pb.CapExecMountContentCache))
	for _, op := range ops {
		for _, m := range op.GetExec().GetMounts() {
			require.Zero(t, m.ContentCache, "not all builders know of that")
		}
	}
}
