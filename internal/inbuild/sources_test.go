package inbuild

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/larder-build/larder/internal/step"
)

// importer is a program that imports the modules, and listed are the files of these that it is compiled of.
const (
	importer = "package main\n\nimport \"example.com/hello\"\n\nfunc main() { print(hello.Hello()) }\n"
	listed   = "example.com/!upper/!case@v0.0.0-20200102030405-0123456789ab/\nexample.com/hello@v1.2.3/\nexample.com/hello@v1.2.3/data/text.txt\nexample.com/old@v2.0.0+incompatible/\n"
)

// Of modules that are compiled already, what they were compiled of is unpacked and no more: a program links, and it is the
// same.
func TestUnpackWhatIsCompiled(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	file, src, deps := writeSums(t, sums), t.TempDir(), t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(text), 0o644))
	}
	write("go.mod", "module x.example/y\n\ngo 1.21\n\nrequire (\n\texample.com/hello v1.2.3\n\texample.com/Upper/Case v0.0.0-20200102030405-0123456789ab\n\texample.com/old v2.0.0+incompatible\n)\n")
	write("go.sum", sums)
	write("imports", "example.com/hello\n")
	write("main.go", importer)
	all, some := filepath.Join(t.TempDir(), "all"), filepath.Join(t.TempDir(), "some")
	mustStep(t, "modules", "--sums", file, "--from", dir, "--out", all)

	build := func(modules string, more ...string) []byte {
		t.Setenv("GOMODCACHE", modules)
		t.Setenv("GOCACHE", t.TempDir())
		bin := filepath.Join(t.TempDir(), "y")
		t.Chdir(src)
		mustStep(t, append(append([]string{"go", "--stamp", filepath.Dir(bin)}, more...), "--", "build", "-trimpath", "-o", bin, ".")...)
		data, err := os.ReadFile(bin)
		require.NoError(t, err)
		return data
	}
	whole := build(all)
	t.Setenv("GOCACHE", t.TempDir())
	mustStep(t, "deps", "--imports", filepath.Join(src, "imports"), "--dir", src, "--out", deps, "--", "-trimpath")
	list := filepath.Join(deps, step.Sources)
	text, err := os.ReadFile(list)
	require.NoError(t, err)
	require.Equal(t, listed, string(text))
	require.Equal(t, "checked and unpacked 3 modules\n", mustStep(t, "modules", "--sums", file, "--from", dir, "--out", some, "--only", list))
	var trees []string
	for _, name := range names(t, some) {
		if !strings.HasPrefix(name, cacheDownload) {
			trees = append(trees, name)
		}
	}
	require.Equal(t, []string{
		"example.com/!upper/!case@v0.0.0-20200102030405-0123456789ab/case.go",
		"example.com/!upper/!case@v0.0.0-20200102030405-0123456789ab/go.mod",
		"example.com/hello@v1.2.3/LICENSE",
		"example.com/hello@v1.2.3/data/text.txt",
		"example.com/hello@v1.2.3/go.mod",
		"example.com/hello@v1.2.3/hello.go",
		"example.com/old@v2.0.0+incompatible/old.go",
	}, trees)
	require.True(t, bytes.Equal(whole, build(some, "--deps", deps)), "the program is another one")
	require.True(t, bytes.Equal(whole, build(some)), "the program is another one if all is compiled anew")
}

// What isn't unpacked is checked all the same.
func TestWhatIsNotUnpackedIsChecked(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	list := filepath.Join(t.TempDir(), "list")
	require.NoError(t, os.WriteFile(list, []byte("example.com/old@v2.0.0+incompatible/\n"), 0o644))
	evil := threeModules[0]
	evil.files = maps.Clone(evil.files)
	evil.files["LICENSE"] = "not free\n"
	addModule(t, dir, evil)
	out := filepath.Join(t.TempDir(), "out")
	failStep(t, out, []string{"modules", "--sums", writeSums(t, sums), "--from", dir, "--out", out, "--only", list}, "example.com/hello@v1.2.3: the ", " has h1:", "go.sum says h1:")
}

// A list that isn't one is refused, wherever its lines lead.
func TestHostileSources(t *testing.T) {
	dir, sums := makeProxy(t, threeModules...)
	list := filepath.Join(t.TempDir(), "list")
	for text, want := range map[string]string{
		"../../etc/passwd\n": `has the line "../../etc/passwd\n"`,
		"/etc/\n":            `has the line "/etc/\n"`,
		"b/\na/\n":           "isn't written as Larder writes it",
	} {
		require.NoError(t, os.WriteFile(list, []byte(text), 0o644))
		out := filepath.Join(t.TempDir(), "out")
		failStep(t, out, []string{"modules", "--sums", writeSums(t, sums), "--from", dir, "--out", out, "--only", list}, want)
	}
	for name, listing := range map[string]string{"a control character": "/m/a@v1\tx\x01y\n", "a path above": "/m/a@v1\t../../x\n", "a folder above": "/m/../x\n"} {
		_, err := sourcesOf(listing, "/m")
		require.ErrorContains(t, err, "can't be the name of a file", name)
	}
	none, err := sourcesOf("/usr/local/go/src/fmt\n/src/own\n\n", "/m")
	require.NoError(t, err)
	require.Empty(t, none.Text())
	none, err = sourcesOf("/x\n", "")
	require.NoError(t, err)
	require.Empty(t, none.Text())
}
