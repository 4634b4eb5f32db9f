package goslice

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/moby/patternmatcher"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestSlices compares the slices of the trees in testdata with what their file WANT says and, where it has a slice,
// builds the tree and the slice of it: the binaries have to be the same, bit for bit. The comment of an archive holds
// settings: patterns, tests, platform, cgo, tags, dir, work, vendored, symlink, build.
func TestSlices(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(archives), 20)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			root := t.TempDir()
			req, want := unpack(t, a, root)
			s, err := Of(req)
			var why *WholeError
			if err != nil && !errors.As(err, &why) {
				require.NoError(t, err)
			}
			got := describe(s, why)
			if *update {
				a.Files = append(slices.DeleteFunc(a.Files, func(f txtar.File) bool { return f.Name == "WANT" }), txtar.File{Name: "WANT", Data: []byte(got)})
				require.NoError(t, os.WriteFile(name, txtar.Format(a), 0o666))
			} else if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("slice differs (-want +got):\n%s\nrun 'go test -update' if that is right", diff)
			}
			// A C compiler isn't everywhere, and some trees can't be built.
			if why == nil && !req.Cgo && !strings.Contains(string(a.Comment), "build: no") {
				requireSame(t, req, root, s)
			}
		})
	}
}

// unpack writes an archive to a folder, since fstest.MapFS has no symbolic links, and reads the settings.
func unpack(t *testing.T, a *txtar.Archive, root string) (req Request, want string) {
	req = Request{Tree: os.DirFS(root), GOOS: "linux", GOARCH: "amd64", Version: "go1.26.0"}
	dir, alone := ".", true
	for _, f := range a.Files {
		if f.Name == "WANT" {
			want = string(f.Data)
			continue
		}
		write(t, filepath.Join(root, filepath.FromSlash(f.Name)), f.Data)
	}
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "patterns":
			req.Patterns = strings.Fields(value)
		case "platform":
			req.GOOS, req.GOARCH, _ = strings.Cut(value, "/")
		case "tags":
			req.Tags = strings.Split(value, ",")
		case "dir":
			dir = value
		case "work":
			alone = false
		case "version":
			req.Version = strings.TrimPrefix(value, "unknown")
		case "tests":
			req.Tests = true
		case "cgo":
			req.Cgo = true
		case "symlink":
			link, target, _ := strings.Cut(value, " ")
			require.NoError(t, os.Symlink(target, filepath.Join(root, link)))
		}
	}
	req.Module = moduleOf(t, req.Tree, dir, alone)
	return req, want
}

func moduleOf(t *testing.T, tree fs.FS, dir string, alone bool) gotree.Module {
	m, err := gotree.Tree{FS: tree}.Module(dir, alone)
	require.NoError(t, err)
	return m
}

func write(t *testing.T, name string, data []byte) {
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, data, 0o644))
}

func describe(s Slice, why *WholeError) string {
	if why != nil {
		return why.Error() + "\n"
	}
	var b strings.Builder
	for _, list := range []struct {
		name  string
		names []string
	}{{"file", s.Files}, {"glob", s.Globs}, {"import", s.Imports}} {
		for _, n := range list.names {
			b.WriteString(list.name + " " + n + "\n")
		}
	}
	return b.String()
}

// requireSame builds a tree, and its slice, and compares.
func requireSame(t *testing.T, req Request, root string, s Slice) {
	sliced := t.TempDir()
	cut(t, root, sliced, s)
	require.Equal(t, compile(t, req, root), compile(t, req, sliced), "the binaries differ")
}

// cut copies the part of a tree that a slice names, as BuildKit does.
func cut(t *testing.T, from, to string, s Slice) {
	globs, err := patternmatcher.New(s.Globs)
	require.NoError(t, err)
	require.NoError(t, filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		rel, err := filepath.Rel(from, name)
		require.NoError(t, err)
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		match, err := globs.MatchesOrParentMatches(rel)
		require.NoError(t, err)
		if _, listed := slices.BinarySearch(s.Files, filepath.ToSlash(rel)); (match || listed) && d.Type().IsRegular() {
			data, err := os.ReadFile(name)
			require.NoError(t, err)
			write(t, filepath.Join(to, rel), data)
		}
		return nil
	}))
}

// compile builds, or compiles the tests, and returns each binary by its name.
func compile(t *testing.T, req Request, root string) map[string]string {
	out := t.TempDir()
	args := []string{"build"}
	if req.Tests {
		args = []string{"test", "-c"}
	}
	args = append(args, "-trimpath", "-buildvcs=false", "-tags", strings.Join(req.Tags, ","), "-o", out+"/")
	cmd := exec.Command("go", append(args, req.Patterns...)...)
	work := "off"
	if req.Module.Work != "" {
		work = filepath.Join(root, req.Module.Work)
	}
	mod := "-mod=readonly"
	if req.Module.Vendored {
		mod = "-mod=vendor"
	}
	cmd.Dir = filepath.Join(root, req.Module.Dir)
	cmd.Env = append(os.Environ(), "GOOS="+req.GOOS, "GOARCH="+req.GOARCH, "CGO_ENABLED=0", "GOFLAGS="+mod, "GOWORK="+work, "GOPROXY=off")
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", said)
	binaries := map[string]string{}
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(out, e.Name()))
		require.NoError(t, err)
		binaries[e.Name()] = string(data)
	}
	require.NotEmpty(t, binaries)
	return binaries
}

