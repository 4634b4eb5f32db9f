package frontend

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
)

// A listed is a builder that has the list of an earlier build in a cache.
type listed struct {
	*capture
	list    []byte // nil for what the build itself says
	without string // the modules of an earlier build that can't be had any more; "" for none
	cancel  func() // called when the list is asked for; may be nil
	asked   int    // how often that was
}

func (l *listed) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	exec := lastStep(req.Definition)
	args := strings.Join(exec.GetMeta().GetArgs(), " ")
	switch {
	case strings.Contains(args, " in-build baseline "):
		if len(req.CacheImports) != 1 || !req.Evaluate {
			return nil, errors.New("the list is looked for in no cache")
		}
		l.asked++
		if l.cancel != nil {
			l.cancel()
		}
		list := l.list
		if list == nil {
			list = []byte(exec.GetMeta().GetProxyEnv().GetFtpProxy())
		}
		res := gateway.NewResult()
		res.SetRef(&fakeRef{text: args, files: fstest.MapFS{"needs": {Data: list}}})
		return res, nil
	case l.without != "" && strings.Contains(args, " in-build deps ") && slices.ContainsFunc(req.Definition.Def, func(data []byte) bool { return strings.Contains(string(data), l.without) }):
		return nil, errors.New("not found: " + l.without)
	}
	return l.capture.Solve(ctx, req)
}

// lastStep returns the step that makes what a definition is of, or nil.
func lastStep(def *pb.Definition) *pb.ExecOp {
	if len(def.GetDef()) < 2 {
		return nil
	}
	var op pb.Op
	if err := op.Unmarshal(def.Def[len(def.Def)-2]); err != nil {
		return nil
	}
	return op.GetExec()
}

// below builds where a list of an earlier build may be in a cache, and returns the lists of modules whose layers the packages
// of this one come above. opts are more options of the build, names and values in turn.
func (l *listed) below(ctx context.Context, t *testing.T, line string, opts ...string) (lists []string, err error) {
	own := testkit.Module{Path: "a.example/x", Version: "v1.0.0", Files: map[string]string{"x.go": "package x\n"}}.Write(t, t.TempDir())
	b := newFakeBuilder(fstest.MapFS{
		"go.mod": {Data: []byte("module example.com/app\n\ngo 1.26\n\nrequire a.example/x v1.0.0\n")}, "go.sum": {Data: []byte(own)},
		"main.go":    {Data: []byte("package main\n\nimport _ \"a.example/x\"\nimport _ \"fmt\"\n\nfunc main() {}\n")},
		"Dockerfile": {Data: []byte("FROM go:1.26.8 AS build\nGO build -o /out/ .\n" + line + "FROM scratch\nCOPY --from=build /out/ /\n")},
	})
	b.opts.Opts = map[string]string{inbuildOpt: "larder", "cache-imports": `[{"Type":"registry","Attrs":{"ref":"registry.example/cache"}}]`}
	for i := 0; i < len(opts); i += 2 {
		b.opts.Opts[opts[i]] = opts[i+1]
	}
	l.capture = &capture{fakeBuilder: b}
	if _, err = Build(ctx, l); err != nil {
		return nil, err
	}
	if len(l.definitions) == 0 {
		return nil, nil
	}
	for _, data := range l.definitions[len(l.definitions)-1].Def {
		var op pb.Op
		require.NoError(t, op.Unmarshal(data))
		if args := strings.Join(op.GetExec().GetMeta().GetArgs(), " "); strings.Contains(args, " in-build baseline ") {
			require.NotEmpty(t, op.GetExec().Meta.ProxyEnv.GetFtpProxy(), "the step may be run again, and has to know what to list")
		}
		for _, action := range op.GetFile().GetActions() {
			if f := action.GetMkfile(); f.GetPath() == "/go.sum" && string(f.GetData()) != own {
				lists = append(lists, string(f.GetData()))
			}
		}
	}
	slices.Sort(lists)
	return slices.Compact(lists), nil
}

func TestBaseline(t *testing.T) {
	const other = "b.example/y v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	sum := testkit.Module{Path: "a.example/x", Version: "v1.0.0", Files: map[string]string{"x.go": "package x\n"}}.Write(t, t.TempDir())
	list := func(goMod string, sums ...string) []byte {
		set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(strings.Join(sums, ""))})
		require.NoError(t, err)
		return []byte(gomod.Needs{GoMod: []byte(goMod), Set: set, Imports: []string{"a.example/x", "b.example/y"}}.Text())
	}
	const mod = "module example.com/app\n"
	for _, tt := range []struct {
		name string
		l    listed
		want bool
	}{
		{"another module", listed{list: list(mod, sum, other)}, true},
		{"the same", listed{}, false},
		{"modules that can't be had", listed{list: list(mod, sum, other), without: "b.example/y v1.0.0"}, false},
		{"another main module", listed{list: list("module example.com/evil\n", sum, other)}, false},
		{"another hash", listed{list: list(mod, "a.example/x v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", other)}, false},
		{"many more modules", listed{list: list(mod, sum, other, strings.ReplaceAll(other, "b.", "c."))}, false},
		{"a lie", listed{list: []byte("<html>")}, false},
		{"a flood", listed{list: []byte(strings.Repeat("A", 64<<20))}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			below, err := tt.l.below(t.Context(), t, "GO build -o /out/again .\n")
			require.NoError(t, err)
			require.NotEmpty(t, tt.l.definitions)
			require.Equal(t, 1, tt.l.asked, "lines with the same needs share a list")
			if tt.want {
				require.Len(t, below, 1)
				require.Contains(t, below[0], "b.example/y v1.0.0 ")
			} else {
				require.Empty(t, below)
			}
		})
	}

	l := listed{list: list(mod, sum, other)}
	_, err := l.below(t.Context(), t, "", "requestid", "frontend.outline")
	require.NoError(t, err)
	require.Zero(t, l.asked, "to tell what there is, nothing is compiled")
	l = listed{list: list(mod, sum, other)}
	below, err := l.below(t.Context(), t, "", "no-cache", "")
	require.NoError(t, err)
	require.Zero(t, l.asked)
	require.Empty(t, below)

	ctx, cancel := context.WithCancel(t.Context())
	l = listed{list: list(mod, sum, other), cancel: cancel}
	_, err = l.below(ctx, t, "")
	require.ErrorIs(t, err, context.Canceled, "a build that is ended doesn't go on without the list")
	require.Equal(t, 1, l.asked)
}
