package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Ctrl-C in the middle of a fetch stops the build and the embedded builder: no output, no mounts, and the next build
// on the same state works, as do those of the other tests that share it.
func TestInterrupt(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			w := newWorld(t)
			name := strings.ReplaceAll(sig.String(), " ", "-")
			once := []string{"--build-arg", "GOPRIVATE=" + name + ".example", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=" + name} // what is fetched for them is in no cache
			proxy := testkit.ServeProxy(t, w.proxy)
			proxy.Fail(".zip", testkit.Stalled)
			w.env = append(w.env, "GOPROXY="+proxy.URL)
			out := filepath.Join(t.TempDir(), "image.tar")
			cmd := w.command(slices.Concat([]string{"build", "--builder", "embedded", "--state", w.state}, once, []string{"--build-context", "larder-toolchain=" + w.proxy, "-o", "type=oci,dest=" + out, w.context})...)
			var text strings.Builder
			cmd.Stdout, cmd.Stderr = &text, &text
			require.NoError(t, cmd.Start())
			require.Eventually(t, func() bool {
				return strings.Contains(strings.Join(proxy.Requests(), " "), "a.example/greet/@v/v1.2.0.zip")
			}, testkit.Patience, 20*time.Millisecond, "the build asked for no module")
			require.NoError(t, cmd.Process.Signal(sig))
			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Wait(), &exit, "%s", &text)
			require.Equal(t, 130, exit.ExitCode(), "%s", &text)
			require.NoFileExists(t, out)
			requireNoMounts(t, w.state)

			again := *w
			again.env = []string{"GOPROXY=file://" + w.proxy}
			again.image(once...)
			requireNoMounts(t, w.state)
		})
	}
}

func requireNoMounts(t *testing.T, dir string) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), dir)
}

// A disk that fills up while the image is written is one error that names the file, and no file.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	file := filepath.Join(dir, "image.tar")
	out, err := w.build("-o", "type=oci,dest="+file)
	require.Error(t, err)
	require.Contains(t, out, "no space left on device")
	require.Contains(t, out, file)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestNotRootAndNoBuilder(t *testing.T) {
	w := newWorld(t)
	cmd := w.command("build", "--state", "/nonexistent/state", w.context)
	// A copy where anybody may read it.
	dir, err := os.MkdirTemp("", "larder-nobody")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	for _, name := range []string{"larder", "larder-frontend"} {
		data, err := os.ReadFile(testkit.Larder(t, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o755))
	}
	require.NoError(t, os.CopyFS(filepath.Join(dir, "src"), os.DirFS(w.context)))
	cmd.Path, cmd.Args = filepath.Join(dir, "larder"), []string{"larder", "build", filepath.Join(dir, "src")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOPROXY=off"}
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "root")
	require.Contains(t, string(out), "--builder")
}
