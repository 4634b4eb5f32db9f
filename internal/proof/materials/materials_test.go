package materials_test

import (
	"encoding/json"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/proof/materials"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

const (
	imageDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	greet       = "a.example/greet v1.2.0 h1:dqydCTYk2XqeRmTZiRdJ5wWxFvoVfqxcXRGlyKAfOJU="
	greetMod    = "a.example/greet v1.2.0/go.mod h1:tAHHAUlRTAMPYnYmRSPOwZVNPpbEkAhmTBUjDYSgKIk="
	commit      = "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12"
)

var amd64 = ocispecs.Platform{OS: "linux", Architecture: "amd64"}

func marshal(t *testing.T, st llb.State) *pb.Definition {
	def, err := st.Marshal(t.Context(), llb.Platform(amd64))
	require.NoError(t, err)
	return def.ToPB()
}

// ownSteps returns a builder of Larder's states, and the modules of two lines of go.sum, fetched with a network.
func ownSteps(t *testing.T) (larder.Builder, llb.State) {
	steps := larder.Builder{Helper: llb.Image("larder:1@" + imageDigest), HelperPath: "/larder-frontend", Platform: amd64}
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(greet + "\n" + greetMod + "\n")})
	require.NoError(t, err)
	modules, err := steps.Modules(set, func(gomod.Set) (larder.ModuleSource, error) {
		return larder.ModuleSource{GOPROXY: "https://proxy.example", Network: true, Label: "proxy.example"}, nil
	})
	require.NoError(t, err)
	return steps, modules.Merged()
}

func TestFind(t *testing.T) {
	steps, modules := ownSteps(t)
	toolchain := steps.Toolchain(gotoolchain.Toolchain{Version: "go1.26.8"}, larder.ToolchainSource{Proxy: "https://user:secret@proxy.example"})
	other := steps.Toolchain(gotoolchain.Toolchain{Version: "go1.24.1"}, larder.ToolchainSource{GOPROXY: "https://proxy.example", GOSUMDB: "sum.golang.org"})
	st := llb.Image("alpine:3").Run(llb.Shlex("true"), llb.Network(pb.NetMode_NONE)).
		AddMount("/modules", modules)
	fetched := steps.Toolchain(gotoolchain.Toolchain{Version: "go1.25.14"}, larder.ToolchainSource{GOPROXY: "https://proxy.example"})
	for _, source := range []llb.State{toolchain, other, fetched, llb.Git("https://token@git.example/x.git", commit), llb.Git("https://git.example/y.git", "main"), llb.Local("context")} {
		st = st.File(llb.Copy(source, "/", "/"))
	}
	r, err := materials.Find(marshal(t, st))
	require.NoError(t, err)
	require.Equal(t, []gomod.Sum{{Path: "a.example/greet", Version: "v1.2.0", Hash: "h1:dqydCTYk2XqeRmTZiRdJ5wWxFvoVfqxcXRGlyKAfOJU="}}, r.Modules)
	require.Equal(t, []materials.Toolchain{{Version: "go1.24.1", Platform: "linux/amd64"}, {H1: "h1:XriDgll2yv4W2YeUo2X/WuUuy+iGJkXGH0CQloMBEXo="}, {H1: "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM="}}, r.Toolchains)
	require.Equal(t, []string{"[go] fetch go1.24.1", "[go] fetch go1.25.14", "[modules] fetch and unpack 1 modules from proxy.example"}, r.Network)
	require.Equal(t, []string{
		"the step [go] fetch go1.24.1 had a network",
		"the step [go] fetch go1.25.14 had a network",
		"the step [modules] fetch and unpack 1 modules from proxy.example had a network",
		"git://git.example/y.git#main was taken without a digest",
		"docker.io/library/alpine:3 was taken without a digest",
		"the folder context was sent by the client, without a digest",
	}, r.NotHermetic())

	p := materials.NewPredicate("v1", "linux/amd64", r)
	require.False(t, p.Hermetic)
	data, err := json.Marshal(p)
	require.NoError(t, err)
	for _, secret := range []string{"secret", "token"} {
		require.NotContains(t, string(data), secret)
	}
	byName := map[string]materials.Resource{}
	for _, m := range p.Materials {
		byName[m.Name] = m
	}
	require.Equal(t, materials.Resource{
		Name: "a.example/greet@v1.2.0", URI: "pkg:golang/a.example/greet@v1.2.0",
		Digest:      map[string]string{"dirHash": "76ac9d093624d97a9e4664d9891749e705b116fa157eac5c5d11a5c8a01f3895"},
		Annotations: map[string]string{"h1": "h1:dqydCTYk2XqeRmTZiRdJ5wWxFvoVfqxcXRGlyKAfOJU="},
	}, byName["a.example/greet@v1.2.0"])
	require.Equal(t, "pkg:golang/golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64", byName["golang.org/toolchain@v0.0.1-go1.26.8.linux-amd64"].URI)
	require.Empty(t, byName["golang.org/toolchain@v0.0.1-go1.24.1.linux-amd64"].Digest)
	require.Equal(t, map[string]string{"gitCommit": commit}, byName["git://git.example/x.git#"+commit].Digest)
	require.Equal(t, map[string]string{"sha256": imageDigest[7:]}, byName["docker.io/library/larder:1"].Digest)
}

