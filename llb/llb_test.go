package larder

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/patternmatcher"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const hash = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

var (
	amd64   = Platform{OS: "linux", Architecture: "amd64"}
	arm64v9 = Platform{OS: "linux", Architecture: "arm64", Variant: "v9"}
	armv7   = Platform{OS: "linux", Architecture: "arm", Variant: "v7"}
)

func testBuilder() Builder {
	return Builder{Helper: llb.Image("larder-inbuild"), HelperPath: "/larder-frontend", Platform: amd64, ByVertex: true}
}

func testSet(t *testing.T, lines ...string) gomod.Set {
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(strings.Join(lines, "\n"))})
	require.NoError(t, err)
	return set
}

func layerOf(t *testing.T, b Builder, set gomod.Set, from ModuleSource) llb.State {
	st, err := b.Modules(set, func(gomod.Set) (ModuleSource, error) { return from, nil })
	require.NoError(t, err)
	return st.Merged()
}

func compiledOf(t *testing.T, b Builder, set gomod.Set, from ModuleSource, deps llb.State) llb.State {
	st, err := b.CompiledModules(set, func(gomod.Set) (ModuleSource, error) { return from, nil }, deps)
	require.NoError(t, err)
	return st.Merged()
}

// TestStates compares each state's definition, written one vertex to a block, with a golden file: which step runs what,
// on what, and with a network or without.
func TestStates(t *testing.T) {
	b := testBuilder()
	set := testSet(t, "b.example/Y v1.0.0 "+hash, "b.example/Y v1.0.0/go.mod "+hash, "a.example/x v1.0.0/go.mod "+hash)
	folder := llb.Image("folder")
	pinned, unpinned := gotoolchain.Toolchain{Version: "go1.26.8"}, gotoolchain.Toolchain{Version: "go1.26.1"}
	goRoot := llb.Image("go-root")
	modules := Modules{[]llb.State{llb.Image("modules")}}
	parts := Modules{[]llb.State{llb.Image("modules-1"), llb.Image("modules-2")}}
	compiled := llb.Image("compiled")
	for name, st := range map[string]llb.State{
		"toolchain-proxy":    b.Toolchain(pinned, ToolchainSource{Proxy: "https://proxy.example"}),
		"toolchain-private":  b.Toolchain(pinned, ToolchainSource{GOPROXY: "https://proxy.corp"}),
		"toolchain-folder":   b.Toolchain(pinned, ToolchainSource{Folder: &folder, Path: "cache/download/go.zip"}),
		"toolchain-unpinned": b.Toolchain(unpinned, ToolchainSource{GOPROXY: "https://proxy.example", GOSUMDB: "sum.golang.org"}),
		"modules-folder":     layerOf(t, b, set, ModuleSource{Folders: []llb.State{folder}}),
		"modules-proxy":      layerOf(t, b, set, ModuleSource{GOPROXY: "https://proxy.example,direct", Network: true, Label: "https://proxy.example, direct", GOPRIVATE: "*.corp", GONOPROXY: "none"}),
		"modules-mixed":      layerOf(t, b, set, ModuleSource{Folders: []llb.State{folder}, GOPROXY: ProxyFolder(0) + ",off", Label: "a folder"}),
		"modules-compiled":   compiledOf(t, b, set, ModuleSource{Folders: []llb.State{folder}}, compiled),
		"static":             b.Static(goRoot),
		"slice":              b.Slice(llb.Image("context"), goslice.Slice{Files: []string{"cmd/api/main.go", "go.mod", "a b/[x]*?!.go"}, Globs: []string{"web/dist", "web/*.html"}}, "take 2 files"),
		"deps": b.Deps(DepsRequest{Toolchain: goRoot, Version: "go1.26.8", Main: "x.example/api", Source: llb.Image("context"), Modules: &modules, Dir: "api", Work: "go.work", Flags: []string{"-trimpath"}, Env: []string{"GOEXPERIMENT=x"},
			Slice: goslice.Slice{Files: []string{"api/go.mod", "api/main.go", "go.work"}, Imports: []string{"a.example/x", "fmt"}}, Target: armv7}),
		"deps-parts": b.Deps(DepsRequest{Toolchain: goRoot, Version: "go1.26.8", Main: "x.example/api", Source: llb.Image("context"), Modules: &parts, Dir: "api",
			Slice: goslice.Slice{Files: []string{"api/go.mod"}, Imports: []string{"a.example/x"}}, Target: amd64}),
		"deps-part": b.Deps(DepsRequest{Toolchain: goRoot, Version: "go1.26.8", Main: "x.example/api", Source: llb.Image("context"), Modules: &modules, Dir: ".", Part: &folder,
			Slice: goslice.Slice{Files: []string{"go.mod", "main.go"}, Imports: []string{"a.example/x", "testing"}}, Target: armv7}),
		"baseline": b.Baseline("key", gomod.Needs{GoMod: []byte("module x.example/api\n"), Set: set, Imports: []string{"a.example/x"}}),
		"deps-baseline": b.Deps(DepsRequest{Toolchain: goRoot, Version: "go1.26.8", Main: "x.example/api", Source: llb.Image("context"), Modules: &modules, Dir: "api", Part: &folder,
			Baseline: &Baseline{Needs: gomod.Needs{GoMod: []byte("module x.example/api\n"), Set: set, Imports: []string{"a.example/x"}}, List: llb.Image("list")}, Target: armv7}),
		"compile": b.Compile(CompileRequest{Args: []string{"-trimpath", "./cmd/api"}, Deps: &folder, DepsRequest: DepsRequest{Toolchain: goRoot, Version: "go1.26.8", Main: "x.example/api", Source: b.Repository(b.WithoutGit(llb.Image("context"))),
			Modules: &modules, Dir: "api", Target: armv7}}),
		"deps-profile": b.Deps(DepsRequest{Toolchain: goRoot, Version: "go1.26.8", Main: "x.example/api", Source: llb.Image("context"), Dir: ".", Flags: []string{"-trimpath"},
			Slice: goslice.Slice{Files: []string{"go.mod", "main.go"}, Imports: []string{"fmt"}, Profile: "default.pgo"}, Target: arm64v9}),
		"fips": b.WithFIPS(modules, goRoot, "v1.0.0").Merged(),
		"wide": b.Wide([]Part{{"build-context", llb.Image("context")}, {"shared/lib", folder}}),
		"binary-windows": b.Binary(BinaryRequest{Flags: []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w"}, Name: "api", Package: ".", Toolchain: goRoot, Version: "go1.26.8", Source: llb.Image("context"), Dir: "build-context", Main: "x.example/api",
			Env: []string{"GOFLAGS=-tags=x"}, Target: Platform{OS: "windows", Architecture: "amd64"}, Label: "go build"}),
		"slice-empty":     b.Slice(llb.Image("context"), goslice.Slice{}, "take none"),
		"binary":          b.Binary(BinaryRequest{Flags: []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w"}, Name: "api", Package: "./cmd/api", Toolchain: goRoot, Version: "go1.26.8", Source: llb.Image("context"), Modules: &modules, Deps: &folder, Main: "x.example/api", Target: armv7, Label: "go build"}),
		"binary-ready":    b.Binary(BinaryRequest{Flags: []string{"-trimpath"}, Name: "api", Package: "./cmd/api", Toolchain: goRoot, Version: "go1.26.8", Source: llb.Image("context"), Modules: &modules, Deps: &compiled, Own: "aa", Main: "x.example/api", Target: armv7, Label: "go build"}),
		"binary-stamped":  b.Binary(BinaryRequest{Flags: []string{"-trimpath", "-buildvcs=true"}, Name: "api", Package: ".", Toolchain: goRoot, Version: "go1.26.8", Source: b.Repository(folder), Deps: &folder, Compiled: &compiled, Commit: `{"revision":"abc"}`, Main: "x.example/api", Target: armv7, Label: "go build"}),
		"binary-vendored": b.Binary(BinaryRequest{Flags: []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w"}, Name: "api", Package: ".", Toolchain: goRoot, Version: "go1.26.8", Source: llb.Image("context"), Main: "x.example/api", Vendored: true, Work: "go.work", Target: Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}, Label: "go build"}),
	} {
		t.Run(name, func(t *testing.T) {
			got := describe(t, st)
			file := filepath.Join("testdata", name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o666))
				return
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("definition differs (-want +got):\n%s\nrun 'go test -update' if that is right", diff)
			}
		})
	}
}

func describe(t *testing.T, st llb.State) string {
	def, err := st.Marshal(context.Background(), llb.LinuxAmd64)
	require.NoError(t, err)
	var out strings.Builder
	for i, dt := range def.Def {
		var op pb.Op
		require.NoError(t, op.Unmarshal(dt))
		writeOp(&out, i, &op)
	}
	return out.String()
}

func writeOp(out *strings.Builder, i int, op *pb.Op) {
	fmt.Fprintf(out, "%d", i)
	if p := op.Platform; p != nil {
		fmt.Fprintf(out, " %s/%s%s", p.OS, p.Architecture, p.Variant)
	}
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		fmt.Fprintf(out, " source %s %v\n", o.Source.Identifier, sortedAttrs(o.Source.Attrs))
	case *pb.Op_File:
		fmt.Fprintf(out, " file\n")
		for _, a := range o.File.Actions {
			fmt.Fprintf(out, "  %s\n", action(a))
		}
	case *pb.Op_Exec:
		fmt.Fprintf(out, " exec network=%s cwd=%s\n", o.Exec.Network, o.Exec.Meta.Cwd)
		for _, a := range o.Exec.Meta.Args {
			fmt.Fprintf(out, "  arg %s\n", a)
		}
		for _, e := range o.Exec.Meta.Env {
			fmt.Fprintf(out, "  env %s\n", e)
		}
		for _, m := range o.Exec.Mounts {
			fmt.Fprintf(out, "  mount %s %s from=%d selector=%q readonly=%v", m.Dest, m.MountType, m.Input, m.Selector, m.Readonly)
			if m.CacheOpt != nil {
				fmt.Fprintf(out, " cache=%s/%s", m.CacheOpt.ID, m.CacheOpt.Sharing)
			}
			if m.SecretOpt != nil {
				fmt.Fprintf(out, " secret=%s optional=%v", m.SecretOpt.ID, m.SecretOpt.Optional)
			}
			if m.ContentCache == pb.MountContentCache_OFF {
				fmt.Fprint(out, " keyed by vertex")
			}
			fmt.Fprintln(out)
		}
	case *pb.Op_Merge:
		fmt.Fprintf(out, " merge of %d\n", len(o.Merge.Inputs))
	default:
		fmt.Fprintln(out, " result")
	}
}

func sortedAttrs(attrs map[string]string) string {
	return strings.TrimPrefix(fmt.Sprint(attrs), "map") // fmt sorts the keys
}

func action(a *pb.FileAction) string {
	switch f := a.Action.(type) {
	case *pb.FileAction_Mkfile:
		return fmt.Sprintf("mkfile %s %o\n%s", f.Mkfile.Path, f.Mkfile.Mode, f.Mkfile.Data)
	case *pb.FileAction_Mkdir:
		return fmt.Sprintf("mkdir %s %o", f.Mkdir.Path, f.Mkdir.Mode)
	case *pb.FileAction_Copy:
		return strings.TrimSpace(fmt.Sprintf("copy %s to %s %s", f.Copy.Src, f.Copy.Dest, strings.Join(f.Copy.IncludePatterns, " ")))
	}
	return fmt.Sprintf("%T", a.Action)
}

func TestModuleKeyIgnoresOrder(t *testing.T) {
	b := testBuilder()
	lines := []string{"b.example/y v1.0.0 " + hash, "a.example/x v1.0.0 " + hash}
	digest := func(lines ...string) string {
		st := layerOf(t, b, testSet(t, lines...), ModuleSource{GOPROXY: "https://proxy.example", Network: true, Label: "x"})
		def, err := st.Marshal(context.Background())
		require.NoError(t, err)
		head, err := def.Head()
		require.NoError(t, err)
		return head.String()
	}
	require.Equal(t, digest(lines...), digest(lines[1], "", lines[0], lines[1]))
	require.NotEqual(t, digest(lines...), digest(lines[0]))
}

// A builder that can merge gets a layer for each shard; one that can't gets one layer.
func TestModulesAreMerged(t *testing.T) {
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf("m%d.example/x v1.0.0 %s", i, hash), fmt.Sprintf("m%d.example/x v1.0.0/go.mod %s", i, hash))
	}
	set := testSet(t, lines...)
	for _, merge := range []bool{true, false} {
		b := testBuilder()
		b.Merge = merge
		asked := 0
		st, err := b.Modules(set, func(part gomod.Set) (ModuleSource, error) {
			asked++
			return ModuleSource{GOPROXY: "https://proxy.example", Network: true, Label: "x"}, nil
		})
		require.NoError(t, err)
		text := describe(t, st.Merged())
		if merge {
			require.Equal(t, len(set.Shards()), asked)
		} else {
			require.Equal(t, 1, asked)
		}
		require.Equal(t, asked, strings.Count(text, "  arg modules\n"))
		require.Equal(t, merge, strings.Contains(text, fmt.Sprintf("merge of %d\n", asked)))
	}
}

