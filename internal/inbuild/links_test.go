package inbuild

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// linkedModules unpacks three modules, once into a folder and once, in parts, into several that are linked.
func linkedModules(t *testing.T, work string) (sums, merged, linked string) {
	dir, sums := makeProxy(t, threeModules...)
	lines := strings.SplitAfter(sums, "\n")
	merged, linked = filepath.Join(work, "merged"), filepath.Join(work, "linked")
	mustStep(t, "modules", "--sums", writeSums(t, sums), "--from", dir, "--out", merged)
	var parts []string
	for i, text := range []string{lines[1] + lines[3] + lines[5], lines[0] + lines[2], lines[4]} {
		part := filepath.Join(work, "parts", string(rune('0'+i)))
		mustStep(t, "modules", "--sums", writeSums(t, text), "--from", dir, "--out", part)
		parts = append(parts, part)
	}
	require.NoError(t, os.MkdirAll(linked, 0o777))
	require.NoError(t, linkModules(linked, parts))
	return sums, merged, linked
}

// A folder of links has each file of the merged one by the same name.
func TestLinkModules(t *testing.T) {
	_, merged, linked := linkedModules(t, t.TempDir())
	for _, name := range names(t, merged) {
		want, err := os.ReadFile(filepath.Join(merged, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(linked, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), name)
	}
	target, err := os.Readlink(filepath.Join(linked, "example.com/hello@v1.2.3"))
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(target, "/parts/1/example.com/hello@v1.2.3"), target)
	for _, link := range names(t, filepath.Join(linked, "cache")) {
		require.FileExists(t, filepath.Join(merged, "cache", link), "a link to nothing")
	}

	again := t.TempDir()
	require.ErrorContains(t, linkModules(again, []string{filepath.Join(merged), filepath.Join(merged)}), "file exists", "a module is in two parts")
	require.Error(t, linkModules(again, []string{filepath.Join(merged, "no such folder")}))
	require.Error(t, linkModules(filepath.Join(again, "no such folder"), []string{merged}))
}

// Nothing is made behind a link that a part has in the place of a folder.
func TestLinkInPart(t *testing.T) {
	dir, outside, hostile, honest := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(hostile, "cache")))
	require.NoError(t, os.MkdirAll(filepath.Join(honest, "cache", "download"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(honest, "cache", "download", "v1.0.0.info"), nil, 0o644))
	require.ErrorContains(t, linkModules(dir, []string{hostile, honest}), "file exists")
	require.Empty(t, names(t, outside))
}

// The go command builds, lists, vets and tests the same with a folder of links as with the folder itself.
func TestBuildWithLinks(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(work), 0o755))
	sums, merged, linked := linkedModules(t, work)
	src := filepath.Join(work, "src")
	for name, text := range map[string]string{
		"go.mod":       "module example.com/app\n\ngo 1.21\n\nrequire (\n\texample.com/Upper/Case v0.0.0-20200102030405-0123456789ab // indirect\n\texample.com/hello v1.2.3\n\texample.com/old v2.0.0+incompatible // indirect\n)\n",
		"go.sum":       sums,
		"main.go":      "package main\n\nimport \"example.com/hello\"\n\nfunc main() { print(hello.Hello()) }\n",
		"main_test.go": "package main\n\nimport \"testing\"\n\nfunc TestMain(*testing.M) {}\n",
	} {
		require.NoError(t, os.MkdirAll(src, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(text), 0o644))
	}
	app, cache := filepath.Join(work, "tmp", "app"), filepath.Join(work, "cache")
	gocmd := goCommandIn(t, work, src, cache, linked, merged)
	said := map[string][]string{}
	for _, dir := range []string{linked, merged} { // at the same path, each with a compile cache of its own
		require.NoError(t, os.Rename(dir, cache))
		for _, args := range [][]string{
			{"build", "-o", app, "."},
			{"build", "-trimpath", "-o", app, "."},
			{"list", "-m", "-json", "all"},
			{"list", "-deps", "-f", "{{.ImportPath}} {{.Dir}} {{.EmbedFiles}} {{.Module}} {{.Error}}", "./..."},
			{"list", "example.com/hello/...", "all"},
			{"mod", "graph"},
			{"vet", "./...", "example.com/hello/..."},
			{"test", "-json", "-run", "none", "-count", "0", "./...", "example.com/hello/..."},
		} {
			out, stderr := gocmd(args...)
			require.NotContains(t, stderr, "go: ", args)
			if args[0] == "test" {
				out = ""
			}
			if args[0] == "build" {
				data, err := os.ReadFile(app)
				require.NoError(t, err)
				out = string(data)
				text, err := exec.Command(app).CombinedOutput()
				require.NoError(t, err)
				require.Equal(t, "old-embedded", string(text))
			}
			said[dir] = append(said[dir], out)
		}
		require.NoError(t, os.Rename(cache, dir))
		require.NoError(t, os.RemoveAll(filepath.Join(work, "tmp", "gocache")))
	}
	for i, want := range said[merged] {
		require.True(t, want == said[linked][i], "command %d: %.500s\nwith links: %.500s", i, want, said[linked][i])
	}
}
