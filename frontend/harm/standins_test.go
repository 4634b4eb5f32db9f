package harm

import (
	"archive/tar"
	"archive/zip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"
)

const toolchain = "go1.26.10"

// The stand-ins: stages of testdata/images/Dockerfile by the names that Dockerfiles have for them.
var standIns = map[string][]string{
	"alpine":        {"library/alpine:3.22", "library/alpine:latest"},
	"debian":        {"library/debian:trixie-slim", "library/debian:bookworm-slim"},
	"busybox":       {"library/busybox:latest", "library/busybox:1.37"},
	"golang-alpine": {"library/golang:1.26-alpine", "library/golang:alpine"},
	"golang":        {"library/golang:1.26", "library/golang:1.26-bookworm", "library/golang:latest"},
	"onbuild":       {"library/golang:onbuild"},
	"node":          {"library/node:22-alpine"},
	"xx":            {"tonistiigi/xx:1.6.1"},
	"distroless":    {"distroless/static-debian12:nonroot", "distroless/static:nonroot"},
	"tool":          {"golangci/golangci-lint:v2"},
}

// pushStandIns makes all stand-ins and pushes them to the registry.
func (s *surroundings) pushStandIns(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/images")))
	require.NoError(t, os.CopyFS(filepath.Join(dir, "packages"), os.DirFS("testdata/packages")))
	data, err := os.ReadFile(testkit.Installed(t, "busybox"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "busybox"), data, 0o755))
	packToolchain(t, filepath.Join(dir, "go.tar"))
	for stage, names := range standIns {
		refs := slices.Clone(names)
		for i, name := range refs {
			refs[i] = registry + "/" + name
		}
		_, err := s.bk.Solve(t.Context(), nil, client.SolveOpt{
			Frontend:      "dockerfile.v0",
			FrontendAttrs: map[string]string{"target": stage},
			LocalMounts:   map[string]fsutil.FS{"context": folder(t, dir), "dockerfile": folder(t, dir)},
			Exports: []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{
				"name": strings.Join(refs, ","), "push": "true", "compression": "uncompressed",
			}}},
		}, nil)
		require.NoError(t, err, "%s", stage)
	}
}

// unneeded are files of a toolchain that compile nothing of the corpus.
var unneeded = regexp.MustCompile(`^(api|doc|misc|test)/|^src/cmd/|/testdata/|_test\.go$|^bin/gofmt$|^pkg/tool/\w+/(cover|fix|preprofile)$`)

// packToolchain makes a tar of a Go toolchain.
func packToolchain(t *testing.T, name string) {
	dir := t.TempDir()
	testkit.Toolchain(t, dir, toolchain)
	found, err := filepath.Glob(filepath.Join(dir, "golang.org/toolchain/@v/*.zip"))
	require.NoError(t, err)
	require.Len(t, found, 1)
	archive, err := zip.OpenReader(found[0])
	require.NoError(t, err)
	defer archive.Close()
	file, err := os.Create(name)
	require.NoError(t, err)
	defer file.Close()
	out := tar.NewWriter(file)
	for _, f := range archive.File {
		// golang.org/toolchain@VERSION/NAME
		_, name, _ := strings.Cut(strings.TrimPrefix(f.Name, "golang.org/toolchain@"), "/")
		if unneeded.MatchString(name) {
			continue
		}
		mode := int64(0o644)
		if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") {
			mode = 0o755
		}
		require.NoError(t, out.WriteHeader(&tar.Header{Name: "go/" + name, Mode: mode, Size: int64(f.UncompressedSize64)}))
		r, err := f.Open()
		require.NoError(t, err)
		_, err = io.Copy(out, r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	require.NoError(t, out.Close())
}

func folder(t *testing.T, dir string) fsutil.FS {
	fs, err := fsutil.NewFS(dir)
	require.NoError(t, err)
	return fs
}
