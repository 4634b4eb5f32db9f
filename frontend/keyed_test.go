package frontend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/step"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/larder-build/larder/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A capture keeps the definitions that have steps.
type capture struct {
	*fakeBuilder
	definitions []*pb.Definition
}

func (c *capture) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	for _, data := range req.Definition.Def {
		var op pb.Op
		if err := op.Unmarshal(data); err != nil {
			return nil, err
		}
		if op.GetExec() != nil {
			c.definitions = append(c.definitions, req.Definition)
			break
		}
	}
	return c.fakeBuilder.Solve(ctx, req)
}

// planned returns the vertices of a build of some GO lines, by their digests.
func planned(t *testing.T, without ...string) (def *pb.Definition, ops map[digest.Digest]*pb.Op) {
	sum := testkit.Module{Path: "a.example/x", Version: "v1.0.0", Files: map[string]string{"x.go": "package x\n"}}.Write(t, t.TempDir())
	for i := range 20 { // which are parted
		sum += fmt.Sprintf("m%d.example/x v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", i)
	}
	b := newFakeBuilder(fstest.MapFS{
		"go.mod": {Data: []byte("module example.com/app\n\ngo 1.26\n\nrequire a.example/x v1.0.0\n")}, "go.sum": {Data: []byte(sum)},
		"main.go": {Data: []byte("package main\n\nimport _ \"a.example/x\"\nimport _ \"fmt\"\n\nfunc main() {}\n")},
		"Dockerfile": {Data: []byte("FROM go:1.26.8 AS test\nGO test ./...\nRUN --mount=type=gomod,target=/elsewhere true\nRUN --mount=type=bind,target=/mnt true\n" +
			"RUN --mount=type=cache,id=larder:ns/compile/example.com/app/go1.26.8,target=/a --mount=type=cache,id=" + planner.DefaultMark + "/compile/example.com/app/go1.26.8,target=/b true\n" +
			"FROM go:1.26.8 AS build\nARG V=1\nGO build -ldflags=\"-X main.v=$V\" -o /out/ .\nFROM scratch\nCOPY --from=test /go /go\nCOPY --from=build /out/ /\n")},
	})
	b.withoutCaps(without)
	b.opts.Opts = map[string]string{inbuildOpt: "larder", "platform": "linux/arm64", "build-arg:" + layersArg: "true", "build-arg:BUILDKIT_CACHE_MOUNT_NS": "ns", "build-arg:HTTPS_PROXY": "http://user:word@proxy.example"}
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
			case strings.Contains(args, " deps ") && (m.Dest == "/modules0" || m.Dest == "/src"):
				found["deps "+m.Dest] = m.ContentCache
			}
		}
	}
	off := pb.MountContentCache_OFF
	for name, want := range map[string]pb.MountContentCache{
		"GO /.larder/modules0": off, "GO /.larder/deps": off, "GO /.larder/compiled": off, "GO /usr/local/go": off, "RUN /elsewhere": off, "deps /modules0": off,
		"GO /": 0, "GO /src": 0, "RUN /mnt": 0, "deps /src": 0, // by content: what is the user's
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
	require.Contains(t, caches(ops), "larder:ns/compile/example.com/app/go1.26.8")
}

