// Package testkit starts real servers for tests: BuildKit daemons, registries, module proxies over a folder, and
// network namespaces with nothing in them. Each belongs to one test, and ends with it. If this machine lacks something
// that a test needs, the test ends and says how to get it: "make test" fails then, and a plain "go test" skips the
// test.
package testkit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Root returns the root folder of Larder's repository.
func Root(t testing.TB) string {
	dir, err := os.Getwd()
	require.NoError(t, err)
	for {
		if _, err := os.Stat(filepath.Join(dir, "docker-bake.hcl")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		require.NotEqual(t, dir, parent, "this test is not in Larder's repository")
		dir = parent
	}
}

// builds has one function for each program, so that all tests of a process build it once.
var builds sync.Map

// Tool returns the path of a program of the tools module: buildkitd, buildctl, buildx, registry or crane. "make tools"
// must have built it. It is built again if it is out of date.
func Tool(t testing.TB, name string) string {
	t.Helper()
	bin := Built(t, "bin/tools/"+name, "make tools")
	build(t, bin, filepath.Join(Root(t), "tools"), name)
	return bin
}

// Larder returns the path of a command of this repository: larder or larder-frontend. "make larder" must have built it.
// It is built again if the sources have changed.
func Larder(t testing.TB, name string) string {
	t.Helper()
	bin := Built(t, "bin/"+name, "make larder")
	build(t, bin, Root(t), "./cmd/"+name)
	return bin
}

func build(t testing.TB, bin, dir, pkg string) {
	once, _ := builds.LoadOrStore(bin, sync.OnceValue(func() error {
		if !strings.HasPrefix(pkg, "./") {
			out, err := goCommand(dir, "list", "tool")
			if err != nil {
				return err
			}
			for p := range strings.Lines(out) {
				if filepath.Base(strings.TrimSpace(p)) == pkg {
					pkg = strings.TrimSpace(p)
				}
			}
		}
		_, err := goCommand(dir, "build", "-ldflags=-s -w", "-o", bin, pkg)
		return err
	}))
	require.NoError(t, once.(func() error)(), "building %s", bin)
}

// goCommand runs the go command with the Makefile's settings, so that both share one build cache.
func goCommand(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOWORK=off")
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return "", &commandError{strings.Join(cmd.Args, " "), string(exit.Stderr)}
	}
	return string(out), err
}

type commandError struct{ command, output string }

func (e *commandError) Error() string { return e.command + ": " + e.output }

// Run runs a command, and returns its standard output and error as one text. If the command fails, the test fails.
func Run(t testing.TB, name string, args ...string) string {
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	require.NoError(t, err, "%s %s:\n%s", name, strings.Join(args, " "), out)
	return string(out)
}

// ModuleCache returns the download folder of the go command's module cache, which is laid out as a module proxy.
func ModuleCache(t testing.TB) string {
	out, err := goCommand(Root(t), "env", "GOMODCACHE")
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(out), "cache", "download")
}

// TempModuleCache returns a new folder for a module cache. The go command makes its folders read-only. TempModuleCache
// makes them writable before the test removes them.
func TempModuleCache(t testing.TB) string {
	dir := t.TempDir()
	t.Cleanup(func() {
		require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(name, 0o755)
			}
			return err
		}))
	})
	return dir
}

// Home returns a new folder for the home of a go command, with telemetry turned off.
func Home(t testing.TB) string {
	dir := t.TempDir()
	NoTelemetry(t, dir)
	return dir
}

// NoTelemetry turns go's telemetry off for the user with this home. With telemetry, the go command starts a process
// that writes into the home after the command has ended, while the test removes the folder.
func NoTelemetry(t testing.TB, home string) {
	// GOTELEMETRY can't be set in the environment: this is where "go telemetry off" puts it.
	mode := filepath.Join(home, ".config/go/telemetry/mode")
	require.NoError(t, os.MkdirAll(filepath.Dir(mode), 0o755))
	require.NoError(t, os.WriteFile(mode, []byte("off\n"), 0o644))
}

// stop ends a process that a test started, and waits for it. It sends SIGTERM first, and kills it later if that doesn't
// help. It doesn't send the signal of Ctrl-C, because processes that a script started in the background ignore that
// one.
func stop(cmd *exec.Cmd) {
	done := make(chan struct{})
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	go func() { _ = cmd.Wait(); close(done) }()
	_ = cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-done:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-done
	}
}
