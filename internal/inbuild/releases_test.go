//go:build slow

package inbuild

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// What the step deps compiles is taken by the go command of every release since 1.21, the first that is a module: by
// Larder's GOCACHEPROG since 1.24, and by a copy in GOCACHE before. "make setup-slow" downloads these.
func TestSlowReleases(t *testing.T) {
	src := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module x.example/y\n\ngo 1.21\n", "imports": "fmt\nstrings\n",
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\t\"strings\"\n)\n\nfunc main() { fmt.Println(strings.ToUpper(\"x\")) }\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(src, name), []byte(text), 0o644))
	}
	path := os.Getenv("PATH")
	for _, release := range []string{"go1.21.13", "go1.23.12", "go1.24.13", "go1.25.14", "go1.27.3"} {
		t.Run(release, func(t *testing.T) {
			root := filepath.Join(filepath.Dir(filepath.Dir(testkit.ModuleCache(t))), "golang.org", "toolchain@v0.0.1-"+release+"."+runtime.GOOS+"-"+runtime.GOARCH)
			require.DirExists(t, root, "run 'make setup-slow'")
			t.Setenv("PATH", filepath.Join(root, "bin")+string(filepath.ListSeparator)+path)
			t.Setenv("GOROOT", "")
			t.Setenv("GOTOOLCHAIN", "local")
			deps, again, bin, cache := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
			t.Chdir(src)
			run := func(args ...string) string {
				var stdout, stderr bytes.Buffer
				require.Zero(t, Main(t.Context(), args, &stdout, &stderr), stderr.String())
				return stdout.String()
			}
			for _, out := range []string{deps, again} {
				t.Setenv("GOCACHE", t.TempDir())
				require.Regexp(t, `compiled \d\d+ packages`, run("deps", "--imports", "imports", "--dir", src, "--out", out, "--", "-trimpath"))
			}
			require.Equal(t, testkit.Run(t, "sh", "-c", "cd "+deps+" && find . -type f | sort | xargs sha256sum"), testkit.Run(t, "sh", "-c", "cd "+again+" && find . -type f | sort | xargs sha256sum"))
			require.Greater(t, count(t, deps), 40)

			t.Setenv("GOCACHE", cache)
			run("go", "--stamp", bin, "--deps", deps, "--", "build", "-trimpath", "-o", filepath.Join(bin, "y"), ".")
			require.Equal(t, "X\n", testkit.Run(t, filepath.Join(bin, "y")))
			made := count(t, cache)
			if release < "go1.24" {
				made -= count(t, deps)
			}
			require.Less(t, made, 5, "more than the main package was compiled")
		})
	}
}
