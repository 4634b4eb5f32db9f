package inbuild

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/larder-build/larder/internal/step"
)

// The go command's index of a folder doesn't see an edit that leaves names, sizes and times. The step go does without that
// index where files have times like those of an archive or an image.
func TestIndexOfFixedTimes(t *testing.T) {
	src, out := t.TempDir(), t.TempDir()
	t.Chdir(src)
	t.Setenv("GOFLAGS", "")
	write := func(imported, use string) {
		at := time.Unix(1700000000, 0)
		for name, text := range map[string]string{
			"go.mod":  "module x.example/y\n\ngo 1.25\n",
			"main.go": fmt.Sprintf("package main\n\nimport %q\n\nfunc main() { println(%s) } // %80s\n", imported, use, ""),
		} {
			require.NoError(t, os.WriteFile(name, []byte(text)[:min(len(text), 100)], 0o644))
			require.NoError(t, os.Chtimes(name, at, at))
		}
	}
	builds := map[string]func() (string, bool){
		"plain": func() (string, bool) {
			text, err := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(out, "z"), ".").CombinedOutput()
			return string(text), err == nil
		},
		"step": func() (string, bool) {
			var stdout, stderr bytes.Buffer
			code := Main(t.Context(), []string{"go", "--stamp", out, "--", "build", "-o", filepath.Join(out, "y"), "."}, &stdout, &stderr)
			return stderr.String(), code == 0
		},
	}
	for name, build := range builds {
		t.Setenv("GOCACHE", t.TempDir())
		write("bytes", "bytes.MinRead")
		said, ok := build()
		require.True(t, ok, said)
		write("bufio", "bufio.MaxScanTokenSize")
		said, ok = build()
		require.Equal(t, name == "step", ok, "%s: %s", name, said)
	}
}

func TestIndexSetting(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a", "b.go")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.txt"), nil, 0o644))
	for name, at := range map[string]time.Time{file: time.Unix(1700000000, 123456789), filepath.Join(dir, "c.txt"): time.Unix(0, 0)} {
		require.NoError(t, os.Chtimes(name, at, at))
	}
	require.Empty(t, indexSetting(dir, ""))
	require.Equal(t, "x=1", indexSetting(dir, "x=1"))
	require.NoError(t, os.Chtimes(file, time.Unix(0, 0), time.Unix(1, 0)))
	require.Equal(t, "goindex=0", indexSetting(dir, ""))
	require.Equal(t, "x=1,goindex=0", indexSetting(dir, "x=1"))
	require.Equal(t, "goindex=0", indexSetting(filepath.Join(dir, "nowhere"), ""), "what can't be read isn't known")
}

func TestTurnKey(t *testing.T) {
	dir := t.TempDir()
	key := func(env ...string) string { return turnKey(dir, env) }
	first := key("GOOS=linux", "HOME=/a", "GOARCH=arm")
	require.Equal(t, first, key("GOARCH=arm", "HOME=/b", "GOOS=linux"))
	require.NotEqual(t, first, key("GOARCH=arm64", "GOOS=linux"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), []byte("x"), 0o644))
	second := key("GOOS=linux", "GOARCH=arm")
	require.NotEqual(t, first, second)
	work := filepath.Join(dir, "go.work")
	require.NoError(t, os.WriteFile(work+".sum", []byte("y"), 0o644))
	require.Equal(t, second, key("GOOS=linux", "GOARCH=arm"))
	require.NotEqual(t, key("GOWORK=off"), key("GOWORK="+work))
}

// What a line writes can't be led into a folder of Larder's, whatever links a stage has.
func TestOutsideOf(t *testing.T) {
	own, stage := filepath.Join(t.TempDir(), "own"), t.TempDir()
	for _, dir := range []string{filepath.Join(own, "cache"), filepath.Join(stage, "out"), filepath.Join(stage, "bin")} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	for name, to := range map[string]string{
		"to-own": own, "to-new": filepath.Join(own, "cache/new"), "to-link": "to-own", "around": "around", "deep": filepath.Join(own, "cache"), "bin/app": filepath.Join(own, "cache/app"), "fine": "out",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(stage, name)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(stage, "file"), nil, 0o644))
	for name, bad := range map[string]string{
		"out": "", "out/": "", "out/new/app": "", "file": "", "fine/app": "", "new/": "",
		"to-own": "Larder's own", "to-own/x": "Larder's own", "to-own/new/x": "Larder's own", "to-new": "Larder's own", "to-link/cache/x": "Larder's own",
		"bin": "Larder's own", "bin/app": "Larder's own", "around": "too many", "out/../to-own/x": "Larder's own",
		"deep/../x": "Larder's own", "nowhere/../x": "not exist",
	} {
		err := outsideOf(own, absolute(stage, name))
		if bad == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, bad, name)
	}
	require.ErrorContains(t, outsideOf(own, own), "write the output elsewhere")
}

// A line that was planned to compile alone does so, whatever its variables turn out to be.
func TestCheckCompiles(t *testing.T) {
	l := goLine{GoLine: step.GoLine{Compile: step.CompilesByOwn, Dir: t.TempDir()}, line: "build $FLAGS ."}
	require.NoError(t, l.checkCompiles([]string{"build", "-o", "/out/x", "."}, nil))
	require.ErrorContains(t, l.checkCompiles([]string{"build", "-toolexec=/src/evil", "."}, nil), "GO build $FLAGS .: -toolexec may run other programs")
	require.ErrorContains(t, l.checkCompiles([]string{"build", "."}, map[string]string{"GOFLAGS": "-overlay=x"}), "-overlay may run")
	require.ErrorContains(t, l.checkCompiles([]string{"test", "."}, nil), "only build, install and vet")
	l.Compile = ""
	require.NoError(t, l.checkCompiles([]string{"test", "-exec=x", "."}, nil))
	require.Equal(t, []string{"/a/b", "/c", "/go/bin"}, (&goLine{GoLine: step.GoLine{Dir: "/src", Stdout: "/c"}}).outputs([]string{"install", "-C", "/a", "-o", "b", "."}, map[string]string{"GOPATH": "/go"}))

	env := map[string]string{"GOCACHEPROG": "/evil", "PATH": "/evil", "GOROOT": "/evil", "LD_PRELOAD": "/evil", "GOTOOLDIR": "/evil", "CC": "/evil", "GOFLAGS": "-v", "CGO_ENABLED": "1"}
	ownEnvironment(env)
	require.Equal(t, map[string]string{"PATH": ownPath, "GOFLAGS": "-v", "CGO_ENABLED": "0"}, env)
}