func TestModuleFiles(t *testing.T) {
	files, err := ModuleFiles(testSet(t, "b.example/Y v1.0.0 "+hash, "a.example/x v1.0.0-RC/go.mod "+hash))
	require.NoError(t, err)
	require.Equal(t, []string{
		"a.example/x/@v/v1.0.0-!r!c.mod", "b.example/!y/@v/v1.0.0.zip",
		"cache/download/a.example/x/@v/v1.0.0-!r!c.mod", "cache/download/b.example/!y/@v/v1.0.0.zip",
	}, files)
}

func TestImages(t *testing.T) {
	img := StaticImage(armv7)
	require.Equal(t, "65532:65532", img.Config.User)
	require.Equal(t, armv7, img.Platform)
	env := GoImage(amd64, armv7).Config.Env
	for _, want := range []string{"GOOS=linux", "GOARCH=arm", "GOARM=7", "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOPROXY=off", "GOSUMDB=off", "GOENV=off", "GOVCS=*:off", "GOFLAGS=-mod=readonly"} {
		require.Contains(t, env, want)
	}
	require.Contains(t, GoEnv(Platform{OS: "linux", Architecture: "amd64", Variant: "v3"}), "GOAMD64=v3")
}

// A name is a pattern that matches that name alone.
func TestLiteral(t *testing.T) {
	names := []string{"a.go", "a b.go", " a.go", "a.go ", "[a].go", "a*.go", "a?.go", "!a.go", `a\b.go`, "über/日本.go", "a+(b).go", "^a$.go", "ab.go", "{a,b}.go"}
	for _, name := range names {
		m, err := patternmatcher.New([]string{literal(name)})
		require.NoError(t, err)
		for _, other := range names {
			got, err := m.MatchesOrParentMatches(other)
			require.NoError(t, err)
			require.Equal(t, name == other, got, "%q as a pattern, and %q", name, other)
		}
	}
}