// Larder and its examples are built of their slices as they are of the whole tree.
func TestSlicesOfThisTree(t *testing.T) {
	for _, r := range []struct{ root, pattern string }{
		{"../../..", "./cmd/..."}, {"../../../examples/hello", "."}, {"../../../examples/alpine", "."}, {"../../../examples/bake", "./cmd/..."},
		{"../../../examples/existing", "./cmd/notes"}, {"../../../examples/static", "."}, {"../../../examples/tests", "."},
		{"../../../examples/dialect", "./cmd/api"},
	} {
		t.Run(strings.TrimPrefix(r.root, "../../../"), func(t *testing.T) {
			if r.root == "../../.." {
				testkit.Built(t, "bin/larder", "make larder") // or it takes minutes to compile
			}
			testkit.NeedModules(t, r.root, r.pattern)
			req := Request{Tree: os.DirFS(r.root), Module: moduleOf(t, os.DirFS(r.root), ".", true), Patterns: []string{r.pattern}, GOOS: "linux", GOARCH: "amd64", Version: "go1.26.0"}
			s, err := Of(req)
			require.NoError(t, err)
			for _, name := range s.Files {
				require.NotContains(t, name, "_test.go")
				require.NotContains(t, name, "README")
			}
			root, err := filepath.Abs(r.root)
			require.NoError(t, err)
			requireSame(t, req, root, s)
		})
	}
}

// openedFS notes the files that are opened.
type openedFS struct {
	fs.FS
	mu    sync.Mutex
	names map[string]bool
}

func (o *openedFS) Open(name string) (fs.File, error) {
	o.mu.Lock()
	o.names[path.Base(name)] = true
	o.mu.Unlock()
	return o.FS.Open(name)
}

// Files of tests are read where they are compiled: those of the packages that "go test" names.
func TestTestsAreRead(t *testing.T) {
	tree := fstest.MapFS{
		"go.mod":          {Data: []byte("module example.com/m\n")},
		"a.go":            {Data: []byte("package m\n\nimport _ \"example.com/m/lib\"\n")},
		"a_test.go":       {Data: []byte("package m_test\n\nimport _ \"example.com/other\"\n")},
		"lib/lib.go":      {Data: []byte("package lib\n")},
		"lib/lib_test.go": {Data: []byte("package lib\n\nimport _ \"example.com/third\"\n")},
	}
	for tests, imports := range map[bool][]string{false: nil, true: {"example.com/other", "os", "reflect", "testing", "testing/internal/testdeps"}} {
		opened := &openedFS{FS: tree, names: map[string]bool{}}
		s, err := Of(Request{Tree: opened, Module: moduleOf(t, tree, ".", true), Tests: tests, GOOS: "linux", GOARCH: "amd64", Version: "go1.26.0"})
		require.NoError(t, err)
		require.Equal(t, imports, s.Imports)
		require.Equal(t, tests, opened.names["a_test.go"])
		require.False(t, opened.names["lib_test.go"])
		require.True(t, opened.names["lib.go"])
	}
}

// Any tree gives a slice or an error, and what is in it is there.
func FuzzOf(f *testing.F) {
	f.Add("module example.com/m\n\ngo 1.26\n", "package main\n\nimport _ \"example.com/m/lib\"\n\nfunc main() {}\n", "package lib\n\nimport _ \"embed\"\n\n//go:embed *.txt\nvar s string\n", "./...")
	f.Add("module example.com/m\nreplace a.example => ./lib\n", "//go:build linux && go1.9\n\npackage main\n", "package lib\nimport \"C\"\n", "a.example/...")
	f.Add("module m.example\n", "package main\nimport (\"../x\"; \"m.example/lib/../..\"; \"m.example//lib\")", "", "..")
	f.Fuzz(func(t *testing.T, gomod, main, lib, pattern string) {
		tree := fstest.MapFS{"go.mod": {Data: []byte(gomod)}, "main.go": {Data: []byte(main)}, "lib/lib.go": {Data: []byte(lib)}, "lib/a.txt": {}}
		m, err := gotree.Tree{FS: tree}.Module(".", true)
		if err != nil {
			return
		}
		s, err := Of(Request{Tree: tree, Module: m, Patterns: []string{pattern}, Tests: true, GOOS: "linux", GOARCH: "amd64", Version: "go1.26.0"})
		if err != nil {
			return
		}
		for _, name := range s.Files {
			require.Contains(t, tree, name)
		}
		for _, glob := range s.Globs {
			require.True(t, fs.ValidPath(glob), "%q", glob)
		}
	})
}
