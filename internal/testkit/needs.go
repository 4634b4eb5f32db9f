package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// everything is the value of the environment variable LARDER_TEST with which "make test" and CI ask for all tests. Then
// a test that lacks something fails. Otherwise, as in a plain "go test ./...", it is skipped.
const everything = "all"

// Lacks ends a test because this machine lacks something, and says what the test needs and how to get it.
func Lacks(t testing.TB, need, remedy string) {
	t.Helper()
	text := "needs " + need + ": " + remedy
	if os.Getenv("LARDER_TEST") == everything {
		t.Fatal(text)
	}
	t.Skip(text)
}

// NeedRoot ends a test that isn't run by root. It is for tests that start containers, mount, give files to other users
// or make network namespaces.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacks(t, "root", "make test asks sudo for it")
	}
}

// NeedContainers ends a test if this machine can't run containers. It is for tests that start containers without a
// BuildKit daemon of their own.
func NeedContainers(t testing.TB) {
	t.Helper()
	NeedRoot(t)
	Installed(t, "runc")
}

// Installed returns the path of a program that "make setup" installs. It ends the test if the program isn't there.
func Installed(t testing.TB, name string) string {
	t.Helper()
	file, err := exec.LookPath(name)
	if err != nil {
		Lacks(t, name, "make setup")
	}
	return file
}

// cachedFile returns the path of a file in the module cache. The name is as in a module proxy. It ends the test if the
// file isn't there.
func cachedFile(t testing.TB, name string) string {
	t.Helper()
	file := filepath.Join(ModuleCache(t), filepath.FromSlash(name))
	if !isFile(file) {
		Lacks(t, name+" in the module cache", "make setup")
	}
	return file
}

// NeedModules ends a test if the module cache lacks modules that are needed to compile packages of a module.
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

// Built returns the path of a program that make has compiled. The program may be older than the sources. It ends the
// test if there is none.
func Built(t testing.TB, name, remedy string) string {
	t.Helper()
	file := filepath.Join(Root(t), filepath.FromSlash(name))
	if _, err := os.Stat(file); err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
		Lacks(t, name, remedy)
	}
	return file
}
