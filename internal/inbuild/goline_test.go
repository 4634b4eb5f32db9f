package inbuild

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const versionMain = "package main\n\nvar v = \"none\"\n\nfunc main() { println(v) }\n"

// makeTree writes files, given as names and texts, into a new module.
func makeTree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(files[i+1]), 0o644))
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x.example/y\n\ngo 1.25\n"), 0o644))
	}
	return dir
}

// goLineIn runs a GO line as the frontend has it run.
func goLineIn(t *testing.T, dir, line string, flags ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runStep(t, append(append([]string{"go-line", "--dir", dir, "--modcache", t.TempDir()}, flags...), "--", line)...)
}

func TestGoLineBuilds(t *testing.T) {
	src, out := makeTree(t, "cmd/a/main.go", versionMain, "cmd/b/main.go", versionMain), t.TempDir()
	t.Setenv("VERSION", "v1 of it")
	t.Setenv("OUT", out)
	code, _, stderr := goLineIn(t, src, `build -ldflags="-X 'main.v=${VERSION}'" -o ${OUT}/ ./cmd/...`)
	require.Zero(t, code, stderr)
	for _, name := range []string{"a", "b"} {
		said, err := exec.Command(filepath.Join(out, name)).CombinedOutput()
		require.NoError(t, err)
		require.Equal(t, "v1 of it\n", string(said))
	}
}

func TestGoLineCrossCompiles(t *testing.T) {
	src, out := makeTree(t, "main.go", versionMain, "main_test.go", "package main\n\nimport \"testing\"\n\nfunc TestOK(t *testing.T) {}\n"), t.TempDir()
	target := targetFile(t, "GOOS=linux\nGOARCH=riscv64\n")
	t.Setenv("OUT", out)
	code, _, stderr := goLineIn(t, src, "build -o $OUT/bin .", "--target", target)
	require.Zero(t, code, stderr)
	info, err := exec.Command("go", "version", "-m", filepath.Join(out, "bin")).Output()
	require.NoError(t, err)
	require.Contains(t, string(info), "GOARCH=riscv64")

	code, stdout, stderr := goLineIn(t, src, "test .", "--target", target)
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "ok  ")

	t.Setenv("GOARCH", "riscv64")
	code, stdout, stderr = goLineIn(t, src, "test .")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "exec format error")
	require.Contains(t, stderr, "larder: that is compiled for another platform")
}

func TestGoLineKeepsStdout(t *testing.T) {
	const test = "package y\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestX(t *testing.T) {\n\tif os.Getenv(\"BREAK\") != \"\" {\n\t\tt.Fatal(\"no luck\")\n\t}\n}\n"
	src, file := makeTree(t, "x_test.go", test), filepath.Join(t.TempDir(), "deep/er/test.json")
	t.Setenv("BREAK", "1")
	code, stdout, stderr := goLineIn(t, src, "test -json ./...", "--stdout="+file)
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "no luck")
	require.NotContains(t, stderr, "larder:")
	requireEmpty(t, filepath.Dir(file))

	t.Setenv("BREAK", "")
	code, stdout, stderr = goLineIn(t, src, "test -json ./...", "--stdout="+file)
	require.Zero(t, code, stderr)
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, stdout, string(kept))
	require.Contains(t, stdout, `"Action":"pass"`)
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, entries, 1)
	info, err := entries[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), info.Mode())

	_, _, stderr = goLineIn(t, src, "version", "--stdout="+filepath.Dir(file))
	require.Contains(t, stderr, "that is a folder: name a file")
	_, _, stderr = goLineIn(t, src, "version", "--stdout="+file+"/x")
	require.Contains(t, stderr, "not a directory")
}

// A disk that is full doesn't keep go's output from being shown.
func TestGoLineCannotKeepStdout(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full")
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	kept := &stdoutFile{File: full}
	n, err := kept.Write([]byte("text"))
	require.NoError(t, err)
	require.Equal(t, 4, n)
	require.ErrorContains(t, kept.err, "no space left")
}

func TestGoLineFails(t *testing.T) {
	src := makeTree(t, "main.go", "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Printf(\"%d\", \"x\") }\n", "exit/main.go", "package main\n\nimport \"os\"\n\nfunc main() { os.Exit(3) }\n")
	code, _, stderr := goLineIn(t, src, "vet .")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "wrong type string")
	require.NotContains(t, stderr, "larder:")

	code, _, stderr = goLineIn(t, src, "build -nosuchflag")
	require.Equal(t, 2, code, "go's own exit code")
	require.Contains(t, stderr, "flag provided but not defined")

	code, _, stderr = goLineIn(t, filepath.Join(src, "none"), "vet .")
	require.Equal(t, 1, code)
	require.Equal(t, "larder: there is no folder "+src+"/none in this stage to run GO vet . in\n", stderr)

	code, _, stderr = goLineIn(t, src, `vet "`)
	require.Equal(t, 1, code)
	require.Regexp(t, `^larder: can't expand the line GO vet ": .*double-quote\n$`, stderr)
}