// A build is hermetic if all is known by its digest beforehand and no step has a network.
// What an earlier build needed, whose layer this one begins with, is no material of this one: it differs by the cache.
func TestFindWithoutEarlier(t *testing.T) {
	steps, _ := ownSteps(t)
	deps := func(line, imported string, below *llb.State) llb.State {
		set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(line + "\n")})
		require.NoError(t, err)
		modules, err := steps.Modules(set, func(gomod.Set) (larder.ModuleSource, error) {
			return larder.ModuleSource{GOPROXY: "https://proxy.example", Network: true, Label: imported}, nil
		})
		require.NoError(t, err)
		return steps.Deps(larder.DepsRequest{Toolchain: llb.Image("go"), Version: "go1.26.8", Modules: &modules, Part: below, Target: amd64, Slice: goslice.Slice{Imports: []string{imported, "fmt"}},
			Baseline: &larder.Baseline{Needs: gomod.Needs{Set: set, Imports: []string{imported, "fmt"}}, List: steps.Baseline("key", gomod.Needs{})}})
	}
	of := func(st llb.State) materials.Report {
		r, err := materials.Find(marshal(t, st))
		require.NoError(t, err)
		return r
	}
	earlier := deps("a.example/earlier v1.2.0 h1:dqydCTYk2XqeRmTZiRdJ5wWxFvoVfqxcXRGlyKAfOJU=", "a.example/earlier", nil)
	above, alone := of(deps(greet, "a.example/greet", &earlier)), of(deps(greet, "a.example/greet", nil))
	require.Equal(t, alone, above)
	require.Len(t, above.Modules, 1)
	require.Equal(t, "a.example/earlier", of(earlier).Modules[0].Path)
}

func TestHermetic(t *testing.T) {
	st := llb.Image("alpine:3@"+imageDigest).Run(llb.Shlex("true"), llb.Network(pb.NetMode_NONE)).Root().
		File(llb.Copy(llb.Git("https://git.example/x.git", commit), "/", "/"))
	r, err := materials.Find(marshal(t, st))
	require.NoError(t, err)
	require.Empty(t, r.NotHermetic())
	require.True(t, materials.NewPredicate("v1", "linux/amd64", r).Hermetic)
}

func TestBase(t *testing.T) {
	alpine := llb.Image("alpine:3@"+imageDigest, llb.Platform(amd64))
	local := llb.Local("context")
	steps, _ := ownSteps(t)
	want := materials.Source{Kind: materials.Image, Name: "docker.io/library/alpine:3", Digest: imageDigest, Platform: "linux/amd64"}
	for name, test := range map[string]struct {
		st   llb.State
		base bool
	}{
		"image":              {alpine, true},
		"steps":              {alpine.Run(llb.Shlex("a")).Run(llb.Shlex("b"), llb.AddMount("/x", local)).Root(), true},
		"files":              {alpine.File(llb.Mkdir("/a", 0o755).Mkfile("/a/b", 0o644, nil).Copy(local, "/", "/")), true},
		"merged":             {llb.Merge([]llb.State{alpine, llb.Scratch().File(llb.Copy(local, "/", "/"))}), true},
		"scratch":            {llb.Scratch().File(llb.Copy(alpine, "/", "/")), false},
		"static":             {steps.Static(alpine).File(llb.Copy(alpine, "/", "/")), false},
		"a folder":           {local, false},
		"what a step mounts": {local.Run(llb.Shlex("a")).AddMount("/out", alpine), true},
	} {
		t.Run(name, func(t *testing.T) {
			base, ok := materials.Base(marshal(t, test.st))
			require.Equal(t, test.base, ok)
			if ok {
				require.Equal(t, want, base)
			}
		})
	}
	_, ok := materials.Base(&pb.Definition{})
	require.False(t, ok)
}

// A definition of anybody's makes no panic.
func FuzzFind(f *testing.F) {
	def, err := llb.Image("alpine:3").Run(llb.Shlex("true")).Root().File(llb.Mkfile("/x", 0o644, nil)).Marshal(f.Context())
	require.NoError(f, err)
	f.Add(def.Def[0], def.Def[1], def.Def[len(def.Def)-1])
	f.Fuzz(func(_ *testing.T, a, b, c []byte) {
		def := &pb.Definition{Def: [][]byte{a, b, c}}
		_, _ = materials.Find(def)
		_, _ = materials.Base(def)
	})
}
