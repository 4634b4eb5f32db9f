package inbuild

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/proof/license"
	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

const mit = `MIT License

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

// A module's licence is known by its sum.
func TestLicenses(t *testing.T) {
	cache := t.TempDir()
	write := func(name, text string) {
		file := filepath.Join(cache, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	write("cache/download/a.example/!upper/@v/v1.0.0.ziphash", "h1:x")
	write("cache/download/a.example/!upper/@v/v1.0.0.mod", "module a.example/Upper\n")
	write("a.example/!upper@v1.0.0/LICENSE", mit)
	write("a.example/!upper@v1.0.0/license.go", "package upper\n")
	write("cache/download/a.example/many/@v/v1.0.0.ziphash", "h1:many")
	for i := range license.MaxFiles + 1 {
		write("a.example/many@v1.0.0/LICENSE."+strings.Repeat("x", i+1), mit)
	}
	write("cache/download/a.example/none/@v/v1.0.0.ziphash", "h1:none")
	write("cache/download/a.example/without/@v/v1.0.0.ziphash", "h1:without")
	write("a.example/without@v1.0.0/main.go", "package main\n")

	var stdout, stderr strings.Builder
	tell := func(cache string) (out string, exit int) {
		out = filepath.Join(t.TempDir(), "out")
		return out, Main(t.Context(), []string{"licences", "--modules", cache, "--out", out}, &stdout, &stderr)
	}
	some, exit := tell(cache)
	require.Zero(t, exit, "%s", &stderr)
	require.Equal(t, "found the licences of 1 modules\n", stdout.String())
	none, exit := tell(t.TempDir())
	require.Zero(t, exit, "%s", &stderr)
	_, exit = tell(filepath.Join(cache, "nowhere"))
	require.Equal(t, exitFailure, exit)

	known, err := readLicenses([]string{none, some})
	require.NoError(t, err)
	require.Equal(t, map[string][]string{"h1:x": {"MIT"}}, known)
	require.NoError(t, os.WriteFile(filepath.Join(some, licensesFile), []byte("{"), 0o644))
	_, err = readLicenses([]string{some})
	require.ErrorContains(t, err, "reading the licences of modules")
}

func TestSBOM(t *testing.T) {
	root, out := t.TempDir(), filepath.Join(t.TempDir(), "out")
	facts := filepath.Join(t.TempDir(), "facts.json")
	data, err := json.Marshal(sbom.Facts{Name: "app", Platform: "linux/amd64"})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(facts, data, 0o644))
	self, err := os.Executable()
	require.NoError(t, err)
	binary, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "app"), binary, 0o755))

	var stdout, stderr strings.Builder
	run := func(args ...string) int {
		return Main(t.Context(), append([]string{"sbom"}, args...), &stdout, &stderr)
	}
	require.Zero(t, run("--root", root, "--facts", facts, "--out", out), "%s", &stderr)
	require.Equal(t, "found 1 binaries of Go and 0 packages of a distribution\n", stdout.String())
	bill, err := os.ReadFile(filepath.Join(out, SBOMFile))
	require.NoError(t, err)
	files, err := sbom.Read(bill)
	require.NoError(t, err)
	require.Contains(t, files, "/app")
	info, err := os.Stat(filepath.Join(out, SBOMFile))
	require.NoError(t, err)
	require.True(t, info.ModTime().Equal(epoch))

	_, err = os.Stat(filepath.Join(out, CycloneDXFile))
	require.ErrorIs(t, err, os.ErrNotExist)

	both := filepath.Join(t.TempDir(), "out")
	data, err = json.Marshal(sbom.Facts{Name: "app", Platform: "linux/amd64", CycloneDX: true})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(facts, data, 0o644))
	require.Zero(t, run("--root", root, "--facts", facts, "--out", both), "%s", &stderr)
	again, err := os.ReadFile(filepath.Join(both, SBOMFile))
	require.NoError(t, err)
	require.Equal(t, string(bill), string(again))
	cyclone, err := os.ReadFile(filepath.Join(both, CycloneDXFile))
	require.NoError(t, err)
	testkit.RequireCycloneDX(t, string(cyclone))
	require.Contains(t, string(cyclone), `"name": "/app"`)

	require.Equal(t, exitUsage, run("--root", root))
	require.Equal(t, exitFailure, run("--root", filepath.Join(root, "none"), "--facts", facts, "--out", out))
}
