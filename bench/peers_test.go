//go:build bench

package bench

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Names of the peers, as they are in the report.
const (
	gateway    = "larder"                         // by its image, from a "# syntax=" line
	inClient   = "larder build"                   // the command, which is the frontend itself, with its own builder
	mounts     = "docker/dockerfile, mounts"      // BuildKit's built-in frontend; cache and bind mounts
	image      = "docker/dockerfile:1, mounts"    // the same by its image, from a "# syntax=" line
	layers     = "docker/dockerfile, layers"      // go mod download in a layer, COPY, go build
	koBuild    = "ko"                             // on this machine, with its caches
	floor      = "go build"                       // on this machine; it makes no image
	larderBake = "larder bake"                    // the command with its own builder
	bakeName   = "8 services by bake, one edited" // see bake
)

// A peer is a way to build the programs of an input.
type peer struct {
	name  string
	host  bool // builds on this machine, not on a BuildKit
	build func(w *world, in input, dir, addr string, args []string)
}

// peersOf returns some peers by name.
func (w *world) peersOf(names []string) (list []peer) {
	for _, name := range names {
		p := peer{name: name}
		switch name {
		case koBuild:
			p.host, p.build = true, (*world).ko
		case floor:
			p.host, p.build = true, (*world).goBuild
		case inClient:
			p.build = (*world).larderBuild
		default:
			p.build = func(w *world, in input, dir, addr string, args []string) {
				w.write(dir, "Dockerfile", w.dockerfile(name, in))
				w.buildctl(dir, addr, "type=oci,dest="+filepath.Join(w.t.TempDir(), "image.tar"), args...)
			}
		}
		list = append(list, p)
	}
	return list
}

// dockerfile returns the file that a peer builds all programs of an input by.
func (w *world) dockerfile(name string, in input) string {
	text, copies := map[string]string{gateway: w.larderLine(), inClient: w.larderLine(), larderBake: w.larderLine(), image: "# syntax=" + w.docker + "\n"}[name], ""
	for i, main := range in.mains {
		stage := fmt.Sprintf("b%d", i)
		text += w.stage(name, stage, main)
		copies += "COPY --from=" + stage + " /out/app /" + stage + "\n"
	}
	return text + "FROM scratch\n" + copies
}

func (w *world) larderLine() string { return "# syntax=" + w.registry + "/larder:1\n" }

// stage returns the stage that builds one program.
func (w *world) stage(name, stage, main string) string {
	switch name {
	case gateway, inClient, larderBake:
		return "FROM go AS " + stage + "\nGO build -ldflags=\"-s -w\" -o /out/app " + main + "\n"
	case layers:
		return w.golangStage(stage) + "COPY go.mod go.sum ./\nRUN go mod download\nCOPY . .\nRUN go build -ldflags=\"-s -w\" -o /out/app " + main + "\n"
	}
	// https://docs.docker.com/build/cache/optimize/: cache mounts for modules and packages, bind mounts for the sources.
	return w.golangStage(stage) +
		"RUN --mount=type=cache,target=/go/pkg/mod --mount=type=bind,source=go.mod,target=go.mod --mount=type=bind,source=go.sum,target=go.sum go mod download\n" +
		"RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build --mount=type=bind,target=. go build -ldflags=\"-s -w\" -o /out/app " + main + "\n"
}

// golangStage begins a stage as the documentation of the golang image has it, cross-compiling.
func (w *world) golangStage(stage string) string {
	return "FROM --platform=$BUILDPLATFORM " + w.golang + " AS " + stage + "\nARG TARGETOS TARGETARCH\nENV CGO_ENABLED=0 GOSUMDB=off GOPROXY=" + w.proxy + " GOOS=$TARGETOS GOARCH=$TARGETARCH\nWORKDIR /src\n"
}

