//go:build slow

package frontend_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestSlowDockerfiles is what TestDockerfiles leaves out: the examples, what needs C compilers, every image that
// docs/guides/runtime-images.md shows, and commits beside those that the go command stamps.
func TestSlowDockerfiles(t *testing.T) {
	g, golang := goGateway(t)
	pushBookworm(g, golang)
	g.runAll(t, []goTest{
		{"stamps", stamps}, {"stamps of commits", stampsCommits}, {"cgo", func(g *gateway) { cgoLines(g, golang) }},
		{"sysroot", func(g *gateway) { cgoSysroot(g, golang) }},
		{"examples", func(g *gateway) { buildExamples(g, false) }}, {"examples with cgo", func(g *gateway) { buildExamples(g, true) }},
		{"runtime", buildRuntime},
	})
}

// The repository's own bake file: the frontend's image by docker/dockerfile, from a base image that the test makes,
// since none can be pulled; and by Larder, which then builds with it.
func TestSlowFrontendImage(t *testing.T) {
	g := newGateway(t)
	g.createBuilder()
	root := testkit.Root(t)
	base := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(base, "Dockerfile"), []byte("# syntax="+g.larder+"\nFROM go:1.26\nENV GOPROXY="+g.proxy+" GOSUMDB=off\n"), 0o644))
	g.buildctl(base, "--opt", "build-arg:GOPROXY="+g.proxy, "--output", "type=image,push=true,name="+g.registry+"/golang:1.26")

	// One platform by each, since compiling it takes minutes: that both make several is shown with smaller programs.
	g.bake(root, "frontend", "by-docker", "--set", "frontend.args.GO_IMAGE="+g.registry+"/golang:1.26", "--set", "frontend.platform=linux/arm64")
	g.checkFrontend("by-docker", "arm64")
	g.bake(root, "frontend-larder", "by-larder", "--set", "frontend-larder.args.GOPROXY="+g.proxy, "--set", "frontend-larder.platform=linux/amd64")
	g.checkFrontend("by-larder", "amd64")
	g.larder = g.registry + "/larder:by-larder"

	require.NoError(t, os.WriteFile(filepath.Join(g.context, "Dockerfile"), []byte("# syntax="+g.larder+"\n"), 0o644))
	out := t.TempDir()
	g.buildctl(g.context, "--opt", "build-arg:GOPROXY="+g.proxy, "--output", "type=local,dest="+out)
	g.runApp(out)
}

func (g *gateway) bake(root, target, tag string, args ...string) {
	g.t.Setenv("REPO", g.registry+"/larder")
	g.t.Setenv("TAG", tag)
	g.t.Setenv("LARDER", g.larder)
	g.buildx(append([]string{"bake", "-f", filepath.Join(root, "docker-bake.hcl"), "--set", "*.context=" + root, "--push", target}, args...)...)
}

// checkFrontend wants a small image for each architecture, with the labels that BuildKit reads.
func (g *gateway) checkFrontend(tag string, archs ...string) {
	ref, crane := g.registry+"/larder:"+tag, testkit.Tool(g.t, "crane")
	for _, arch := range archs {
		config := testkit.Run(g.t, crane, "config", "--platform", "linux/"+arch, ref)
		require.Contains(g.t, config, `"moby.buildkit.frontend.network.none":"true"`)
		require.Contains(g.t, config, `"moby.buildkit.frontend.caps":"`+testkit.FrontendCaps+`"`)
		require.Contains(g.t, testkit.Run(g.t, crane, "manifest", "--platform", "linux/"+arch, ref), "tar+zstd")
		file := filepath.Join(g.t.TempDir(), "fs.tar")
		testkit.Run(g.t, crane, "export", "--platform", "linux/"+arch, ref, file)
		fi, err := os.Stat(file)
		require.NoError(g.t, err)
		require.Less(g.t, fi.Size(), int64(40e6), "the frontend's image for %s, unpacked", arch)
		g.t.Logf("%s linux/%s: %d bytes unpacked", tag, arch, fi.Size())
	}
}

// With a network and by buildx, too, no scanner is pulled.
func TestSlowSBOMByBuildx(t *testing.T) {
	g := newGateway(t)
	g.createBuilder()
	image := g.registry + "/app:1"
	log := g.buildx("build", "--progress", "plain", "--build-arg", "GOPROXY="+g.proxy, "--sbom=true", "--push", "-t", image, g.context)
	require.NotContains(t, log, "scanner")
	require.Contains(t, log, "found 1 binaries of Go and 0 packages of a distribution")
	a := &airGap{gateway: g}
	out, err := a.verify(image)
	require.NoError(t, err, "%s", out)
	file := filepath.Join(t.TempDir(), "plain.tar")
	g.buildx("build", "--build-arg", "GOPROXY="+g.proxy, "--output", "type=oci,dest="+file, g.context)
	out, err = a.verify(file)
	require.Error(t, err)
	require.Contains(t, out, "linux/amd64: it has no SBOM: build it with --sbom=true\n")
}
