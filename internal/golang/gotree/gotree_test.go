package gotree

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	dir := testkit.Tree(t, `
-- go.work --
-- go.mod --
module example.com/m
-- b/go.mod --
// No Go in here.
-- a/z/go.mod --
module example.com/z
-- a/go.mod --
nonsense
-- vendor/x.example/y/go.mod --
module x.example/y
-- testdata/go.mod --
module example.com/test
-- web/node_modules/x/go.mod --
module example.com/npm
-- _old/go.mod --
module example.com/old
-- .hidden/go.mod --
module example.com/hidden
-- folder/go.mod/file --
-- escaping/file --
`)
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "folder/go.work")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "escaping/go.mod")))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	found, err := Tree{FS: root.FS()}.Find(0)
	require.NoError(t, err)
	require.Equal(t, Folders{Modules: []string{".", "a", "a/z", "escaping"}, Blank: []string{"b"}, Works: []string{"."}}, found, "a link that leaves the tree is for who reads it to refuse")
	_, err = Tree{root.FS(), "src"}.Mod("escaping")
	require.ErrorContains(t, err, "reading src/escaping/go.mod: ")

	found, err = Tree{FS: root.FS()}.Find(6)
	var many *TooManyError
	require.ErrorAs(t, err, &many)
	require.NotEmpty(t, found.Modules, "what was found until then")
}

// A lockedFS has a folder that nobody may look into. Root may look into any on a disk.
type lockedFS struct{ fs.FS }

func (l lockedFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "locked" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return fs.ReadDir(l.FS, name)
}

func TestFindUnreadable(t *testing.T) {
	found, err := Tree{FS: lockedFS{fstest.MapFS{"locked/go.mod": {}, "z/go.mod": {Data: []byte("module example.com/z\n")}}}}.Find(0)
	require.NoError(t, err)
	require.Equal(t, Folders{Modules: []string{"z"}, Unreadable: []string{"locked"}}, found)
}

func files(texts ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for i := 0; i < len(texts); i += 2 {
		tree[texts[i]] = &fstest.MapFile{Data: []byte(texts[i+1])}
	}
	return tree
}

func TestModule(t *testing.T) {
	const sum = "a.example/b v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
	tree := Tree{files("go.work", "go 1.26\n\ntoolchain go1.26.1\n\nuse (\n\t./lib\n\t./app\n)\n\nreplace a.example/b => c.example/d v1.0.0\n", "go.work.sum", sum,
		"app/go.mod", "module example.com/app\n\ngo 1.25\n\nrequire a.example/b v1.0.0\n", "app/go.sum", strings.ReplaceAll(sum, "/b", "/z"),
		"lib/go.mod", "module example.com/lib\n", "lib/vendor/modules.txt", ""), "src"}
	m, err := tree.Module("app", false)
	require.NoError(t, err)
	require.Equal(t, []string{"app", "example.com/app", "go.work"}, []string{m.Dir, m.Path, m.Work})
	require.Equal(t, "app lib", m.Members[0].Dir+" "+m.Members[1].Dir, "the one that was asked for comes first")
	require.Len(t, m.Set.Zips(), 2)
	require.False(t, m.Vendored)
	require.Equal(t, "src/app/go.mod", m.Versions[0].Name)
	require.Equal(t, "go1.26.1", m.Versions[1].Toolchain)
	require.Equal(t, "c.example/d@v1.0.0", m.Replaces().Used(m.Members[0].Mod.Require[0].Mod).String())

	m, err = tree.Module(".", false)
	require.NoError(t, err)
	require.Equal(t, []string{".", "example.com/lib"}, []string{m.Dir, m.Path}, "of the first that go.work uses")
	m, err = tree.Module("app", true)
	require.NoError(t, err)
	require.Empty(t, m.Work)
	require.Len(t, m.Set.Zips(), 1)
	m, err = tree.Module("lib", true)
	require.NoError(t, err)
	require.True(t, m.Vendored)
	_, err = tree.Module(".", true)
	require.ErrorIs(t, err, ErrNoModule)
	_, err = tree.Module("none", true)
	require.ErrorIs(t, err, ErrNoModule)
}

func TestModuleErrors(t *testing.T) {
	const mod = "module example.com/m\n"
	for name, tt := range map[string]struct {
		tree fstest.MapFS
		want string
	}{
		"no module line":  {files("go.mod", "go 1.26\n"), "src/go.mod has no module line: add 'module PATH' as its first line"},
		"nonsense":        {files("go.mod", mod+"nonsense\n"), "src/go.mod:2: unknown directive: nonsense"},
		"a large go.mod":  {files("go.mod", mod+strings.Repeat(" ", maxFile)), "src/go.mod is larger than 16777216 bytes"},
		"a bad go.sum":    {files("go.mod", mod, "go.sum", "a b\n"), "src/go.sum:1: "},
		"use that is off": {files("go.work", "use ../x\n", "go.mod", mod), "src/go.work:1: use ../x is outside of the tree: name the folder that holds all modules"},
		"absolute use":    {files("go.work", "use /x\n", "go.mod", mod), "src/go.work:1: use /x is outside of the tree"},
		"use of nothing":  {files("go.work", "use ./x\n", "go.mod", mod), "src/go.work:1: use ./x: there is no x/go.mod: take the line out with 'go work edit -dropuse=./x', or add the module"},
		"use twice":       {files("go.work", "use ./x\n\nuse ./x/../x\n", "x/go.mod", mod), "src/go.work:3: use ./x/../x: line 1 uses that folder, too"},
		"an empty work":   {files("go.work", "go 1.26\n"), "src/go.work uses no module: add one with 'go work use DIR'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Tree{tt.tree, "src"}.Module(".", false)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestCheckSums(t *testing.T) {
	const mod = "module example.com/m\n\nrequire a.example/b v1.0.0\n"
	for name, tt := range map[string]struct {
		tree fstest.MapFS
		want string // what is required
	}{
		"none":                   {files("go.mod", mod), "a.example/b@v1.0.0"},
		"one":                    {files("go.mod", mod, "go.sum", ""), ""},
		"vendored":               {files("go.mod", mod, "vendor/modules.txt", ""), ""},
		"replaced by a folder":   {files("go.mod", mod+"replace a.example/b => ../b\n"), ""},
		"replaced by a module":   {files("go.mod", mod+"replace a.example/b => c.example/d v1.0.0\n"), "a.example/b@v1.0.0"},
		"that of the workspace":  {files("go.work", "use .\n", "go.work.sum", "", "go.mod", mod), ""},
		"one of the workspace's": {files("go.work", "use .\nuse ./b\n", "b/go.mod", "module a.example/b\n", "go.mod", mod), ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Tree{FS: tt.tree}.Module(".", false)
			require.NoError(t, err)
			var missing *MissingSumError
			if err = m.CheckSums(); tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorAs(t, err, &missing)
			require.Equal(t, MissingSumError{"go.mod", tt.want}, *missing)
		})
	}
}
