package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// local builds the world into a folder and returns that.
func (w *world) local(args ...string) string {
	dir := filepath.Join(w.t.TempDir(), "root")
	out, err := w.build(append([]string{"-o", dir}, args...)...)
	require.NoError(w.t, err, "%s", out)
	return dir
}

func runBinary(t *testing.T, root string) string {
	return testkit.Run(t, filepath.Join(root, "usr/local/bin/app"))
}

func TestImageConfig(t *testing.T) {
	w := newWorld(t)
	index, read := readIndex(t, w.image("--label", "x=y"))
	var manifest ocispecs.Manifest
	read(index.Manifests[0], &manifest)
	require.Len(t, manifest.Layers, 2)
	var img ocispecs.Image
	read(manifest.Config, &img)
	require.Equal(t, "65532:65532", img.Config.User)
	require.Equal(t, "/home/nonroot", img.Config.WorkingDir)
	require.Equal(t, []string{"/usr/local/bin/app"}, img.Config.Entrypoint)
	require.Contains(t, img.Config.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	require.Equal(t, map[string]string{"x": "y", "org.opencontainers.image.title": "app"}, img.Config.Labels)
	require.Equal(t, int64(0), img.Created.Unix())
}

func TestSourceLabelsComeFromGit(t *testing.T) {
	w := newWorld(t)
	git := func(args ...string) string {
		return strings.TrimSpace(testkit.Run(t, "git", append([]string{"-C", w.context, "-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...))
	}
	git("init", "-q")
	git("add", ".")
	git("commit", "-qm", "first")
	git("tag", "v1.4.0")
	git("remote", "add", "origin", "https://user:token@git.example/app.git")
	index, read := readIndex(t, w.image())
	var manifest ocispecs.Manifest
	read(index.Manifests[0], &manifest)
	var img ocispecs.Image
	read(manifest.Config, &img)
	require.Equal(t, map[string]string{
		"org.opencontainers.image.title":    "app",
		"org.opencontainers.image.source":   "https://git.example/app.git",
		"org.opencontainers.image.revision": git("rev-parse", "HEAD"),
		"org.opencontainers.image.version":  "v1.4.0",
	}, img.Config.Labels)
}

// A second build of what is there already asks no proxy, and neither does a build of edited sources.
func TestWarmBuildNeedsNoNetwork(t *testing.T) {
	w := newWorld(t)
	proxy := testkit.ServeProxy(t, w.proxy)
	w.env = []string{"GOPROXY=" + proxy.URL}
	w.image()
	asked := len(proxy.Requests())
	require.Positive(t, asked)
	w.image()
	w.replace("main.go", "fmt.Println(", "fmt.Print(")
	w.ns = testkit.Offline(t)
	w.image()
	require.Len(t, proxy.Requests(), asked)
}

func TestVendoredModuleNeedsNoProxy(t *testing.T) {
	w := newWorld(t)
	cmd := w.ns.Command(t, "go", "mod", "vendor")
	cmd.Dir = w.context
	cmd.Env = append(os.Environ(), "GOPROXY=file://"+w.proxy, "GOSUMDB=off", "GOFLAGS=-mod=mod", "GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	w.env = []string{"GOPROXY=off"}
	require.Equal(t, "hello, larder\n", runBinary(t, w.local("--build-context", "larder-toolchain="+w.proxy)))
}

// Several commands: --target picks one, and the file may be missing altogether.
func TestTargetPicksACommand(t *testing.T) {
	w := newWorld(t)
	w.write("Dockerfile", "")
	w.write("cmd/app/main.go", mainGo)
	w.write("cmd/other/main.go", "package main\n\nfunc main() { println() }\n")
	w.write("main.go", "")
	require.Equal(t, "hello, larder\n", runBinary(t, w.local("--target", "app")))
	out, err := w.build("--call", "targets")
	require.NoError(t, err, out)
	require.Contains(t, out, "other")
}

// FROM go and FROM static in a Dockerfile of the user's own.
func TestVirtualBases(t *testing.T) {
	w := newWorld(t)
	w.write("Dockerfile", `# syntax=ghcr.io/larder-build/larder:1
FROM go:1.26 AS build
WORKDIR /src
COPY hello.go .
RUN ["go", "build", "-o", "/out/app", "hello.go"]

FROM static
COPY --from=build /out/app /usr/local/bin/app
`)
	w.write("hello.go", "package main\n\nimport \"runtime\"\n\nfunc main() { println(runtime.Version(), runtime.GOARCH) }\n")
	require.Equal(t, toolchain+" amd64\n", runBinary(t, w.local()))
}
