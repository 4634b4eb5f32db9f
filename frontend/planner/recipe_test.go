package planner

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// What was compiled before the build is taken where the recipe is the same, and for the platforms of the recipe alone.
func TestReady(t *testing.T) {
	const amd64, arm64 = "linux/amd64", "linux/arm64"
	files := fstest.MapFS{
		"Dockerfile": {Data: []byte("FROM go\nGO test ./...\nGO build -trimpath .\n")},
		"go.mod":     {Data: []byte("module example.com/app\n\ngo 1.26\n")},
		"main.go":    {Data: []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }\n")},
	}
	const head = "platforms: " + amd64 + "," + arm64 + "\n"
	plan := func(files fstest.MapFS, contexts ...string) *Plan {
		req := requestOf(t, head, files)
		for _, name := range contexts {
			req.Contexts[name] = true
		}
		p, err := New(req)
		require.NoError(t, err)
		return p
	}
	recipes, err := plan(files).Recipes()
	require.NoError(t, err)
	require.Len(t, recipes, 3, "tests run on the builder's platform")
	byPlatform := map[string]string{}
	for _, r := range recipes {
		if len(r.Flags) > 0 {
			byPlatform[r.Platform] = ReadyContext(r.Key())
		}
	}
	require.Len(t, byPlatform, 2)

	p := plan(files, byPlatform[arm64])
	require.Empty(t, p.Deps[0].Ready)
	require.Equal(t, []Ready{{arm64, byPlatform[arm64]}}, p.Deps[1].Ready)
	require.Equal(t, byPlatform[arm64], p.Deps[1].ReadyFor(arm64))
	require.Empty(t, p.Deps[1].ReadyFor(amd64))
	var text bytes.Buffer
	require.NoError(t, p.WriteText(&text))
	require.Contains(t, text.String(), "take what is compiled for line 3 from the named context "+byPlatform[arm64]+", for linux/arm64 (no network)")
	require.Contains(t, text.String(), "compile what is imported of the standard library, for line 3")

	p = plan(files, byPlatform[arm64], byPlatform[amd64])
	require.Len(t, p.Deps[1].Ready, 2)
	for _, s := range p.Steps {
		require.NotEqual(t, "compile what is imported of the standard library, for line 3", s.Name)
	}

	// Another toolchain, other imports, flags, modules or platforms: what is compiled doesn't fit.
	for what, change := range map[string]map[string]string{
		"toolchain": {"Dockerfile": "FROM go:1.26.8\nGO build -trimpath .\n"},
		"flags":     {"Dockerfile": "FROM go\nGO build .\n"},
		"setting":   {"Dockerfile": "FROM go\nENV GOEXPERIMENT=jsonv2\nGO build -trimpath .\n"},
		"imports":   {"main.go": "package main\n\nimport _ \"os\"\n\nfunc main() {}\n"},
		"go.mod":    {"go.mod": "module example.com/app\n\ngo 1.26.1\n"},
		"profile":   {"default.pgo": ""},
	} {
		other := maps.Clone(files)
		for name, text := range change {
			other[name] = &fstest.MapFile{Data: []byte(text)}
		}
		for _, d := range plan(other, byPlatform[arm64], byPlatform[amd64]).Deps {
			require.Empty(t, d.Ready, what)
		}
	}
}

// A line that compiles beside packages which are compiled already has modules of its own, of which what these were compiled of
// is unpacked. A line that runs code has all.
func TestModulesOfReady(t *testing.T) {
	const platform = "linux/amd64"
	sum := " h1:" + strings.Repeat("A", 43) + "="
	files := fstest.MapFS{
		"Dockerfile": {Data: []byte("FROM go\nGO test ./...\nGO build .\n")},
		"go.mod":     {Data: []byte("module example.com/app\n\ngo 1.26\n\nrequire a.example/a v1.0.0\n")},
		"go.sum":     {Data: []byte("a.example/a v1.0.0" + sum + "\na.example/a v1.0.0/go.mod" + sum + "\n")},
		"main.go":    {Data: []byte("package main\n\nimport _ \"a.example/a\"\n\nfunc main() {}\n")},
	}
	req := requestOf(t, "platforms: "+platform+"\n", files)
	p, err := New(req)
	require.NoError(t, err)
	recipes, err := p.Recipes()
	require.NoError(t, err)
	shared := "from=" + p.Modules[0].Context + ","
	require.Equal(t, 2, strings.Count(p.Dockerfile, shared))
	for _, r := range recipes {
		req.Contexts[ReadyContext(r.Key())] = true
	}
	p, err = New(req)
	require.NoError(t, err)
	lines := strings.Split(p.Dockerfile, "\n")
	require.Contains(t, lines[1], shared)
	require.NotContains(t, lines[2], shared)
	require.Contains(t, lines[2], "from="+ContextPrefix+"modules-of-deps-3,target=/go/pkg/mod")
	require.Equal(t, ContextPrefix+"modules-of-deps-3", p.Deps[1].ModulesContext())
}

// A profile, or frozen cryptography, changes what is compiled of the standard library: there is no recipe.
func TestNoRecipe(t *testing.T) {
	files := fstest.MapFS{
		"Dockerfile":  {Data: []byte("FROM go\nGO build .\n")},
		"go.mod":      {Data: []byte("module example.com/app\n\ngo 1.26\n")},
		"main.go":     {Data: []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }\n")},
		"default.pgo": {},
	}
	p, err := New(requestOf(t, "", files))
	require.NoError(t, err)
	recipes, err := p.Recipes()
	require.NoError(t, err)
	require.Empty(t, recipes)

	delete(files, "default.pgo")
	files["Dockerfile"].Data = []byte("FROM go\nENV GOFIPS140=v1.0.0\nGO build .\n")
	p, err = New(requestOf(t, "", files))
	require.NoError(t, err)
	require.NotEmpty(t, p.Deps)
	recipes, err = p.Recipes()
	require.NoError(t, err)
	require.Empty(t, recipes)
}
