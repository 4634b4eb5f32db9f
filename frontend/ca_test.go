package frontend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// definitionOf returns what a build of some files is made of, with the config of its image.
func definitionOf(t *testing.T, answered bool, files fstest.MapFS, opts map[string]string) (*pb.Definition, string) {
	b := newFakeBuilder(files)
	b.opts.Opts = map[string]string{inbuildOpt: "larder"}
	maps.Copy(b.opts.Opts, opts)
	c := &capture{fakeBuilder: b}
	res, err := (&Frontend{Answered: answered}).Build(t.Context(), c)
	require.NoError(t, err)
	require.NotEmpty(t, c.definitions)
	return c.definitions[len(c.definitions)-1], string(res.Metadata[exptypes.ExporterImageConfigKey])
}

// execs returns the steps of a definition by their commands, and wants its vertices to be in order.
func execs(t *testing.T, def *pb.Definition) (map[string]*pb.ExecOp, map[string]*pb.Op) {
	steps, seen := map[string]*pb.ExecOp{}, map[string]*pb.Op{}
	for _, data := range def.Def {
		var op pb.Op
		require.NoError(t, op.Unmarshal(data))
		for _, in := range op.Inputs {
			require.Contains(t, seen, in.Digest, "what comes first is what is named")
		}
		seen[digest.FromBytes(data).String()] = &op
		if exec := op.GetExec(); exec != nil {
			steps[exec.Meta.Args[len(exec.Meta.Args)-1]] = exec
		}
	}
	return steps, seen
}

const caFile = `FROM base.example/base AS one
RUN fetch
RUN --network=none alone
RUN --network=host host
ENV SSL_CERT_FILE=/mine APT_CONFIG=
RUN again
FROM scratch
COPY --from=one /x /x
`

// RUN lines with a network are given the secret, and nothing else is changed: neither the image's config, nor steps that
// have no network, nor variables that the Dockerfile sets. Without the argument the definition is the same byte for byte.
func TestCAIsGiven(t *testing.T) {
	files := fstest.MapFS{"Dockerfile": {Data: []byte(caFile)}}
	for _, opts := range []map[string]string{
		{}, {"build-arg:BUILDKIT_SYNTAX": "docker/dockerfile:1"},
		{inbuildOpt: "", "cmdline": "ghcr.io/larder-build/larder:1"}, // in a gateway
	} {
		plain, config := definitionOf(t, false, files, opts)
		for _, off := range []string{"", "0", "false"} {
			opts["build-arg:LARDER_CA"] = off
			def, _ := definitionOf(t, false, files, opts)
			require.Equal(t, plain.Def, def.Def, "LARDER_CA=%s", off)
		}
		opts["build-arg:LARDER_CA"] = "1"
		def, _ := definitionOf(t, true, files, opts)
		require.Equal(t, plain.Def, def.Def, "a builder that answers by itself")
		def, with := definitionOf(t, false, files, opts)
		require.Equal(t, config, with)
		before, _ := execs(t, plain)
		after, vertices := execs(t, def)
		require.Len(t, after, len(before))
		require.True(t, after["alone"].EqualVT(before["alone"]))
		for name, own := range map[string][]string{"fetch": nil, "host": nil, "again": {"SSL_CERT_FILE", "APT_CONFIG"}} {
			added := after[name].Meta.Env[len(before[name].Meta.Env):]
			require.Equal(t, before[name].Meta.Env, after[name].Meta.Env[:len(before[name].Meta.Env)])
			require.True(t, slices.IsSorted(added))
			for _, variable := range append([]string{"APT_CONFIG", "WGETRC"}, step.CAVariables...) {
				has := slices.ContainsFunc(added, func(set string) bool { return strings.HasPrefix(set, variable+"=/dev/larder-") })
				require.Equal(t, !slices.Contains(own, variable), has, "%s: %s", name, variable)
			}
			mounts := after[name].Mounts[len(before[name].Mounts):]
			require.Len(t, mounts, 2)
			require.Equal(t, &pb.SecretOpt{ID: "ca", Mode: 0o444}, mounts[1].SecretOpt, "it is wanted: the variables name a file that is there")
			require.Empty(t, after[name].Secretenv)
		}
		require.Len(t, def.Def, len(plain.Def)+1)
		for d := range vertices {
			if def.Def[len(def.Def)-1] != nil && d != digest.FromBytes(def.Def[len(def.Def)-1]).String() {
				require.Contains(t, def.Metadata, d)
			}
		}
		require.Len(t, def.Source.Locations, len(plain.Source.Locations), "errors tell the line")
	}
}

// Steps of Larder's own that fetch have it already. A GO line that has a network is given it as a RUN is.
func TestCAOfGoLines(t *testing.T) {
	files := fstest.MapFS{
		"go.mod":     {Data: []byte("module example.com/app\n\ngo 1.26\n\nrequire a.example/x v1.0.0\n")},
		"go.sum":     {Data: []byte("a.example/x v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")},
		"main.go":    {Data: []byte("package main\n\nfunc main() {}\n")},
		"Dockerfile": {Data: []byte("FROM go:1.26.8\nGO --network=default test ./...\nGO build -o /out/ .\n")},
	}
	def, _ := definitionOf(t, false, files, map[string]string{"build-arg:LARDER_CA": "true"})
	given := map[string]int{}
	steps, _ := execs(t, def)
	for _, exec := range steps {
		kind := fmt.Sprintf("network %v, own %v", exec.Network != pb.NetMode_NONE, exec.Meta.Args[0] != step.Go)
		if hasCA(exec) {
			kind += ": given"
		}
		given[kind]++
	}
	require.Equal(t, 1, given["network true, own false: given"], given)
	require.NotZero(t, given["network true, own true"])
	require.NotZero(t, given["network false, own false"])
	for kind := range given {
		require.False(t, strings.HasSuffix(kind, "given") && kind != "network true, own false: given", kind)
	}
}

func TestCAIsNonsense(t *testing.T) {
	b := newFakeBuilder(fstest.MapFS{"Dockerfile": {Data: []byte(caFile)}})
	b.opts.Opts = map[string]string{"build-arg:LARDER_CA": "maybe"}
	_, err := Build(t.Context(), b)
	require.EqualError(t, err, "LARDER_CA=maybe: expected 1 or 0, true or false")
}

// The cache of a compiling line is given to nobody in a file that Larder leaves alone.
func TestCAGivesNoCaches(t *testing.T) {
	files := fstest.MapFS{"Dockerfile": {Data: []byte("FROM base.example/base\nRUN --mount=type=cache,id=/compile/x,target=/c fetch\n")}}
	def, _ := definitionOf(t, false, files, map[string]string{"build-arg:LARDER_CA": "1"})
	steps, _ := execs(t, def)
	i := slices.IndexFunc(steps["fetch"].Mounts, func(m *pb.Mount) bool { return m.CacheOpt != nil })
	require.Equal(t, "//compile/x", steps["fetch"].Mounts[i].CacheOpt.ID)
}
