package planpage

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestPage writes the page of each archive of testdata, whose comment holds "key: value" settings and whose files are the
// build context. The page is in a file beside it.
func TestPage(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			got := write(t, pageOf(t, name))
			checkPage(t, got)
			golden := strings.TrimSuffix(name, "txtar") + "html"
			if *update {
				require.NoError(t, os.WriteFile(golden, got, 0o666))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(string(want), string(got)), "run 'go test ./frontend/planpage -update' if that is right")
		})
	}
}

func pageOf(t *testing.T, name string) Page {
	a, err := txtar.ParseFile(name)
	require.NoError(t, err)
	tree := fstest.MapFS{}
	for _, f := range a.Files {
		tree[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	req := planner.Request{Platforms: []string{"linux/amd64"}, BuildArgs: map[string]string{}}
	var contexts []string
	for line := range strings.Lines(string(a.Comment)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "target":
			req.Target = value
		case "platforms":
			req.Platforms = strings.Split(value, ",")
		case "arg":
			name, value, _ := strings.Cut(value, "=")
			req.BuildArgs[name] = value
		case "context":
			contexts = append(contexts, value)
		default:
			t.Fatalf("unknown setting %q", key)
		}
	}
	return newPage(t, req, tree, contexts...)
}

// newPage plans a build of a tree. The page knows nothing of b.example/unknown.
func newPage(t testing.TB, req planner.Request, tree fstest.MapFS, contexts ...string) Page {
	req.File = planner.ForTarget(dockerfile.Parse("Dockerfile", tree["Dockerfile"].Data), req.Target)
	req.Tree, req.BuildPlatform, req.Contexts = tree, "linux/amd64", map[string]bool{}
	for _, name := range contexts {
		req.Contexts[name] = true
	}
	req.Folder = func(string) (fs.FS, error) { return fstest.MapFS{}, nil }
	plan, err := planner.New(req)
	require.NoError(t, err)
	p := Page{
		File: req.File, Plan: plan, Target: req.Target, Contexts: contexts, BuildArgs: req.BuildArgs,
		Now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), FactsFrom: "this machine's module cache",
		Facts: map[module.Version]Fact{
			{Path: "a.example/log", Version: "v1.2.0"}: {Size: 1234567, Time: time.Date(2023, 2, 3, 0, 0, 0, 0, time.UTC), Licenses: []string{"Apache-2.0", "MIT"}},
		},
	}
	for name := range tree {
		p.Files = append(p.Files, name)
	}
	slices.Sort(p.Files)
	return p
}

func write(t testing.TB, p Page) []byte {
	data, err := Write(p)
	require.NoError(t, err)
	again, err := Write(p)
	require.NoError(t, err)
	require.Equal(t, string(data), string(again), "the same page gives the same bytes")
	return data
}

// What isn't known of modules isn't told: there is no column for it, and no zero.
func TestUnknown(t *testing.T) {
	p := pageOf(t, "testdata/existing.txtar")
	p.Facts, p.FactsFrom = nil, ""
	page := string(write(t, p))
	require.Contains(t, page, "a.example/log")
	for _, text := range []string{"Licence</th>", "Released", "Size</th>", "1.2 MB", "MIT", "oldest", "0 B", "0001-01-01"} {
		require.NotContains(t, page, text)
	}
	p.Facts = map[module.Version]Fact{{Path: "a.example/log", Version: "v1.2.0"}: {Licenses: []string{"MIT"}}}
	p.FactsFrom = "the bundle"
	page = string(write(t, p))
	require.Contains(t, page, "Licence</th>")
	require.NotContains(t, page, "Released")
	require.NotContains(t, page, "Size</th>")
}

// A plan that nothing is known of, and files that no plan is made of, have a page, too.
func TestOddPlans(t *testing.T) {
	for name, p := range map[string]Page{
		"nothing":          {Plan: &planner.Plan{}},
		"another frontend": {Plan: planner.Untouched("Dockerfile", []byte("FROM x\nRUN y\n"), "docker/dockerfile:1", nil, ""), File: dockerfile.Parse("Dockerfile", []byte("FROM x\nRUN y\n"))},
		"a broken file":    {Plan: &planner.Plan{Level: 2, Dockerfile: "FROM\nRUN"}, File: dockerfile.Parse("Dockerfile", []byte("FROM\nRUN"))},
		"no such target":   {Plan: &planner.Plan{Level: 2, Dockerfile: "FROM x\n"}, File: dockerfile.Parse("Dockerfile", []byte("FROM x\n")), Target: "none"},
		"stages in a ring": {Plan: &planner.Plan{Level: 2, Dockerfile: "FROM b AS a\nFROM a AS b\nCOPY --from=b / /\n"}, File: dockerfile.Parse("Dockerfile", []byte("FROM b AS a\nFROM a AS b\nCOPY --from=b / /\n"))},
	} {
		t.Run(name, func(t *testing.T) { checkPage(t, write(t, p)) })
	}
}
