package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// toolchain is what "go 1.26" in a test's go.mod chooses.
const toolchain = "go1.26.10"

// mainState is the state folder of the embedded builder that most tests share, so that the toolchain is unpacked once.
var mainState = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "larder-state") })

func sharedState(t *testing.T) string {
	dir, err := mainState()
	require.NoError(t, err)
	return dir
}

// A world is a module with dependencies, and a folder that holds them and a toolchain as a module proxy would.
type world struct {
	t       *testing.T
	ns      *testkit.Netns // nil: the machine's own network
	state   string
	proxy   string   // the folder
	context string   // the module
	env     []string // beside GOPROXY
}

const mainGo = `package main

import (
	"fmt"

	"a.example/greet"
	"b.example/Name/v2"
)

func main() { fmt.Println(greet.Hello(name.Name)) }
`

func newWorld(t *testing.T) *world {
	testkit.NeedContainers(t)
	testkit.Larder(t, "larder-frontend") // here, since a test can't be skipped for what its subtest lacks
	w := &world{t: t, state: sharedState(t), proxy: t.TempDir()}
	testkit.Toolchain(t, w.proxy, toolchain)
	sums := testkit.Module{Path: "a.example/greet", Version: "v1.2.0", Files: map[string]string{
		"greet.go": "package greet\n\nfunc Hello(name string) string { return \"hello, \" + name }\n",
	}}.Write(t, w.proxy)
	sums += testkit.Module{Path: "b.example/Name/v2", Version: "v2.0.1", Files: map[string]string{
		"name.go": "package name\n\nconst Name = \"larder\"\n",
	}}.Write(t, w.proxy)
	w.context = testkit.Tree(t, "-- Dockerfile --\n# syntax=ghcr.io/larder-build/larder:1\n"+
		"-- go.mod --\nmodule example.com/app\n\ngo 1.26\n\nrequire (\n\ta.example/greet v1.2.0\n\tb.example/Name/v2 v2.0.1\n)\n"+
		"-- go.sum --\n"+sums+"-- main.go --\n"+mainGo)
	w.env = []string{"GOPROXY=file://" + w.proxy}
	return w
}

// command returns a larder command in the world, with plain progress and none of this machine's Go settings.
func (w *world) command(args ...string) *exec.Cmd {
	testkit.Larder(w.t, "larder-frontend")
	cmd := w.ns.Command(w.t, testkit.Larder(w.t, "larder"), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + testkit.Home(w.t), "BUILDKIT_PROGRESS=plain"}, w.env...)
	return cmd
}

func (w *world) build(args ...string) (string, error) {
	out, err := w.command(append([]string{"build", "--builder", "embedded", "--state", w.state}, append(args, w.context)...)...).CombinedOutput()
	return string(out), err
}

// image builds the world into a tar file and returns that.
func (w *world) image(args ...string) string {
	file := filepath.Join(w.t.TempDir(), "image.tar")
	out, err := w.build(append([]string{"-o", "type=oci,dest=" + file}, args...)...)
	require.NoError(w.t, err, "%s", out)
	return file
}

// write replaces a file of the context, or removes it if the text is empty.
func (w *world) write(name, text string) {
	file := filepath.Join(w.context, name)
	if text == "" {
		require.NoError(w.t, os.Remove(file))
		return
	}
	require.NoError(w.t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(w.t, os.WriteFile(file, []byte(text), 0o644))
}

func (w *world) replace(name, old, new string) {
	data, err := os.ReadFile(filepath.Join(w.context, name))
	require.NoError(w.t, err)
	require.Contains(w.t, string(data), old)
	w.write(name, strings.ReplaceAll(string(data), old, new))
}

// readIndex returns the index of an OCI tar file and a function that reads its blobs.
func readIndex(t *testing.T, file string) (ocispecs.Index, func(ocispecs.Descriptor, any)) {
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	blobs := map[string][]byte{}
	for tr := tar.NewReader(f); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		blobs[h.Name], err = io.ReadAll(tr)
		require.NoError(t, err)
	}
	var index ocispecs.Index
	require.NoError(t, json.Unmarshal(blobs["index.json"], &index))
	return index, func(d ocispecs.Descriptor, v any) {
		require.NoError(t, json.Unmarshal(blobs["blobs/sha256/"+d.Digest.Encoded()], v))
	}
}

// digestOf returns the digest of the image, or the image index, that a tar file holds.
func digestOf(t *testing.T, file string) string {
	index, _ := readIndex(t, file)
	require.Len(t, index.Manifests, 1)
	return index.Manifests[0].Digest.String()
}

// The command's own builder compresses layers at gzip's fastest level, which the header tells (RFC 1952, XFL).
func TestCompression(t *testing.T) {
	w := newWorld(t)
	f, err := os.Open(w.image())
	require.NoError(t, err)
	defer f.Close()
	layers := 0
	for archive := tar.NewReader(f); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		start, err := io.ReadAll(io.LimitReader(archive, 10))
		require.NoError(t, err)
		if len(start) == 10 && start[0] == 0x1f && start[1] == 0x8b {
			layers++
			require.Equal(t, byte(4), start[8], "%s", head.Name)
		}
	}
	require.Positive(t, layers)
}
