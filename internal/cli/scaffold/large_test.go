package scaffold

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// largeTree writes a tree of about 10,000 files: programs that share packages, with tests, test data, documents and files
// that are embedded.
func largeTree(tb testing.TB, packages, programs, other int) string {
	dir := tb.TempDir()
	write := func(name, text string) {
		name = filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(tb, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(tb, os.WriteFile(name, []byte(text), 0o644))
	}
	write("go.mod", "module example.com/large\n\ngo 1.26\n")
	body := strings.Repeat("\nfunc _() { println(\"some code, so that a file is of a usual size\") }\n", 60)
	for i := range packages {
		imports := "\t_ \"embed\"\n\t\"net/http\"\n"
		for _, j := range []int{2*i + 1, 2*i + 2, i + 7} {
			if j < packages {
				imports += fmt.Sprintf("\t_ \"example.com/large/pkg%d/p%d\"\n", j%20, j)
			}
		}
		p := fmt.Sprintf("pkg%d/p%d/", i%20, i)
		write(p+"a.go", fmt.Sprintf("package p%d\n\nimport (\n%s)\n\nvar _ = http.StatusOK\n%s", i, imports, body))
		for _, name := range []string{"b", "c", "d"} {
			write(p+name+".go", fmt.Sprintf("package p%d\n%s", i, body))
		}
		write(p+"a_test.go", fmt.Sprintf("package p%d\n%s", i, body))
		write(p+"testdata/a.txt", "")
		write(p+"asset.html", "")
		write(p+"embed.go", fmt.Sprintf("package p%d\n\nimport _ \"embed\"\n\n//go:embed asset.html\nvar asset string\n", i))
	}
	for i := range programs {
		write(fmt.Sprintf("cmd/c%d/main.go", i), fmt.Sprintf("package main\n\nimport (\n\t\"net/http\"\n\n\t_ \"example.com/large/pkg%d/p%d\"\n)\n\nfunc main() { http.ListenAndServe(\":%d\", nil) }\n", i%20, i, 8000+i))
	}
	for i := range other {
		write(fmt.Sprintf("docs/d%d/%d.md", i%100, i), "A document.\n")
	}
	return dir
}

func BenchmarkNew(b *testing.B) {
	root, err := os.OpenRoot(largeTree(b, 900, 60, 2800))
	require.NoError(b, err)
	defer root.Close()
	files := 0
	require.NoError(b, fs.WalkDir(root.FS(), ".", func(_ string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			files++
		}
		return err
	}))
	b.ReportMetric(float64(files), "files")
	for b.Loop() {
		_, err := New(root.FS(), Options{Name: "large"})
		require.NoError(b, err)
	}
}

// A countingFS counts how often files are opened and folders are listed.
type countingFS struct {
	fs.FS
	mu     sync.Mutex
	opened map[string]int
	listed map[string]int
}

func (c *countingFS) count(of map[string]int, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of[name]++
}

func (c *countingFS) Open(name string) (fs.File, error) {
	c.count(c.opened, name)
	return c.FS.Open(name)
}

func (c *countingFS) ReadFile(name string) ([]byte, error) {
	c.count(c.opened, name)
	return fs.ReadFile(c.FS, name)
}

func (c *countingFS) ReadDir(name string) ([]fs.DirEntry, error) {
	c.count(c.listed, name)
	return fs.ReadDir(c.FS, name)
}

// However many programs share a package, its files are read once, and so is each folder. What isn't a source is not read.
func TestReadsOnce(t *testing.T) {
	dir := largeTree(t, 60, 20, 40)
	files := &countingFS{FS: os.DirFS(dir), opened: map[string]int{}, listed: map[string]int{}}
	var told []string
	result, err := New(files, Options{Name: "large", Progress: func(text string) { told = append(told, text) }})
	require.NoError(t, err)
	require.Len(t, result.Programs, 20)
	require.NotEmpty(t, told)
	delete(files.opened, ".") // the root, to see that it is there
	for name, times := range files.opened {
		require.LessOrEqual(t, times, 1, name)
		require.NotEqual(t, ".md", filepath.Ext(name))
	}
	for name, times := range files.listed {
		require.LessOrEqual(t, times, 1, name)
	}
	require.Equal(t, 1, files.opened["pkg19/p19/b.go"])
}

// A deniedFS has folders that can't be read.
type deniedFS struct {
	fs.FS
	denied string
}

func (d deniedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == d.denied {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return fs.ReadDir(d.FS, name)
}

// What can't be read, or has nothing in it, is named and passed over.
func TestLeftOut(t *testing.T) {
	files := deniedFS{tree(program +
		"-- data/x.go --\npackage data\n" +
		"-- web/go.mod --\n// No Go in here.\n-- web/main.go --\npackage main\n\nfunc main() {}\n" +
		"-- template/go.mod --\nmodule {{.Module}}\n-- template/main.go --\npackage main\n\nfunc main() {}\n" +
		"-- .ko.yaml --\nbuilds:\n- id: app\n  main: .\n  flags: [-tags=a]\n- id: gone\n  main: ./cmd/gone\n- id: outside\n  dir: ../x\n"), "data"}
	result, err := New(files, Options{})
	require.NoError(t, err)
	require.Len(t, result.Programs, 1)
	require.Contains(t, result.Files[0].Text, "-tags=a")
	require.Equal(t, []string{
		"left out: data can't be read: permission denied",
		"web/go.mod says nothing: nothing is built of its folder",
		"left out: template/go.mod:1: usage: module module/path",
		".ko.yaml:6: left out: there is no main package in cmd/gone: builds[].dir and main name a folder of this tree",
		".ko.yaml:7: left out: there is no main package in ../x: builds[].dir and main name a folder of this tree",
	}, result.Notes)
}

// Most source files needn't be parsed for what they say of a program.
func TestWorthParsing(t *testing.T) {
	for text, want := range map[string]bool{
		"package x\n\nimport \"fmt\"\n":       false,
		"// Deported imports\nvar export = 1": false,
		"http.ListenAndServe(addr, nil)":      true,
		"addr := \":8080\"":                   true,
		"addr := `[::]:53`":                   true,
		"addr := \"0.0.0.0:1\"":               true,
		"fmt.Print(\":x\")":                   false,
		"var port = 1":                        true,
		"flag.Int(\"port\", 1, \"\")":         true,
		"PORT":                                true,
		"":                                    false,
	} {
		require.Equal(t, want, worthParsing([]byte(text)), text)
	}
}