// caches returns the names of the cache mounts of steps.
func caches(ops map[digest.Digest]*pb.Op) (names []string) {
	for _, op := range ops {
		for _, m := range op.GetExec().GetMounts() {
			if m.CacheOpt != nil {
				names = append(names, m.CacheOpt.ID)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// No instruction can have the cache of a line that only compiles, whatever it calls it; and the steps of one build have
// the same caches as those of another, whatever mark they were planned with.
func TestCompileCachesAreNobodyElses(t *testing.T) {
	_, ops := planned(t)
	const own = "larder:ns/compile/example.com/app/go1.26.8"
	for _, op := range ops {
		args := strings.Join(op.GetExec().GetMeta().GetArgs(), " ")
		for _, m := range op.GetExec().GetMounts() {
			if m.CacheOpt != nil && m.CacheOpt.ID == own {
				require.Regexp(t, `^/.larder/go .*--compile=own|in-build deps`, args)
			}
			if m.CacheOpt != nil && m.CacheOpt.ID == "larder:ns/zips" {
				require.Contains(t, args, "in-build modules ")
			}
		}
	}
	require.ElementsMatch(t, []string{own, "larder:ns/std/go1.26.8", "larder:ns/zips", "ns/" + own, "ns/" + planner.DefaultMark + "/compile/example.com/app/go1.26.8", "ns/larder-go/example.com/app/go1.26.8"}, caches(ops))
	_, again := planned(t)
	require.Equal(t, slices.Sorted(maps.Keys(ops)), slices.Sorted(maps.Keys(again)))
}

// The password of an HTTP proxy is told to steps with a network alone, of those that are Larder's.
func TestProxiesAreToldWhereThereIsANetwork(t *testing.T) {
	_, ops := planned(t)
	told := map[bool]int{}
	for _, op := range ops {
		exec := op.GetExec()
		if args := exec.GetMeta().GetArgs(); len(args) == 0 || args[0] == "/bin/sh" {
			continue // the user's own
		}
		network := exec.Network != pb.NetMode_NONE
		require.Equal(t, network, exec.Meta.ProxyEnv != nil, exec.Meta.Args)
		told[network]++
	}
	require.NotZero(t, told[true])
	require.NotZero(t, told[false])
}

// A GO line is given the parts of its modules, each read-only, and a folder for links to them. Their merge is not made for it,
// but for a RUN.
func TestGoLinesMountParts(t *testing.T) {
	for _, without := range [][]string{nil, {string(pb.CapMergeOp)}} {
		_, ops := planned(t, without...)
		lines, merged := 0, 0
		for _, op := range ops {
			var parts []string
			for _, m := range op.GetExec().GetMounts() {
				isMerge := m.Input >= 0 && ops[digest.Digest(op.Inputs[m.Input].Digest)].GetMerge() != nil
				switch {
				case m.Dest == "/elsewhere" && isMerge:
					merged++
				case strings.HasPrefix(m.Dest, "/.larder/modules"):
					require.True(t, m.Readonly)
					require.Equal(t, pb.MountContentCache_OFF, m.ContentCache)
					require.Contains(t, ops[digest.Digest(op.Inputs[m.Input].Digest)].GetExec().GetMeta().GetArgs(), "modules")
					parts = append(parts, m.Dest)
				case m.Dest == "/go/pkg/mod":
					require.False(t, isMerge)
				}
			}
			if len(parts) == 0 {
				continue
			}
			lines++
			require.Contains(t, op.GetExec().GetMeta().GetArgs(), fmt.Sprintf("--modules=/.larder/modules,%d", len(parts)))
			for _, in := range op.Inputs {
				require.Nil(t, ops[digest.Digest(in.Digest)].GetMerge(), "it waits for the merge")
			}
		}
		if without == nil {
			require.Equal(t, []int{2, 1}, []int{lines, merged})
		} else {
			require.Equal(t, []int{0, 0}, []int{lines, merged})
		}
	}
}

// A GO line that is given packages which were compiled before the build has a compile cache of its own: what is in them gets
// into no other.
func TestReadyLayersHaveTheirOwnCache(t *testing.T) {
	const layer, id = "sha256:aa", "bb"
	edited := func(arg, ready string) string {
		op := &pb.Op{Inputs: []*pb.Input{{Digest: layer}}, Op: &pb.Op_Exec{Exec: &pb.ExecOp{Meta: &pb.Meta{Args: []string{arg}}, Mounts: []*pb.Mount{
			{Dest: step.LineDeps, Input: 0, Output: int64(pb.SkipOutput)},
			{Dest: step.LineCache, Input: int64(pb.Empty), Output: int64(pb.SkipOutput), CacheOpt: &pb.CacheOpt{ID: "ns/mark/compile/example.com/app/go1.26.8"}},
			{Dest: "/elsewhere", Input: int64(pb.Empty), CacheOpt: &pb.CacheOpt{ID: "ns/mine"}},
		}}}}
		e := stepEditor{ready: map[digest.Digest]string{digest.Digest(ready): id}, vertices: map[digest.Digest]bool{layer: true}, caches: larder.Builder{Namespace: "ns"}, mark: "mark"}
		e.edit(op)
		mounts := op.GetExec().Mounts
		require.Equal(t, "ns/mine", mounts[2].CacheOpt.ID)
		require.Equal(t, int64(pb.Empty), mounts[2].Input)
		if id := mounts[1].CacheOpt.ID; strings.HasSuffix(id, "/bb") {
			require.Zero(t, mounts[1].Input, "the cache begins with the layer")
			require.Equal(t, pb.MountContentCache_OFF, mounts[1].ContentCache, "all of which isn't read for a key")
		} else {
			require.Equal(t, int64(pb.Empty), mounts[1].Input)
		}
		return mounts[1].CacheOpt.ID
	}
	const shared = "larder:ns/compile/example.com/app/go1.26.8"
	require.Equal(t, shared+"/"+id, edited(step.Go, layer))
	require.Equal(t, shared, edited(step.Go, "sha256:cc"))
	require.Equal(t, shared, edited("/bin/sh", layer))
}
