package inbuild

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/larder-build/larder/internal/step"
)

// TestMain has the test binary be Larder's binary where a go command starts it as its build cache.
func TestMain(m *testing.M) {
	if args, ok := step.Of(os.Args); ok {
		os.Exit(Main(context.Background(), args, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// What the step deps compiles, the step go takes from there, whatever else its cache holds.
func TestDeps(t *testing.T) {
	src := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(text), 0o644))
	}
	write("go.mod", "module x.example/y\n\ngo 1.25\n")
	write("imports", "errors\nstrings\nx.example/nowhere\n")
	deps, bin := t.TempDir(), filepath.Join(t.TempDir(), "y")
	t.Chdir(src)
	t.Setenv("GOCACHE", t.TempDir())
	var stdout, stderr bytes.Buffer
	code := Main(t.Context(), []string{"deps", "--imports", "imports", "--dir", src, "--out", deps, "--", "-trimpath"}, &stdout, &stderr)
	require.Zero(t, code, stderr.String())
	require.Regexp(t, `compiled \d\d+ packages`, stdout.String())

	write("main.go", "package main\n\nimport (\n\t\"errors\"\n\t\"strings\"\n)\n\nfunc main() { println(errors.New(strings.ToUpper(\"x\"))) }\n")
	cache := t.TempDir()
	t.Setenv("GOCACHE", cache)
	before := count(t, deps)
	code = Main(t.Context(), []string{"go", "--stamp", filepath.Dir(bin), "--deps", deps, "--", "build", "-trimpath", "-o", bin, "."}, &stdout, &stderr)
	require.Zero(t, code, stderr.String())
	require.Less(t, count(t, cache), before+5, "more than the main package was compiled")
	require.Equal(t, before, count(t, deps), "deps was written")
}

// What was compiled of the standard library outside of any module isn't compiled again in one, and is left as it is.
func TestDepsAbove(t *testing.T) {
	src, deps := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module x.example/y\n\ngo 1.21\n\ngodebug default=go1.21\n\nrequire a.example/a v1.0.0\n\nreplace a.example/a => ./a\n",
		"std":    "crypto/sha256\nfmt\nnet\n", "all": "a.example/a\ncrypto/sha256\nfmt\nnet\n", // of its own, of FIPS 140, and vendored
		"a/go.mod": "module a.example/a\n\ngo 1.21\n", "a/a.go": "package a\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(src, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(text), 0o644))
	}
	compile := func(dir, list string) {
		t.Setenv("GOCACHE", t.TempDir())
		var stdout, stderr bytes.Buffer
		code := Main(t.Context(), []string{"deps", "--imports", filepath.Join(src, list), "--dir", dir, "--out", deps, "--", "-trimpath"}, &stdout, &stderr)
		require.Zero(t, code, stderr.String())
		require.Regexp(t, `compiled \d\d+ packages`, stdout.String())
	}
	compile("/", "std")
	of, err := os.Lstat(filepath.Join(deps, "00"))
	require.NoError(t, err)
	before := count(t, deps)
	require.Greater(t, before, 100)
	compile(src, "all")
	require.LessOrEqual(t, count(t, deps), before+3, "more was added than package a, the index of its folder and the list of its files")
	now, err := os.Lstat(filepath.Join(deps, "00"))
	require.NoError(t, err)
	require.Equal(t, of.ModTime(), now.ModTime())
}

// Above what an earlier list of modules needed, what is new is compiled alone: the go command takes a package of the same
// version in spite of another go.mod, and never one of another version.
func TestDepsAboveAnEarlierList(t *testing.T) {
	module := func(path, version, imports string) testModule {
		return testModule{path, version, map[string]string{"go.mod": "module " + path + "\n\ngo 1.21\n\nrequire a.example/a v1.0.0\n",
			"lib.go": "package lib\n\n" + imports + "\nconst Name = \"" + path + "@" + version + "\"\n"}}
	}
	mods := []testModule{module("a.example/a", "v1.0.0", ""), module("a.example/a", "v1.1.0", ""), module("b.example/b", "v1.0.0", "import \"a.example/a\"\n\nconst Of = lib.Name\n"), module("c.example/c", "v1.0.0", "")}
	mods[0].files["go.mod"] = "module a.example/a\n\ngo 1.21\n"
	proxy, sums := makeProxy(t, mods...)
	modCache, deps := filepath.Join(t.TempDir(), "mod"), t.TempDir()
	mustStep(t, "modules", "--sums", writeSums(t, sums), "--from", proxy, "--out", modCache)
	t.Setenv("GOMODCACHE", modCache)
	t.Setenv("GOFLAGS", "-mod=readonly")
	t.Setenv("GOPROXY", "off")
	tree := func(goLine, requires, list string) (dir string) {
		dir = t.TempDir()
		for name, text := range map[string]string{"go.mod": "module x.example/y\n\ngo " + goLine + "\n\n" + requires, "go.sum": sums, "imports": list} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
		return dir
	}
	compile := func(dir string) (added int) {
		before := count(t, deps)
		t.Setenv("GOCACHE", t.TempDir())
		mustStep(t, "deps", "--imports", filepath.Join(dir, "imports"), "--dir", dir, "--out", deps, "--", "-trimpath")
		return count(t, deps) - before
	}
	const a, b, c = "require a.example/a v1.0.0\n", "require b.example/b v1.0.0\n", "require c.example/c v1.0.0\n"
	compile(tree("1.21", a+b, "a.example/a\nb.example/b\nfmt\n"))
	require.Zero(t, compile(tree("1.24", a+b, "b.example/b\nfmt\n")), "the same packages, of a module with another go line")
	require.LessOrEqual(t, compile(tree("1.21", a+b+c, "a.example/a\nb.example/b\nc.example/c\nfmt\n")), 3, "more than package c, the index of its folder and the list of its files")

	dir := tree("1.21", strings.Replace(a, "v1.0.0", "v1.1.0", 1)+b, "b.example/b\nfmt\n")
	require.Positive(t, compile(dir), "a package that imports one of another version is another one")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nimport (\n\t\"fmt\"\n\n\tlib \"b.example/b\"\n)\n\nfunc main() { fmt.Println(lib.Of) }\n"), 0o644))
	t.Chdir(dir)
	bin := filepath.Join(t.TempDir(), "y")
	mustStep(t, "go", "--stamp", filepath.Dir(bin), "--deps", deps, "--", "build", "-trimpath", "-o", bin, ".")
	out, err := exec.Command(bin).Output()
	require.NoError(t, err)
	require.Equal(t, "a.example/a@v1.1.0\n", string(out))
}

// count returns how many outputs a folder laid out as GOCACHE holds.
func count(t *testing.T, dir string) (n int) {
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, "-d") {
			n++
		}
		return err
	}))
	return n
}

func TestDepsUsage(t *testing.T) {
	t.Setenv("GOCACHE", "")
	for _, args := range [][]string{{"deps"}, {"deps", "--imports", "go.mod", "--dir", "."}, {"deps", "--imports", "deps.go", "--dir", ".", "--out", "x"}} {
		var stdout, stderr bytes.Buffer
		require.Equal(t, 2, Main(t.Context(), args, &stdout, &stderr), "%q", args)
		require.Contains(t, stderr.String(), "in-build "+args[0])
	}
}