func TestGoLineTellsMissingModules(t *testing.T) {
	sum := "a.example/b v1.0.0 h1:w5fcysjrx7yqtD/aO+QwRjYZOKnaM9Uh2b40tElTs3Y=\na.example/b v1.0.0/go.mod h1:LzX7hefJvL54yjefDEDHNONDjII0t9xZLPXsUe+TKr0=\n"
	required := "module x.example/y\n\ngo 1.25\n\nrequire a.example/b v1.0.0\n"
	const main = "package main\n\nimport _ \"a.example/b\"\n\nfunc main() {}\n"
	for _, tt := range []struct{ mod, sum, line, want string }{
		{required, sum, "build .", "larder: a.example/b@v1.0.0 is needed, and not among the modules of this build"},
		{required, sum, "list -m all", "larder: a.example/b@v1.0.0 is needed, and not among the modules of this build"},
		{required, "", "build .", "larder: go.sum lacks a line"},
		{"module x.example/y\n\ngo 1.25\n", "", "build .", "larder: no module of go.mod has the package a.example/b: run"},
		{"module x.example/y\n\ngo 1.25\n", "", "build -mod=vendor .", "larder: vendor/ lacks the package a.example/b"},
		{"module x.example/y\n\ngo 1.999\n", "", "build .", "start it with FROM go:1.999"},
	} {
		t.Setenv("GOPRIVATE", "a.example") // which must not make go fetch it
		code, _, stderr := goLineIn(t, makeTree(t, "go.mod", tt.mod, "go.sum", tt.sum, "main.go", main), tt.line)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, tt.want, tt)
		require.Equal(t, 1, strings.Count(stderr, "larder: "), stderr)
	}
}

func TestGoLineWithoutGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findGo("/none/go")
	require.EqualError(t, err, "this stage has no go command: start it with FROM go, or from an image that has a Go toolchain")
	fallback := filepath.Join(t.TempDir(), "go")
	require.NoError(t, os.WriteFile(fallback, nil, 0o755))
	found, err := findGo(fallback)
	require.NoError(t, err)
	require.Equal(t, fallback, found)
}

func TestGoLineOtherPlatformsGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	require.NoError(t, os.WriteFile(filepath.Join(os.Getenv("PATH"), "go"), []byte("not a program"), 0o755))
	_, _, stderr := goLineIn(t, t.TempDir(), "version")
	require.Contains(t, stderr, "write FROM --platform=$BUILDPLATFORM")
}

// What go prints is passed on while it runs, and an end of the build ends it.
func TestGoLineIsCancelled(t *testing.T) {
	// It ends when the go command that runs it has, and not before.
	src := makeTree(t, "main.go", "package main\n\nimport (\n\t\"os\"\n\t\"time\"\n)\n\nfunc main() {\n\tparent := os.Getppid()\n\tfor println(\"up\"); os.Getppid() == parent; {\n\t\ttime.Sleep(time.Millisecond)\n\t}\n}\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr bytes.Buffer
	code := Main(ctx, []string{"go-line", "--dir", src, "--", "run ."}, &bytes.Buffer{}, writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "up") {
			cancel()
		}
		return stderr.Write(p)
	}))
	require.Equal(t, 1, code)
	require.Contains(t, stderr.String(), "larder: running the go command: signal: killed")
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestGoLineUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--", "build"}, "--dir is missing"},
		{[]string{"--dir", "/src"}, "expected one argument after --"},
		{[]string{"--dir", "/src", "--", "build", "."}, "expected one argument after --"},
		{[]string{"--dir", "/src", "--cgo=1", "--", "build"}, "expected true or false"},
		{[]string{"--dir", "/src", "--escape=x", "--", "build"}, "--escape"},
		{[]string{"--dir", "/src", "--stdout=x", "--", "build"}, "expected the absolute path of a file"},
		{[]string{"--dir", "/src", "--stdout=/x/", "--", "build"}, "expected the absolute path of a file"},
		{[]string{"--dir", "/src", "--env", "X", "--", "build"}, "expected KEY=VALUE"},
		{[]string{"--dir", "/src", "--nosuch", "--", "build"}, "not defined"},
	} {
		code, _, stderr := runStep(t, append([]string{"go-line"}, tt.args...)...)
		require.Equal(t, exitUsage, code, tt)
		require.Contains(t, stderr, tt.want)
	}
}
