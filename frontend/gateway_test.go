package frontend_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// toolchain is what "go 1.26" in a test's go.mod chooses.
const toolchain = "go1.26.10"

// A gateway is a BuildKit daemon, a registry with Larder's image in it, and a module to build.
type gateway struct {
	t                                    *testing.T
	addr, registry, larder, proxy, state string
	context                              string
	modules                              string // the folder of the module proxy
	sums                                 string // the go.sum of the module
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{t: t, addr: testkit.Buildkitd(t, nil), registry: testkit.Registry(t), state: t.TempDir()}
	g.larder = g.registry + "/larder:1"
	folder := t.TempDir()
	g.modules = folder
	testkit.Toolchain(t, folder, toolchain)
	g.sums = testkit.Module{Path: "a.example/greet", Version: "v1.2.0", Files: map[string]string{
		"greet.go": "package greet\n\nconst Hello = \"hello\"\n",
	}}.Write(t, folder)
	g.proxy = testkit.ServeProxy(t, folder, testkit.ModuleCache(t)).URL
	testkit.PushFrontend(t, g.addr, g.larder)
	g.anew()
	return g
}

// anew has the gateway build the module in a folder of its own, with a Dockerfile that has no instructions.
func (g *gateway) anew() {
	g.context = testkit.Tree(g.t, "-- Dockerfile --\n# syntax="+g.larder+"\n"+
		"-- go.mod --\nmodule example.com/app\n\ngo 1.26\n\nrequire a.example/greet v1.2.0\n-- go.sum --\n"+g.sums+
		"-- main.go --\npackage main\n\nimport (\n\t\"fmt\"\n\n\t\"a.example/greet\"\n)\n\nfunc main() { fmt.Println(greet.Hello) }\n")
}

func (g *gateway) buildctlCommand(context string, args ...string) *exec.Cmd {
	return exec.CommandContext(g.t.Context(), testkit.Tool(g.t, "buildctl"), append([]string{"--addr", g.addr, "build", "--progress", "plain",
		"--frontend", "dockerfile.v0", "--local", "context=" + context, "--local", "dockerfile=" + context}, args...)...)
}

func (g *gateway) buildctl(context string, args ...string) string {
	out, err := g.buildctlCommand(context, args...).CombinedOutput()
	require.NoError(g.t, err, "%s", out)
	return string(out)
}

// buildx runs buildx with its remote driver on the daemon.
func (g *gateway) buildx(args ...string) string {
	cmd := exec.CommandContext(g.t.Context(), testkit.Tool(g.t, "buildx"), args...)
	cmd.Env = append(os.Environ(), "BUILDX_CONFIG="+g.state, "BUILDX_BUILDER=test", "BUILDX_BAKE_ENTITLEMENTS_FS=0", "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	out, err := cmd.CombinedOutput()
	require.NoError(g.t, err, "buildx %s: %s", strings.Join(args, " "), out)
	return string(out)
}

func (g *gateway) createBuilder() {
	g.buildx("create", "--name", "test", "--driver", "remote", g.addr)
}

func (g *gateway) runApp(root string) {
	require.Equal(g.t, "hello\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/app")))
}

// The same module by every door that has a "# syntax=" line: one image.
func doors(g *gateway) {
	g.anew()
	t, arg := g.t, "GOPROXY="+g.proxy

	root := t.TempDir()
	g.buildctl(g.context, "--opt", "build-arg:"+arg, "--output", "type=local,dest="+root)
	g.runApp(root)
	log := g.buildctl(g.context, "--opt", "build-arg:"+arg, "--opt", "label:org.opencontainers.image.revision=1", "--output", "type=oci,dest="+filepath.Join(t.TempDir(), "image.tar"))
	require.Empty(t, ran(log), "a label compiles nothing anew")

	root = t.TempDir()
	g.buildx("build", "--build-arg", arg, "--output", root, g.context)
	g.runApp(root)

	elsewhere := filepath.Join(t.TempDir(), "Dockerfile")
	require.NoError(t, os.WriteFile(elsewhere, []byte("# syntax=registry.invalid/larder:1\n"), 0o644))
	root = t.TempDir()
	g.buildx("build", "--build-arg", arg, "--build-arg", "BUILDKIT_SYNTAX="+g.larder, "-f", elsewhere, "--output", root, g.context)
	g.runApp(root)

	bake := filepath.Join(t.TempDir(), "docker-bake.hcl")
	require.NoError(t, os.WriteFile(bake, []byte(`
target "app" {
  context = "`+g.context+`"
  args = { GOPROXY = "`+g.proxy+`" }
  platforms = ["linux/amd64", "linux/arm64"]
  tags = ["`+g.registry+`/app:1"]
  output = ["type=registry"]
}
`), 0o644))
	g.buildx("bake", "-f", bake, "app")
	crane := testkit.Tool(t, "crane")
	require.Contains(t, testkit.Run(t, crane, "manifest", g.registry+"/app:1"), "arm64")
	require.Contains(t, testkit.Run(t, crane, "config", "--platform", "linux/arm64", g.registry+"/app:1"), `"architecture":"arm64"`)

	require.Contains(t, g.buildx("build", "--call", "targets", "--build-arg", arg, g.context), "app")
	require.Contains(t, g.buildx("build", "--call", "check", "--build-arg", arg, g.context), "no warnings")
	outsideModule(g)
	levelZeroStamps(g)
}

