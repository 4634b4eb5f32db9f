package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// everything is the value of the environment variable LARDER_TEST by which "make test" and CI ask for all tests: then a test
// whose needs aren't met fails. Without it, as in a plain "go test ./...", the test is skipped.
const everything = "all"

// Lacks ends a test that needs something which this machine doesn't have, and says what the test needs and how to get it.
func Lacks(t testing.TB, need, remedy string) {
	t.Helper()
	text := "needs " + need + ": " + remedy
	if os.Getenv("LARDER_TEST") == everything {
		t.Fatal(text)
	}
	t.Skip(text)
}

// NeedRoot is for tests that start containers, mount, give files to other users or make network namespaces.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacks(t, "root", "make test asks sudo for it")
	}
}

// NeedContainers is for tests that start containers without a BuildKit daemon of their own.
func NeedContainers(t testing.TB) {
	t.Helper()
	NeedRoot(t)
	Installed(t, "runc")
}

// Installed returns the path of a program of this machine, which "make setup" installs.
func Installed(t testing.TB, name string) string {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		Lacks(t, name, "make setup")
	}
	return file
}

// cachedFile returns the path of a file in the module cache, which is named as a module proxy names it.
func cachedFile(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(ModuleCache(t), filepath.FromSlash(name))
	if !isFile(file) {
		Lacks(t, name+" in the module cache", "make setup")
	}
	return file
}

// NeedModules is for tests that compile packages of a module by the modules that are in the cache.
func NeedModules(t testing.TB, dir, pattern string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", pattern)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-mod=readonly", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		require.Contains(t, string(out), "module lookup disabled by GOPROXY=off")
		Lacks(t, "the modules of "+filepath.Base(dir)+" in the module cache", "make setup")
	}
}

// Built returns the path of a program that make compiled before, as it is: it may be of other sources.
func Built(t testing.TB, name, remedy string) string {
	t.Helper()
	file := filepath.Join(Root(t), filepath.FromSlash(name))
	if _, err := os.Stat(file); err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
		Lacks(t, name, remedy)
	}
	return file
}
