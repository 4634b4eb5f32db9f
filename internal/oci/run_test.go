package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// The test's own binary is what the images of the tests hold.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[0] == "app" {
		os.Exit(app(os.Args[1]))
	}
	os.Exit(m.Run())
}

// A view is what a container sees of itself.
type view struct {
	UID, GID   int
	Cwd        string
	Env        []string
	RootErr    string
	TmpErr     string
	NoNewPrivs bool
	CapEff     string
}

func app(do string) int {
	switch do {
	case "fail":
		return 3
	case "serve":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		os.Stdout.WriteString("ready\n")
		<-stop
		os.Stdout.WriteString("stopped\n")
		return 0
	}
	v := view{UID: os.Getuid(), GID: os.Getgid(), Env: os.Environ()}
	v.Cwd, _ = os.Getwd()
	if err := os.WriteFile("/etc/x", nil, 0o600); err != nil {
		v.RootErr = err.Error()
	}
	if err := os.WriteFile("/tmp/x", nil, 0o600); err != nil {
		v.TmpErr = err.Error()
	}
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		switch name {
		case "NoNewPrivs":
			v.NoNewPrivs = value == "1"
		case "CapEff":
			v.CapEff = value
		}
	}
	if json.NewEncoder(os.Stdout).Encode(v) != nil {
		return 1
	}
	return 0
}

func appImage(t *testing.T) *Image {
	testkit.NeedContainers(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	bin, err := os.ReadFile(exe)
	require.NoError(t, err)
	w := newLayout(t)
	w.index(w.image(runtime.GOARCH, ocispec.ImageConfig{
		User: "cook", WorkingDir: "/srv", Env: []string{"PATH=/bin", "A=image", "B=image"}, Entrypoint: []string{"app"}, Cmd: []string{"view"},
	}, layer(t, [2]string{"bin/", ""}, [2]string{"etc/", ""}, [2]string{"srv/", ""}, [2]string{"tmp/", ""},
		[2]string{"etc/passwd", "cook:x:65532:65533::/:/none\n"}, [2]string{"bin/app", string(bin)})))
	image, err := w.open().Image(t.Context(), "linux/"+runtime.GOARCH)
	require.NoError(t, err)
	return image
}

func TestUnpackFollowsWhiteouts(t *testing.T) {
	testkit.NeedRoot(t)
	w := newLayout(t)
	w.index(w.image("amd64", ocispec.ImageConfig{},
		layer(t, [2]string{"d/", ""}, [2]string{"d/a", "1"}, [2]string{"d/b", "1"}, [2]string{"e/", ""}, [2]string{"e/a", "1"}),
		layer(t, [2]string{"d/.wh.a", ""}, [2]string{"d/b", "2"}, [2]string{"e/.wh..wh..opq", ""}, [2]string{"e/c", "2"}),
	))
	image, err := w.open().Image(t.Context(), "linux/amd64")
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, image.Unpack(t.Context(), dir))
	got, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "d/b"), filepath.Join(dir, "e/c")}, got)
	info, err := os.Stat(got[0])
	require.NoError(t, err)
	require.EqualValues(t, 7, info.Sys().(*syscall.Stat_t).Uid)
}

func TestStartIsAsTheImageSays(t *testing.T) {
	var out, errs bytes.Buffer
	c, err := appImage(t).Start(t.Context(), RunOptions{Env: []string{"B=run", "C=run"}, Stdout: &out, Stderr: &errs})
	require.NoError(t, err)
	require.NoError(t, c.Wait(), errs.String())
	var got view
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	require.Equal(t, 65532, got.UID)
	require.Equal(t, 65533, got.GID)
	require.Equal(t, "/srv", got.Cwd)
	require.Subset(t, got.Env, []string{"PATH=/bin", "A=image", "B=run", "C=run"})
	require.NotContains(t, got.Env, "B=image")
	require.Contains(t, got.RootErr, "read-only file system")
	require.Empty(t, got.TmpErr)
	require.True(t, got.NoNewPrivs)
	require.Equal(t, "0000000000000000", got.CapEff)
	require.NoDirExists(t, c.dir)
}

func TestWaitTellsTheStatus(t *testing.T) {
	c, err := appImage(t).Start(t.Context(), RunOptions{Args: []string{"app", "fail"}})
	require.NoError(t, err)
	var exit *exec.ExitError
	require.ErrorAs(t, c.Wait(), &exit)
	require.Equal(t, 3, exit.ExitCode())
}

func TestStop(t *testing.T) {
	r, w := io.Pipe()
	c, err := appImage(t).Start(t.Context(), RunOptions{Args: []string{"app", "serve"}, Stdout: w})
	require.NoError(t, err)
	ready := make([]byte, len("ready\n"))
	_, err = io.ReadFull(r, ready)
	require.NoError(t, err)
	rest := make(chan string)
	go func() {
		data, _ := io.ReadAll(r)
		rest <- string(data)
	}()
	require.NoError(t, c.Stop())
	w.Close()
	require.Equal(t, "stopped\n", <-rest)
	require.NoDirExists(t, c.dir)
}

func TestContextEndsTheContainer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	c, err := appImage(t).Start(ctx, RunOptions{Args: []string{"app", "serve"}, Stdout: w})
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, len("ready\n")))
	require.NoError(t, err)
	cancel()
	require.Error(t, c.Wait())
	require.NoDirExists(t, c.dir)
}

func TestStartRefuses(t *testing.T) {
	image := appImage(t)
	image.Config.Config.User = "nobody-here"
	_, err := image.Start(t.Context(), RunOptions{})
	require.ErrorContains(t, err, `user "nobody-here"`)
	image.Config.Config = ocispec.ImageConfig{}
	_, err = image.Start(t.Context(), RunOptions{})
	require.ErrorContains(t, err, "neither entrypoint nor command")
	t.Setenv("PATH", t.TempDir())
	_, err = image.Start(t.Context(), RunOptions{})
	require.ErrorContains(t, err, "install the package runc")
}