// What a replace line puts in the place of a module comes by a named context, through buildx and bake as through larder.
func outsideModule(g *gateway) {
	dir := testkit.Tree(g.t, "-- app/Dockerfile --\n# syntax="+g.larder+"\nFROM go AS build\nGO build -o /out/ .\nFROM scratch\nCOPY --from=build /out/ /\n"+
		"-- app/go.mod --\nmodule example.com/app\n\ngo 1.26\n\nrequire example.com/lib v0.0.0\n\nreplace example.com/lib => ../lib\n"+
		"-- app/main.go --\npackage main\n\nimport \"example.com/lib\"\n\nfunc main() { println(lib.Name) }\n"+
		"-- lib/go.mod --\nmodule example.com/lib\n-- lib/lib.go --\npackage lib\n\nconst Name = \"outside\"\n"+
		"-- docker-bake.hcl --\ntarget \"app\" {}\n")
	app, lib, out := filepath.Join(dir, "app"), filepath.Join(dir, "lib"), g.t.TempDir()
	g.buildx("build", "--build-arg", "GOPROXY="+g.proxy, "--build-context", "example.com/lib="+lib, "--output", out, app)
	require.Equal(g.t, "outside\n", testkit.Run(g.t, filepath.Join(out, "app")))
	g.buildx("bake", "-f", filepath.Join(dir, "docker-bake.hcl"), "--set", "app.context="+app, "--set", "app.args.GOPROXY="+g.proxy,
		"--set", "app.contexts.example.com/lib="+lib, "--set", "app.platform=windows/amd64", "--set", "app.output="+out, "app")
	require.FileExists(g.t, filepath.Join(out, "app.exe"))
}

// The images that a gateway and a client-side build make of one module are the same.
func clientAgrees(g *gateway) {
	g.anew()
	t := g.t
	digest := func(ref string) string {
		return strings.TrimSpace(testkit.Run(t, testkit.Tool(t, "crane"), "digest", ref))
	}
	g.buildctl(g.context, "--opt", "build-arg:GOPROXY="+g.proxy, "--output", "type=image,push=true,name="+g.registry+"/app:gateway")
	cmd := exec.CommandContext(t.Context(), testkit.Larder(t, "larder"), "build", "--builder", g.addr, "--push", "-t", g.registry+"/app:client", g.context)
	cmd.Env = append(os.Environ(), "GOPROXY="+g.proxy)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, digest(g.registry+"/app:gateway"), digest(g.registry+"/app:client"))
	// Both ran the same binary, so that what one did was in the cache for the other.
	require.Regexp(t, `go build \.\n#\d+ CACHED`, string(out))
}

// An error shows the user's own line, and what is wrong with it.
func errorsPointAtTheLine(g *gateway) {
	g.anew()
	t := g.t
	require.NoError(t, os.WriteFile(filepath.Join(g.context, "Dockerfile"), []byte("# syntax="+g.larder+"\n\nFROM go:1.25 AS build\n"), 0o644))
	out, err := g.buildctlCommand(g.context, "--opt", "build-arg:GOPROXY="+g.proxy).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), ">>> FROM go:1.25 AS build")
	require.Contains(t, string(out), "go.mod needs go >= 1.26, but FROM go:1.25 chooses go1.25.14")

	require.NoError(t, os.WriteFile(filepath.Join(g.context, "Dockerfile"), []byte("# syntax="+g.larder+"\nFROM go\nWORKDIR /src\nRUN [\"go\", \"frob\"]\n"), 0o644))
	out, err = g.buildctlCommand(g.context, "--opt", "build-arg:GOPROXY="+g.proxy).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), `>>> RUN ["go", "frob"]`)
	require.Contains(t, string(out), "   2 |     FROM go\n", "the user's own text is shown, not the rewritten one")
}

// A build context that is fetched, here an archive, works as a folder does.
func remoteContext(g *gateway) {
	g.anew()
	t := g.t
	served := t.TempDir()
	archive := func(name string) string {
		testkit.Run(t, "tar", "-C", g.context, "-cf", filepath.Join(served, name), ".")
		return "context=" + testkit.ServeProxy(t, served).URL + "/" + name
	}
	root := t.TempDir()
	g.buildctl(t.TempDir(), "--opt", archive("zero.tar"), "--opt", "build-arg:GOPROXY="+g.proxy, "--output", "type=local,dest="+root)
	g.runApp(root)

	text := "# syntax=" + g.larder + "\nFROM go AS build\nWORKDIR /src\nCOPY x.go .\nRUN [\"go\", \"build\", \"-o\", \"/out/app\", \"x.go\"]\nFROM static\nCOPY --from=build /out/app /usr/local/bin/app\n"
	require.NoError(t, os.WriteFile(filepath.Join(g.context, "Dockerfile"), []byte(text), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(g.context, "x.go"), []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o644))
	root = t.TempDir()
	g.buildctl(t.TempDir(), "--opt", archive("bases.tar"), "--opt", "build-arg:GOPROXY="+g.proxy, "--output", "type=local,dest="+root)
	g.runApp(root)
}

// A Dockerfile that asks nothing of Larder is built as docker/dockerfile builds it.
func leavesDockerfilesAlone(g *gateway) {
	g.anew()
	t := g.t
	text := "FROM scratch AS base\nCOPY main.go /x\nFROM base\nLABEL a=b\n"
	digests := map[string]bool{}
	for _, header := range []string{"# not a header\n", "# syntax=" + g.larder + "\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(g.context, "Dockerfile"), []byte(header+text), 0o644))
		g.buildctl(g.context, "--opt", "build-arg:SOURCE_DATE_EPOCH=0", "--output", "type=image,rewrite-timestamp=true,push=true,name="+g.registry+"/plain:1")
		digests[testkit.Run(t, testkit.Tool(t, "crane"), "digest", g.registry+"/plain:1")] = true
	}
	require.Len(t, digests, 1)
}
