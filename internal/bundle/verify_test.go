package bundle

import (
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// database is one of the stock's modules and toolchains.
func (s *stock) database() SumDB {
	db := newDatabase(s)
	return SumDB{Key: db.key, Remote: db}
}

// toolchain adds a toolchain that Larder has no pin of.
func (s *stock) toolchain(version string) Toolchain {
	t := Toolchain{Toolchain: gotoolchain.Toolchain{Version: version}, Platform: "linux/amd64"}
	m := testkit.Module{Path: gomod.ToolchainPath, Version: t.ModuleVersion("linux", "amd64"), Files: map[string]string{"bin/go": "#!/bin/sh\n", "bin/gofmt": "", "pkg/tool/linux_amd64/link": "", "lib/time/README": ""}}
	lines := m.Write(s.t, s.dir)
	s.sums += lines
	t.H1 = strings.Fields(lines)[2]
	return t
}

// A toolchain for which nobody vouches is an error; of modules it is told how many there are.
func TestVerifyOfToolchains(t *testing.T) {
	s := newStock(t, 2)
	req := s.request()
	req.Toolchains = []Toolchain{s.toolchain("go1.99.0")}
	const id = "toolchain golang.org/toolchain@go1.99.0 for linux/amd64: nothing shows that it is what Go's makers published"
	without := s.create(t.TempDir(), req)
	db := s.database()
	req.SumDB = db
	with := s.create(t.TempDir(), req)
	req.SumDB.Unlisted = func(path string) bool { return path == "m1.example/lib" }
	some := s.create(t.TempDir(), req)

	for name, tt := range map[string]struct {
		b               *Bundle
		sums            gomod.Set
		key, want       string
		sumdb, unproved int
	}{
		"nothing":         {b: without, key: db.Key, want: "make it without --no-sumdb"},
		"GOSUMDB=off":     {b: with, want: "GOSUMDB=off: set it to"},
		"database":        {b: with, key: db.Key, sumdb: 5},
		"private modules": {b: some, key: db.Key, sumdb: 3, unproved: 2},
		"go.sum":          {b: without, sums: s.set()},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tt.b.Verify(t.Context(), tt.sums, tt.key, nil)
			if tt.want != "" {
				require.ErrorContains(t, err, id)
				require.ErrorContains(t, err, tt.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, []int{1, tt.sumdb, tt.unproved}, []int{got.Toolchains, got.SumDB, got.Unproved})
		})
	}

	s.sums = strings.Replace(s.sums, req.Toolchains[0].H1, "h1:"+strings.Repeat("A", 43)+"=", 1)
	_, err := without.Verify(t.Context(), s.set(), "", nil)
	require.ErrorContains(t, err, "toolchain golang.org/toolchain@go1.99.0 for linux/amd64: golang.org/toolchain/@v/v0.0.1-go1.99.0.linux-amd64.zip has h1:")
}

func TestVerifyOfTools(t *testing.T) {
	s := newStock(t, 1)
	req := s.request()
	req.Tools = []Tool{lib("v1.0.0")}
	dir := s.create(t.TempDir(), req).Dir()
	got, err := mustOpen(t, dir).Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 1, got.Tools)

	with := func(change func(*Tool)) []file {
		tool := lib("v1.0.0")
		change(&tool)
		return tool.files()
	}
	good := with(func(*Tool) {})
	for name, tt := range map[string]struct {
		files []file
		want  string
	}{
		"go.sum":    {with(func(t *Tool) { t.GoSum = append(t.GoSum, '\n') }), "tool m0.example/lib@v1.0.0: its go.sum has "},
		"version":   {lib("v1.1.0").files(), "its files are of m0.example/lib@v1.1.0"},
		"package":   {with(func(t *Tool) { t.Package = "m0.example/other" }), "its files are of m0.example/other@"},
		"more":      {append(with(func(*Tool) {}), memoryFile("lib/main.go", nil)), "the image tools has the file lib/main.go, which the manifest doesn't list"},
		"no go.mod": {good[1:], "tool m0.example/lib@v1.0.0: open lib/go.mod: file does not exist"},
		"elsewhere": {with(func(t *Tool) { t.Name = "ls" }), "the image tools has the file ls/go.mod, which the manifest doesn't list"},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustOpen(t, dir)
			layer, err := b.addLayer(t.Context(), tt.files)
			require.NoError(t, err)
			require.NoError(t, b.addImage(t.Context(), ToolsName, []ocispec.Descriptor{layer}))
			_, err = b.Verify(t.Context(), s.set(), "", nil)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestToolsOfOneName(t *testing.T) {
	s := newStock(t, 1)
	req := s.request()
	req.Tools = []Tool{lib("v1.0.0"), lib("v1.1.0")}
	_, err := s.maker().Create(t.Context(), t.TempDir(), req)
	require.ErrorContains(t, err, "the tools m0.example/lib@v1.0.0 and m0.example/lib@v1.1.0 are both called lib")
}

// The version of a tool is that of the module that it is in, which others may lie above.
func TestToolVersion(t *testing.T) {
	s := newStock(t, 1)
	req := s.request()
	req.Tools = []Tool{{
		Name: "ls", Package: "a.example/tools/ls/v2", Version: "v2.3.0",
		GoMod: []byte("module tools\n\nrequire a.example/tools/ls/v2 v2.3.0\n\nrequire a.example/tools v1.0.0\n"),
	}}
	b := s.create(t.TempDir(), req)
	tools, err := b.Tools(t.Context())
	require.NoError(t, err)
	require.Equal(t, "v2.3.0", tools[0].Version)
	_, err = b.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
}
