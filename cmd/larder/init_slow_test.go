//go:build slow

package main

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

const koTree = `
-- .ko.yaml --
defaultEnv: [GREETING=hello world]
builds:
- id: app
  main: ./cmd/app
  ldflags:
  - -s -w -X "main.version={{.Env.VERSION}} for ko"
  linux_capabilities: net_bind_service=p
-- go.mod --
module example.com/app

go 1.26
-- cmd/app/main.go --
package main

import "os"

var version = "none"

func main() { os.Stdout.WriteString(version + "\n") }
-- cmd/app/main_test.go --
package main

import "testing"

func TestVersion(t *testing.T) {
	if version != "none" {
		t.Fatal(version)
	}
}
-- cmd/app/kodata/index.html --
<!doctype html>
-- cmd/other/main.go --
package main

func main() {}
`

// TestSlowInitBuilds builds what 'larder init' writes for a tree that was ko's: flags, files and capabilities are those that
// ko would have given.
func TestSlowInitBuilds(t *testing.T) {
	w := newWorld(t)
	w.context = testkit.Tree(t, strings.TrimPrefix(koTree, "\n"))
	testkit.Run(t, testkit.Larder(t, "larder"), "init", w.context)
	out, err := w.build("--target", "test")
	require.NoError(t, err, "%s", out)

	image := filepath.Join(t.TempDir(), "app")
	out, err = w.build("--target", "app", "--build-arg", "VERSION=v1.2.3", "-o", "type=local,dest="+image)
	require.NoError(t, err, "%s", out)
	require.Equal(t, "v1.2.3 for ko\n", testkit.Run(t, filepath.Join(image, "usr/local/bin/app")))
	require.FileExists(t, filepath.Join(image, "var/run/ko/index.html"))

	layers := filepath.Join(t.TempDir(), "app.tar")
	out, err = w.build("--target", "app", "--build-arg", "VERSION=v1.2.3", "--annotation", "a.example/manifest=b",
		"--annotation", "manifest-descriptor:a.example/descriptor=c", "-o", "type=oci,dest="+layers)
	require.NoError(t, err, "%s", out)
	index, read := readIndex(t, layers)
	require.Equal(t, "c", index.Manifests[0].Annotations["a.example/descriptor"])
	var manifest ocispecs.Manifest
	read(index.Manifests[0], &manifest)
	require.Equal(t, "b", manifest.Annotations["a.example/manifest"])
	// Version 2 of the kernel's attribute, capability 10, permitted and not effective.
	require.Equal(t, "\x00\x00\x00\x02\x00\x04\x00\x00"+strings.Repeat("\x00", 12), capabilities(t, layers, "usr/local/bin/app"))
}

// capabilities returns the file capabilities of a file in an image's tar file.
func capabilities(t *testing.T, file, name string) string {
	index, read := readIndex(t, file)
	var manifest ocispecs.Manifest
	read(index.Manifests[0], &manifest)
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	for blobs := tar.NewReader(f); ; {
		h, err := blobs.Next()
		require.NoError(t, err, "%s is in no layer", name)
		if !slices.ContainsFunc(manifest.Layers, func(d ocispecs.Descriptor) bool { return strings.HasSuffix(h.Name, d.Digest.Encoded()) }) {
			continue
		}
		layer, err := gzip.NewReader(blobs)
		require.NoError(t, err)
		for files := tar.NewReader(layer); ; {
			h, err := files.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			if h.Name == name {
				return h.PAXRecords["SCHILY.xattr.security.capability"]
			}
		}
	}
}
