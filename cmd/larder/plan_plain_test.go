package main

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// plainCases are trees that are built by Larder, and by BuildKit's own frontend from what is written of their Dockerfiles.
var plainCases = map[string]struct {
	dockerfile string
	args       []string // of larder
	want       string   // what /usr/local/bin/app prints; "" for no such program
}{
	"GO lines": {dockerfile: `# syntax=ghcr.io/larder-build/larder:1
# check=skip=all
ARG VERSION="1 2"
FROM go:1.26 AS build
WORKDIR /out
ENV GOFLAGS=-tags=extra
GO vet ./...
GO --stdout=/out/tests/log test -count=1 -coverprofile=/out/cover/c.out ./...
ARG VERSION
GO build -ldflags="-s -w -X 'main.version=${VERSION}'" \
  -o /out/bin/ .
GO --module=tools build -trimpath -o /out/bin/tool .
GO --stdout=/out/list list -deps ./...

FROM static
LABEL a=b
COPY --from=build /out/bin/app /usr/local/bin/app
COPY --from=build /out/bin/tool /out/list /opt/
COPY --from=build /out/cover /opt/cover
ENTRYPOINT ["app"]
`, want: "extra 1 2 hello, larder\n"},
	"an image with Go": {dockerfile: `# syntax=ghcr.io/larder-build/larder:1
FROM golang:1.26.10 AS build
RUN mkdir /out
GO --cgo=false build -o /out/app .
FROM golang:1.26.10 AS other
WORKDIR /work
COPY . .
RUN --mount=type=gomod --mount=type=gocache,target=/root/.cache/go-build CGO_ENABLED=0 go build -o /out/other .
FROM scratch
COPY --from=build /out/app /usr/local/bin/app
COPY --from=other /out/other /other
`, want: " dev hello, larder\n"},
	"generated code": {dockerfile: `# syntax=ghcr.io/larder-build/larder:1
FROM golang:1.26.10 AS gen
WORKDIR /work
COPY . .
RUN echo 'package main; func init() { version = "made" }' >made.go
FROM go AS build
GO --from=gen build -o /out/app .
FROM static
COPY --from=build /out/app /usr/local/bin/app
`, want: " made hello, larder\n"},
	"no instructions": {dockerfile: "# syntax=ghcr.io/larder-build/larder:1\n", args: []string{"--build-arg", "GOFLAGS=-buildvcs=false"}, want: " dev hello, larder\n"},
}

// The plain Dockerfile builds to the same files, of the same owners and modes, and to an image of the same settings.
func TestPlainDockerfile(t *testing.T) {
	addr, registry := testkit.Buildkitd(t, nil), testkit.Registry(t)
	w := newWorld(t)
	proxy := testkit.ServeProxy(t, w.proxy, testkit.ModuleCache(t))
	testkit.PushFrontend(t, addr, registry+"/larder:1")
	testkit.PushGolang(t, addr, registry+"/larder:1", proxy.URL, registry+"/golang:1")
	golang := "docker-image://" + registry + "/golang:1"
	w.env = []string{"GOPROXY=" + proxy.URL, "GOSUMDB=off"}
	w.write("main.go", "package main\n\nimport (\n\t\"fmt\"\n\n\t\"a.example/greet\"\n\t\"b.example/Name/v2\"\n)\n\nvar version, extra = \"dev\", \"\"\n\nfunc main() { fmt.Println(extra, version, greet.Hello(name.Name)) }\n")
	w.write("extra.go", "//go:build extra\n\npackage main\n\nfunc init() { extra = \"extra\" }\n")
	w.write("main_test.go", "package main\n\nimport \"testing\"\n\nfunc Test(t *testing.T) { main() }\n")
	require.NoError(t, os.Mkdir(filepath.Join(w.context, "tools"), 0o755))
	w.write("tools/go.mod", "module example.com/tools\n\ngo 1.26\n")
	w.write("tools/main.go", "package main\n\nfunc main() {}\n")
	for name, tt := range plainCases {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.write("Dockerfile", tt.dockerfile)
			dir := t.TempDir()
			plain := filepath.Join(dir, "plain")
			args := append([]string{"--build-context", "golang:1.26.10=" + golang}, tt.args...)
			require.Empty(t, w.larder(append(append([]string{"plan", "--dockerfile-out", plain}, args...), w.context)...))
			build := append([]string{"build", "--builder", addr, "-o", "type=oci,dest=" + filepath.Join(dir, "larder.tar")}, args...)
			w.larder(append(build, w.context)...)
			out, err := exec.CommandContext(t.Context(), testkit.Tool(t, "buildctl"), "--addr", addr, "build", "--frontend", "dockerfile.v0",
				"--local", "context="+w.context, "--local", "dockerfile="+dir, "--opt", "filename=plain", "--opt", "context:golang:1.26.10="+golang,
				"--opt", "build-arg:GOPROXY="+proxy.URL, "--opt", "build-arg:GOSUMDB=off", "--output", "type=oci,dest="+filepath.Join(dir, "plain.tar")).CombinedOutput()
			require.NoError(t, err, "%s", out)
			byLarder, wantFiles := unpacked(t, filepath.Join(dir, "larder.tar"))
			byPlain, gotFiles := unpacked(t, filepath.Join(dir, "plain.tar"))
			require.Equal(t, wantFiles, gotFiles)
			require.Equal(t, byLarder, byPlain)
			require.Contains(t, wantFiles, "usr/local/bin/app")
			_, root := rootOf(t, filepath.Join(dir, "plain.tar"))
			require.Equal(t, tt.want, testkit.Run(t, filepath.Join(root, "usr/local/bin/app")))
		})
	}
}

// rootOf unpacks an image.
func rootOf(t *testing.T, file string) (ocispec.ImageConfig, string) {
	l, err := oci.Open(file)
	require.NoError(t, err)
	defer l.Close()
	images, err := l.Images(t.Context())
	require.NoError(t, err)
	require.Len(t, images, 1)
	root := t.TempDir()
	require.NoError(t, images[0].Unpack(t.Context(), root))
	return images[0].Config.Config, root
}

// unpacked returns the settings of an image, and for each of its files what it is.
func unpacked(t *testing.T, file string) (ocispec.ImageConfig, map[string]string) {
	config, root := rootOf(t, file)
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		what := fmt.Sprintf("%s %d:%d", info.Mode(), info.Sys().(*syscall.Stat_t).Uid, info.Sys().(*syscall.Stat_t).Gid)
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			what += fmt.Sprintf(" %x", sha256.Sum256(data))
		}
		rel, err := filepath.Rel(root, name)
		require.NoError(t, err)
		if rel != "." {
			files[rel] = what
		}
		return nil
	}))
	return config, files
}
