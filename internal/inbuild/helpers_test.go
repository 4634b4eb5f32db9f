package inbuild

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
)

// A testModule is a module version whose zip holds files, named without the path@version prefix.
type testModule struct {
	path, version string
	files         map[string]string
}

func (m testModule) id() module.Version { return module.Version{Path: m.path, Version: m.version} }

// threeModules depend on each other, use escaped names, versions of all kinds and an embedded file, and require a module
// that is in the build list by its name alone.
var threeModules = []testModule{
	{"example.com/hello", "v1.2.3", map[string]string{
		"go.mod":         "module example.com/hello\n\ngo 1.21\n\nrequire example.com/Upper/Case v0.0.0-20200102030405-0123456789ab\n",
		"hello.go":       "package hello\n\nimport (\n\t_ \"embed\"\n\n\tcased \"example.com/Upper/Case\"\n)\n\n//go:embed data/text.txt\nvar text string\n\nfunc Hello() string { return cased.Name + text }\n",
		"data/text.txt":  "embedded",
		"hello_test.go":  "package hello\n",
		"cmd/x/main.go":  "package main\n\nfunc main() {}\n",
		"LICENSE":        "free\n",
		"empty/.gitkeep": "",
	}},
	{"example.com/Upper/Case", "v0.0.0-20200102030405-0123456789ab", map[string]string{
		"go.mod":  "module example.com/Upper/Case\n\ngo 1.21\n\nrequire (\n\texample.com/old v2.0.0+incompatible\n\texample.com/pruned v0.3.0\n)\n",
		"case.go": "package cased\n\nimport \"example.com/old\"\n\nconst Name = old.Name\n",
	}},
	{"example.com/old", "v2.0.0+incompatible", map[string]string{"old.go": "package old\n\nconst Name = \"old-\"\n"}},
}

// makeProxy writes modules into a new GOPROXY folder and returns it with their go.sum text.
func makeProxy(t testing.TB, mods ...testModule) (dir, sums string) {
	t.Helper()
	dir = t.TempDir()
	for _, m := range mods {
		sums += addModule(t, dir, m)
	}
	return dir, sums
}

func addModule(t testing.TB, dir string, m testModule) (sums string) {
	t.Helper()
	var names []string
	for name := range m.files {
		names = append(names, name)
	}
	sort.Strings(names)
	var entries []*zip.FileHeader
	for _, name := range names {
		entries = append(entries, &zip.FileHeader{Name: m.id().String() + "/" + name, Method: zip.Deflate})
	}
	goMod, ok := m.files["go.mod"]
	if !ok {
		goMod = "module " + m.path + "\n"
	}
	file := proxyFile(t, dir, m, ".zip")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, makeZip(t, entries, func(name string) string {
		return m.files[strings.TrimPrefix(name, m.id().String()+"/")]
	}), 0o644))
	require.NoError(t, os.WriteFile(proxyFile(t, dir, m, ".mod"), []byte(goMod), 0o644))
	zipHash, err := dirhash.HashZip(file, dirhash.Hash1)
	require.NoError(t, err)
	return fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", m.path, m.version, zipHash, m.path, m.version, hashMod(t, goMod))
}

func hashMod(t testing.TB, text string) string {
	h, err := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	})
	require.NoError(t, err)
	return h
}

func proxyFile(t testing.TB, dir string, m testModule, ext string) string {
	name, err := versionFile(m.id(), ext)
	require.NoError(t, err)
	return filepath.Join(dir, name)
}

func makeZip(t testing.TB, entries []*zip.FileHeader, content func(name string) string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, h := range entries {
		w, err := z.CreateHeader(h)
		require.NoError(t, err)
		_, err = io.WriteString(w, content(h.Name))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return b.Bytes()
}

func writeSums(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "go.sum")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	return file
}

// step runs a step as the builder does.
func runStep(t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var o, e bytes.Buffer
	code = Main(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

// mustStep runs a step that must do well.
func mustStep(t testing.TB, args ...string) string {
	t.Helper()
	code, stdout, stderr := runStep(t, args...)
	require.Zero(t, code, stderr)
	require.Empty(t, stderr)
	return stdout
}

// failStep runs a step that must fail with an error that holds each of want, and leave out empty.
func failStep(t testing.TB, out string, args []string, want ...string) string {
	t.Helper()
	code, _, stderr := runStep(t, append(args, "--out", out)...)
	require.Equal(t, exitFailure, code, stderr)
	for _, w := range want {
		require.Contains(t, stderr, w)
	}
	for line := range strings.Lines(stderr) {
		require.True(t, strings.HasPrefix(line, "larder: "), line)
	}
	requireEmpty(t, out)
	return stderr
}

func requireEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return
	}
	require.NoError(t, err)
	require.Empty(t, entries)
}

// snapshot lists a tree: what of it reaches a layer.
func snapshot(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	require.NoError(t, filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, file)
		var sum [32]byte
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(data)
		}
		st := info.Sys().(*syscall.Stat_t)
		lines = append(lines, fmt.Sprintf("%s %s %d %d:%d %x", rel, info.Mode(), info.ModTime().UnixNano(), st.Uid, st.Gid, sum[:4]))
		return nil
	}))
	return lines
}

// names lists the files of a tree.
func names(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, name)
		}
		return err
	}))
	return out
}

// goroot returns the tree of the toolchain that runs the tests.
func goroot(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}
