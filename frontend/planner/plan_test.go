package planner

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/commit"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestPlan runs each archive of testdata/plan: its comment holds "key: value" settings, its files are the build context
// with the Dockerfile, and its file WANT is the plan as people see it, or the error.
func TestPlan(t *testing.T) {
	archives, err := filepath.Glob("testdata/plan/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			require.NoError(t, err)
			want := ""
			tree := fstest.MapFS{}
			for _, f := range a.Files {
				if f.Name == "WANT" {
					want = string(f.Data)
				} else {
					tree[f.Name] = &fstest.MapFile{Data: f.Data}
				}
			}
			got := planText(requestOf(t, string(a.Comment), tree))
			if *update {
				writeWant(t, name, a, got)
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("plan differs (-want +got):\n%s\nrun 'go test -update' if that is right", diff)
			}
		})
	}
}

func planText(req Request) string {
	p, err := New(req)
	var at *parser.LocationError
	if errors.As(err, &at) {
		return "line " + strconv.Itoa(at.Locations[0][0].Start.Line) + ": " + err.Error() + "\n"
	} else if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	if err := p.WriteText(&b); err != nil {
		return err.Error()
	}
	return b.String()
}

func requestOf(t *testing.T, settings string, tree fs.FS) Request {
	req := Request{Platforms: []string{"linux/amd64"}, BuildPlatform: "linux/amd64", BuildArgs: map[string]string{}, Contexts: map[string]bool{}, Tree: tree}
	file := "Dockerfile"
	holds, empty := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(settings) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		switch key {
		case "target":
			req.Target = value
		case "platforms":
			req.Platforms = strings.Split(value, ",")
		case "arg":
			k, v, _ := strings.Cut(value, "=")
			req.BuildArgs[k] = v
		case "context":
			req.Contexts[value] = true
		case "travels":
			req.Travels = value == "true"
		case "empty context":
			req.Contexts[value], empty[value] = true, true
		case "toolchain in":
			req.Contexts[value], holds[value] = true, true
		case "revision":
			req.VCS = VCS{Source: "https://git.example/x", Revision: value, Version: "v1.2.3"}
		case "commit":
			facts := map[string]string{"revision": value, "modified": "true", "tags": "v1.2.3"}
			req.Commit = func() (commit.Commit, bool, error) {
				c, ok := commit.Parse(facts)
				return c, ok, nil
			}
		default:
			t.Fatalf("unknown setting %q", key)
		}
	}
	data, err := fs.ReadFile(tree, file)
	require.NoError(t, err)
	req.File = ForTarget(dockerfile.Parse(file, data), req.Target)
	req.Folder = func(name string) (fs.FS, error) {
		if empty[name] {
			return fstest.MapFS{}, nil
		}
		return fstest.MapFS{"go.mod": {Data: []byte("module example.com/lib\n")}, "lib.go": {Data: []byte("package lib\n\nimport \"os\"\n\nfunc Run() { os.Exit(0) }\n")}}, nil
	}
	req.Toolchains = func(context, version string) bool { return holds[context] }
	return req
}

func writeWant(t *testing.T, name string, a *txtar.Archive, got string) {
	for i := range a.Files {
		if a.Files[i].Name == "WANT" {
			a.Files[i].Data = []byte(got)
			require.NoError(t, os.WriteFile(name, txtar.Format(a), 0o666))
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: "WANT", Data: []byte(got)})
	require.NoError(t, os.WriteFile(name, txtar.Format(a), 0o666))
}
