package cacheprog

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// serverEnv has a Server in JSON; with it, the test binary is the program that GOCACHEPROG names.
const serverEnv = "CACHEPROG_TEST_SERVER"

func TestMain(m *testing.M) {
	text := os.Getenv(serverEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	s := new(Server)
	err := json.Unmarshal([]byte(text), s)
	if err == nil {
		err = s.Serve(context.Background(), os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// goModule makes a small module and returns its folder.
func goModule(t *testing.T, main string) string {
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module example.test/tiny\n\ngo 1.25\n", "main.go": main} {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		// The go command doesn't index a package with files of the last two seconds.
		require.NoError(t, os.Chtimes(path, epoch, epoch))
	}
	return dir
}

// goBuild builds the module with a cache and returns the binary.
func goBuild(module, gocache string, s *Server) (binary []byte, err error) {
	tmp, err := os.MkdirTemp("", "larder-cacheprog-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), "GOCACHE="+gocache, "GOCACHEPROG=", "GOFLAGS=-trimpath", "CGO_ENABLED=0", "GOWORK=off",
		"GOTOOLCHAIN=local", "GOPROXY=off", "TMPDIR="+tmp)
	if s != nil {
		text, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		env = append(env, "GOCACHEPROG="+self, serverEnv+"="+string(text))
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(tmp, "tiny"), ".")
	cmd.Dir, cmd.Env = module, env
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		return nil, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return os.ReadFile(filepath.Join(tmp, "tiny"))
}

func TestGoBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("builds parts of the standard library")
	}
	module := goModule(t, `package main

import "strings"

func main() { println(strings.ToUpper("tiny")) }
`)
	build := func(s *Server) []byte {
		t.Helper()
		binary, err := goBuild(module, string(s.Upper), s)
		require.NoError(t, err)
		return binary
	}
	cold := &Server{Upper: Dir(t.TempDir()), Keep: Dir(t.TempDir())}
	binary := build(cold)
	require.Greater(t, len(names(t, cold.Keep, "-d")), 40)
	require.ElementsMatch(t, names(t, cold.Upper, "-d"), names(t, cold.Keep, "-d"))
	require.ElementsMatch(t, names(t, cold.Upper, "-a"), names(t, cold.Keep, "-a"))

	again := &Server{Upper: Dir(t.TempDir()), Keep: Dir(t.TempDir())}
	require.Equal(t, binary, build(again))
	require.Empty(t, cmp.Diff(tree(t, cold.Keep, true), tree(t, again.Keep, true)), "equal builds keep the same")

	kept := tree(t, cold.Keep, true)
	var warm []map[string]string
	for range 2 {
		s := &Server{Lower: []Dir{cold.Keep}, Upper: Dir(t.TempDir()), Keep: Dir(t.TempDir())}
		require.Equal(t, binary, build(s))
		require.LessOrEqual(t, len(names(t, s.Upper, "-d")), 1, "only what the linker says isn't got before it is put")
		warm = append(warm, tree(t, s.Keep, true))
	}
	require.Empty(t, cmp.Diff(warm[0], warm[1]))
	require.Empty(t, cmp.Diff(kept, tree(t, cold.Keep, true)), "the lower folder isn't changed")

	extra := filepath.Join(module, "extra.go")
	require.NoError(t, os.WriteFile(extra, []byte("package main\n\nvar extra = 1\n"), 0o600))
	changed := &Server{Lower: []Dir{cold.Keep}, Upper: Dir(t.TempDir())}
	build(changed)
	require.NotEmpty(t, names(t, changed.Upper, "-d"))
	require.LessOrEqual(t, len(names(t, changed.Upper, "-d")), 4, "only what is of the main package")
	require.NoError(t, os.Remove(extra))

	direct, err := goBuild(module, string(cold.Upper), nil)
	require.NoError(t, err)
	require.Equal(t, binary, direct, "a go command may use the upper folder by itself")
	require.ElementsMatch(t, names(t, cold.Upper, "-d"), names(t, cold.Keep, "-d"), "and finds all in it")
}

func TestGoBuildsInParallel(t *testing.T) {
	if testing.Short() {
		t.Skip("builds parts of the standard library")
	}
	module := goModule(t, "package main\n\nfunc main() { println(\"tiny\") }\n")
	upper := Dir(t.TempDir())
	keeps := []Dir{Dir(t.TempDir()), Dir(t.TempDir())}
	var binaries [2][]byte
	var errs [2]error
	var group sync.WaitGroup
	for i := range 2 {
		group.Go(func() {
			binaries[i], errs[i] = goBuild(module, string(upper), &Server{Upper: upper, Keep: keeps[i]})
		})
	}
	group.Wait()
	require.NoError(t, errs[0])
	require.NoError(t, errs[1])
	require.Equal(t, binaries[0], binaries[1])
	require.Empty(t, leftover(t, upper))
	for _, keep := range keeps {
		binary, err := goBuild(module, t.TempDir(), &Server{Lower: []Dir{keep}})
		require.NoError(t, err)
		require.Equal(t, binaries[0], binary)
	}
}
