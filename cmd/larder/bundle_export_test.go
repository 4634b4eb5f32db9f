package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// examples/hello is built by go build alone from an export that was moved, where there is no network: by this machine's go,
// and by that of the archive.
func TestGoBuildFromExport(t *testing.T) {
	hello := filepath.Join(testkit.Root(t), "examples", "hello")
	testkit.NeedModules(t, hello, ".")
	w := newWorld(t)
	w.env = []string{"GOPROXY=file://" + w.proxy + ",file://" + testkit.ModuleCache(t)}
	dir := t.TempDir()
	w.larder("bundle", "create", "--no-images", "-o", filepath.Join(dir, "stock"), hello)
	mounted := filepath.Join(dir, "mnt")
	out := w.larder("bundle", "export", "--at", mounted, "--go-sum", filepath.Join(hello, "go.sum"), filepath.Join(dir, "stock"), filepath.Join(dir, "out"))
	require.Regexp(t, `/out: \d+ modules, \d+ go\.mod files, 1 toolchains, 0 images, 0 tools, 0 files; the checksum database vouches for 0 hashes`, out)
	require.Contains(t, out, "build from it with GOENV="+mounted+"/env\n")
	require.NoError(t, os.Rename(filepath.Join(dir, "out"), mounted))

	gocache, err := exec.Command("go", "env", "GOCACHE").Output()
	require.NoError(t, err)
	offline := testkit.Offline(t)
	build := func(goenv string, command ...string) string {
		binary := filepath.Join(t.TempDir(), "hello")
		cmd := offline.Command(t, command[0], append(command[1:], "build", "-trimpath", "-buildvcs=false", "-o", binary, ".")...)
		cmd.Dir = hello
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + testkit.Home(t), "CGO_ENABLED=0", "GOCACHE=" + strings.TrimSpace(string(gocache)), "GOMODCACHE=" + testkit.TempModuleCache(t), "GOENV=" + goenv}
		said, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", said)
		require.Contains(t, string(said), "go: downloading github.com/go-chi/chi/v5")
		return testkit.Run(t, "go", "version", binary)
	}
	env, goroot := filepath.Join(mounted, "env"), t.TempDir()
	require.Contains(t, build(env, "go"), ": go1.")
	require.Contains(t, build("off", "sh", "-c", `set -a; . "$0"; exec go "$@"`, env), ": go1.", "a shell reads the settings, too")
	testkit.Run(t, "tar", "-C", goroot, "-xf", filepath.Join(mounted, "toolchains", toolchain+".linux-"+runtime.GOARCH+".tar"))
	require.Contains(t, build(env, filepath.Join(goroot, "go", "bin", "go")), ": "+toolchain+"\n")
}

// A bundle is exported from a registry, too.
func TestExportFromRegistry(t *testing.T) {
	w := newWorld(t)
	dir, ref := t.TempDir(), testkit.Registry(t)+"/stock:1"
	w.larder("bundle", "create", "--no-images", "-o", filepath.Join(dir, "stock"), w.context)
	w.larder("bundle", "push", filepath.Join(dir, "stock"), ref)
	for _, from := range []string{ref, filepath.Join(dir, "stock")} {
		out := filepath.Join(t.TempDir(), "out")
		require.Contains(t, w.larder("bundle", "export", from, out), "2 modules, 0 go.mod files, 1 toolchains")
		require.FileExists(t, filepath.Join(out, "proxy/a.example/greet/@v/v1.2.0.zip"))
	}
	require.Contains(t, w.fails("bundle", "export", ref+"0", filepath.Join(dir, "out")), ref+"0")
	require.NoDirExists(t, filepath.Join(dir, "out"))
}