// larderBuild is the command with its own builder, as where there is no Docker.
func (w *world) larderBuild(in input, dir, _ string, args []string) {
	w.write(dir, "Dockerfile", w.dockerfile(inClient, in))
	w.run(exec.Command(testkit.Larder(w.t, "larder"), append([]string{"build", "--builder", "embedded", "--state", w.state, "--build-arg", "GOPROXY=" + w.proxy,
		"-o", "type=oci,dest=" + filepath.Join(w.t.TempDir(), "image.tar"), dir}, args...)...))
}

// ko builds as ko does in CI without a registry: into a tar, or for several platforms, which a tar can't hold, into an OCI
// layout. The base image comes from the registry on loopback.
func (w *world) ko(in input, dir, _ string, args []string) {
	w.write(dir, ".ko.yaml", "defaultLdflags: [-s, -w]\n")
	output := []string{"--tarball", filepath.Join(w.t.TempDir(), "image.tar")}
	if slices.Contains(args, "--platform") {
		layout, err := os.MkdirTemp("", "ko") // whose name ko takes for a repository's: without a capital letter
		require.NoError(w.t, err)
		defer os.RemoveAll(layout)
		output = []string{"--oci-layout-path", layout}
	}
	cmd := exec.Command(filepath.Join(testkit.Root(w.t), "bin", "tools", "ko"), slices.Concat([]string{"build", "--push=false", "--sbom=none"}, output, args, in.mains)...)
	cmd.Dir = dir
	w.run(cmd, append(w.goEnv(), "KO_DOCKER_REPO="+w.registry+"/ko", "KO_DEFAULTBASEIMAGE="+w.base)...)
}

func (w *world) goBuild(in input, dir, _ string, _ []string) {
	for _, main := range in.mains {
		cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(w.host.out, "app"), main)
		cmd.Dir = dir
		w.run(cmd, w.goEnv()...)
	}
}

func (w *world) goEnv() []string {
	return []string{"GOFLAGS=-modcacherw", "GOPROXY=" + w.proxy, "GOSUMDB=off", "CGO_ENABLED=0", "GOCACHE=" + w.host.build, "GOMODCACHE=" + w.host.modules, "GOWORK=off"}
}

// bake builds each program as an image of its own, by one file and one call of bake.
func (w *world) bake(name string, in input, dir string) {
	target := map[string]any{}
	for i, main := range in.mains {
		stage := fmt.Sprintf("b%d", i)
		target[stage] = map[string]any{
			"context": dir, "dockerfile": "Dockerfile", "args": map[string]string{"MAIN": main, "GOPROXY": w.proxy},
			"output": []string{"type=oci,dest=" + filepath.Join(w.t.TempDir(), stage+".tar")},
		}
	}
	file, err := json.Marshal(map[string]any{"target": target, "group": map[string]any{"default": map[string]any{"targets": slices.Collect(maps.Keys(target))}}})
	require.NoError(w.t, err)
	bakeFile := filepath.Join(w.t.TempDir(), "bake.json")
	require.NoError(w.t, os.WriteFile(bakeFile, file, 0o644))
	one := input{mains: []string{"${MAIN}"}}
	w.write(dir, "Dockerfile", strings.ReplaceAll(w.dockerfile(name, one), "AS b0\n", "AS b0\nARG MAIN\n"))
	if name == larderBake {
		w.run(exec.Command(testkit.Larder(w.t, "larder"), "bake", "--builder", "embedded", "--state", w.state, "-f", bakeFile), "BUILDX_BAKE_ENTITLEMENTS_FS=0")
		return
	}
	w.buildx("bake", "-f", bakeFile)
}

// buildx runs buildx with its remote driver on the daemon that is warm.
func (w *world) buildx(args ...string) {
	w.run(exec.Command(testkit.Tool(w.t, "buildx"), args...), "BUILDX_CONFIG="+w.host.out, "BUILDX_BUILDER=bench", "BUILDX_BAKE_ENTITLEMENTS_FS=0", "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
}

func (w *world) write(dir, name, text string) {
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
}
