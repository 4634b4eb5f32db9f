package bundle

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/stretchr/testify/require"
)

// folder makes a folder of files of their names and texts, by turns.
func folder(texts ...string) fs.FS {
	files := fstest.MapFS{}
	for i := 0; i < len(texts); i += 2 {
		files[texts[i]] = &fstest.MapFile{Data: []byte(texts[i+1])}
	}
	return files
}

// lib is the tool m0.example/lib of a stock.
func lib(version string) Tool {
	return Tool{
		Name: "lib", Package: "m0.example/lib", Version: version,
		GoMod: []byte("module larder/tool\n\nrequire m0.example/lib " + version + "\n"), GoSum: []byte("m0.example/lib " + version + " h1:x=\n"),
	}
}

func TestMergeFilesAndTools(t *testing.T) {
	s := newStock(t, 2)
	stocked := func(files fs.FS, tools ...Tool) *Bundle {
		req := s.request()
		req.Folders, req.Tools = map[string]fs.FS{FilesName: files}, tools
		return s.create(t.TempDir(), req)
	}
	a := stocked(folder("a.txt", "a", "c.txt", "c", "in/x.txt", "x"), lib("v1.0.0"))
	b := stocked(folder("b.txt", "b", "c.txt", "c", "in/y.txt", "y"), lib("v1.0.0"))
	all, err := Merge(t.Context(), filepath.Join(t.TempDir(), "all"), []*Bundle{a, b}, nil, SumDB{}, nil)
	require.NoError(t, err)
	got, err := all.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 5, got.Files)
	view, err := all.View(t.Context(), FilesName)
	require.NoError(t, err)
	defer view.Close()
	require.Equal(t, []string{"a.txt", "b.txt", "c.txt", "in/x.txt", "in/y.txt"}, view.Names())
	tools, err := all.Tools(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Tool{lib("v1.0.0")}, tools)

	for _, tt := range []struct {
		other *Bundle
		want  string
	}{
		{stocked(folder("c.txt", "other")), "the bundles disagree: file c.txt is sha256:"},
		{stocked(folder("a.txt/x", "x")), `"a.txt" is a file and a folder`},
		{stocked(folder("a.txt", "a"), lib("v1.1.0")), "the bundles disagree: the tool lib is m0.example/lib@v1.0.0 in " + a.Dir() + " and m0.example/lib@v1.1.0 in "},
	} {
		dir := filepath.Join(t.TempDir(), "all")
		_, err := Merge(t.Context(), dir, []*Bundle{a, tt.other}, nil, SumDB{}, nil)
		require.ErrorContains(t, err, tt.want)
		require.ErrorContains(t, err, tt.other.Dir())
		require.NoDirExists(t, dir)
	}
}

// A tool of the trees takes the place of the one that the bundle has by that name, and its modules go.
func TestPruneTools(t *testing.T) {
	s := newStock(t, 3)
	tool := lib("v1.0.0")
	old := tool
	tool.GoSum, old.GoSum = s.moduleSums(0), s.moduleSums(0, 1)
	kept := Tool{Name: "kept", Package: "m2.example/lib/kept", Version: "v1.0.0", GoMod: []byte("module tools\n\nrequire m2.example/lib v1.0.0\n"), GoSum: s.moduleSums(2)}
	req := s.request()
	req.Tools = []Tool{old, kept}
	b := s.create(t.TempDir(), req)
	pruned, err := Prune(t.Context(), b, Request{Tools: []Tool{tool}})
	require.NoError(t, err)
	tools, err := pruned.Tools(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []Tool{tool, kept}, tools)
	items, err := pruned.Items(t.Context())
	require.NoError(t, err)
	var modules []string
	for _, i := range items {
		if i.Kind == KindModule {
			modules = append(modules, i.Name)
		}
	}
	require.Equal(t, []string{"m0.example/lib", "m2.example/lib"}, modules)
}

// moduleSums returns what go.sum has of some of the stock's modules.
func (s *stock) moduleSums(numbers ...int) (text []byte) {
	for line := range strings.Lines(s.sums) {
		for _, n := range numbers {
			if strings.HasPrefix(line, fmt.Sprintf("m%d.example/lib ", n)) {
				text = append(text, line...)
			}
		}
	}
	return text
}

func TestMergeOfToolchainsThatDisagree(t *testing.T) {
	s := newStock(t, 1)
	c := collector{req: &Request{}, from: map[string]source{}}
	b := s.create(t.TempDir(), s.request())
	item := Item{Kind: KindToolchain, Name: gomod.ToolchainPath, Version: "go1.99.0", Platform: "linux/amd64", H1: "h1:a="}
	require.NoError(t, c.item(b, ToolchainName, item))
	item.H1 = "h1:b="
	require.ErrorContains(t, c.item(b, ToolchainName, item), "the bundles disagree: toolchain golang.org/toolchain@go1.99.0 for linux/amd64 is h1:a= in "+b.Dir()+" and h1:b= in ")
}
