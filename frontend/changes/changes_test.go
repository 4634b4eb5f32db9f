package changes

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/commit"
	"github.com/stretchr/testify/require"
)

const sum = " h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"

// monorepo has two programs, api and web, which share store; web embeds a folder.
var monorepo = map[string]string{
	"Dockerfile": `# syntax=larder:1
FROM go AS build
GO build -o /out/api ./cmd/api
FROM go AS web-build
ENV A=1
GO build -o /out/web ./cmd/web
FROM scratch AS api
COPY --from=build /out/api /
FROM scratch AS web
COPY static /static
COPY --from=web-build /out/web /
FROM golang:1.26 AS other
RUN --mount=type=bind,source=tools,target=/t go build ./...
COPY conf/*.json README.md /
`,
	"go.mod":              "module example.com/m\n\ngo 1.26.3\n\nrequire (\n\ta.example/x v1.0.0\n\tb.example/y v1.0.0\n)\n",
	"go.sum":              "a.example/x v1.0.0" + sum + "b.example/y v1.0.0" + sum,
	"cmd/api/main.go":     "package main\n\nimport _ \"example.com/m/store\"\n\nfunc main() {}\n",
	"cmd/web/main.go":     "package main\n\nimport (\n\t_ \"embed\"\n\t_ \"example.com/m/store\"\n\t_ \"example.com/m/page\"\n)\n\n//go:embed html\nvar html string\n\nfunc main() {}\n",
	"cmd/web/html/a.html": "a",
	"store/store.go":      "package store\n",
	"store/store_test.go": "package store\n",
	"page/page.go":        "package page\n",
	"static/app.js":       "1",
	"conf/a.json":         "{}",
	"conf/a.yaml":         "a",
	"README.md":           "hello",
	"tools/t.sh":          "true",
}

func tree(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range files {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func side(t *testing.T, files map[string]string, target string) Side {
	file := dockerfile.Parse("Dockerfile", []byte(files["Dockerfile"]))
	if files["Dockerfile"] == "" {
		file = dockerfile.Parse("Dockerfile", []byte("# syntax=larder:1\n"))
	}
	plan, err := planner.New(planner.Request{
		File: file, Tree: tree(files), Target: target, Platforms: []string{"linux/amd64"}, BuildPlatform: "linux/amd64", BuildArgs: map[string]string{},
		Contexts: map[string]bool{"c.example/lib": true},
		Folder: func(string) (fs.FS, error) {
			return tree(map[string]string{"go.mod": "module c.example/lib\n", "lib.go": "package lib\n"}), nil
		},
		Commit: func() (commit.Commit, bool, error) {
			return commit.Commit{Revision: strings.Repeat("a", 40)}, true, nil
		},
	})
	require.NoError(t, err)
	return Side{file, plan, target}
}

// An edit changes files, or removes those whose text is "-".
func compareFiles(t *testing.T, before map[string]string, target string, edit map[string]string) string {
	after := maps.Clone(before)
	for name, text := range edit {
		if after[name] = text; text == "-" {
			delete(after, name)
		}
	}
	var changed []string
	for name := range maps.Keys(tree(after)) {
		if before[name] != after[name] {
			changed = append(changed, name)
		}
	}
	for name := range before {
		if _, there := after[name]; !there {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	var b strings.Builder
	for _, c := range Of(side(t, before, target), side(t, after, target), changed) {
		fmt.Fprintf(&b, "%d %s: %s\n", c.Line, c.Step, strings.Join(c.Why, ", "))
	}
	return b.String()
}

func TestEdits(t *testing.T) {
	replace := func(name, old, new string) map[string]string {
		require.Contains(t, monorepo[name], old)
		return map[string]string{name: strings.Replace(monorepo[name], old, new, 1)}
	}
	const api, web = "3 GO build -o /out/api ./cmd/api: ", "6 GO build -o /out/web ./cmd/web: "
	for name, tt := range map[string]struct {
		edit              map[string]string
		api, web, another string
	}{
		"nothing":                {nil, "", "", ""},
		"a program":              {map[string]string{"cmd/api/main.go": monorepo["cmd/api/main.go"] + "//\n"}, api + "cmd/api/main.go\n", "", ""},
		"a shared package":       {map[string]string{"store/store.go": "package store\n//\n"}, api + "store/store.go\n", web + "store/store.go\n", ""},
		"a file comes":           {map[string]string{"store/more.go": "package store\n"}, api + "store/more.go\n", web + "store/more.go\n", ""},
		"a file goes":            {map[string]string{"page/page.go": "-", "page/new.go": "package page\n"}, "", web + "page/new.go, page/page.go\n", ""},
		"a test":                 {map[string]string{"store/store_test.go": "package store\n//\n"}, "", "", ""},
		"what is embedded":       {map[string]string{"cmd/web/html/b.html": "b"}, "", web + "cmd/web/html/b.html\n", ""},
		"an import":              {map[string]string{"cmd/api/main.go": "package main\n\nimport _ \"example.com/m/page\"\n\nfunc main() {}\n"}, api + "cmd/api/main.go\n", "", ""},
		"what is copied":         {map[string]string{"static/deep/x.js": "x", "conf/b.json": "b", "conf/b.yaml": "b"}, "", "10 COPY static /static: static/deep/x.js\n", "14 COPY conf/*.json README.md /: conf/b.json\n"},
		"what is mounted":        {map[string]string{"tools/u.sh": "u"}, "", "", "13 RUN --mount=type=bind,source=tools,target=/t go build ./...: tools/u.sh\n"},
		"a line comes":           {replace("Dockerfile", "ENV A=1\n", "ENV A=1\nENV B=2\n"), "", "6 ENV B=2: the line is new\n", ""},
		"a flag":                 {replace("Dockerfile", "-o /out/api", "-o /out/api -race=false"), "3 GO build -o /out/api -race=false ./cmd/api: flag -race=false is new\n", "", ""},
		"a setting":              {replace("Dockerfile", "ENV A=1", "ENV A=2"), "", "5 ENV A=2: it was ENV A=1\n", ""},
		"a line goes":            {replace("Dockerfile", "ENV A=1\n", ""), "", "4 FROM go AS web-build: there is no more line ENV A=1\n", ""},
		"lines move":             {replace("Dockerfile", "FROM go AS build", "FROM scratch AS unused\nCOPY none /\nFROM go AS build"), "", "", ""},
		"lines swap":             {replace("Dockerfile", "COPY static /static\nCOPY --from=web-build /out/web /\n", "COPY --from=web-build /out/web /\nCOPY static /static\n"), "", "11 COPY static /static: it stood further up\n", ""},
		"many folders":           {map[string]string{"static/deep/er/x.js": "x"}, "", "10 COPY static /static: static/deep/er/x.js\n", ""},
		"a base":                 {replace("Dockerfile", "FROM scratch AS web", "FROM static AS web"), "", "9 FROM static AS web: it was FROM scratch AS web\n", ""},
		"the head":               {replace("Dockerfile", "# syntax=larder:1\n", "# syntax=larder:1\n# check=skip=all\n"), "1 the head of the file: its directives, or ARGs before the first stage, differ\n", "1 the head of the file: its directives, or ARGs before the first stage, differ\n", "1 the head of the file: its directives, or ARGs before the first stage, differ\n"},
		"what nothing is of":     {map[string]string{"docs/a.md": "a", "LICENSE": "b"}, "", "", ""},
		"the module's other lib": {map[string]string{"unused/u.go": "package unused\n"}, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tt.api, compareFiles(t, monorepo, "api", tt.edit), "api")
			require.Equal(t, tt.web, compareFiles(t, monorepo, "web", tt.edit), "web")
			require.Equal(t, tt.another, compareFiles(t, monorepo, "", tt.edit), "the last stage")
		})
	}
}

func TestVersions(t *testing.T) {
	const line = "3 GO build -o /out/api ./cmd/api: "
	got := compareFiles(t, monorepo, "api", map[string]string{
		"go.mod": strings.Replace(monorepo["go.mod"], "b.example/y v1.0.0", "c.example/z v0.1.0", 1),
		"go.sum": "a.example/x v1.2.0" + sum + "c.example/z v0.1.0" + sum,
	})
	require.Equal(t, line+"go.mod, go.sum, a.example/x v1.2.0, was v1.0.0, c.example/z v0.1.0 is new, b.example/y v1.0.0 is gone\n", got)
	got = compareFiles(t, monorepo, "api", map[string]string{"go.mod": strings.Replace(monorepo["go.mod"], "go 1.26.3", "go 1.25\n\ntoolchain go1.25.1", 1)})
	require.Regexp(t, `^2 FROM go AS build: go1\.25\.\d+, was go1\.26\.\d+\n3 GO build`, got)
}

// What lines read is what makes them run again.
func TestReadings(t *testing.T) {
	files := slices.Concat(slices.Sorted(maps.Keys(monorepo)), []string{"page/none.txt", "static/deep/x.js"})
	read := func(files map[string]string, target string, names []string) string {
		var b strings.Builder
		for r := range Readings(side(t, files, target), names) {
			fmt.Fprintf(&b, "%d %s: %s\n", r.Line, r.Step, strings.Join(r.Files, " "))
		}
		return b.String()
	}
	require.Equal(t, "3 GO build -o /out/api ./cmd/api: cmd/api/main.go go.mod go.sum store/store.go\n", read(monorepo, "api", files))
	require.Equal(t, "6 GO build -o /out/web ./cmd/web: cmd/web/html/a.html cmd/web/main.go go.mod go.sum page/page.go store/store.go\n"+
		"10 COPY static /static: static/app.js static/deep/x.js\n", read(monorepo, "web", files))
	require.Equal(t, "13 RUN --mount=type=bind,source=tools,target=/t go build ./...: tools/t.sh\n14 COPY conf/*.json README.md /: README.md conf/a.json\n", read(monorepo, "", files))
	require.Empty(t, read(monorepo, "", nil))

	bare := maps.Clone(monorepo)
	delete(bare, "Dockerfile")
	require.Equal(t, "0 go build ./cmd/api: cmd/api/main.go go.mod go.sum store/store.go\n", read(bare, "api", files))

	// A line that is given the whole context, to stamp the commit, reads all of it but the repository's own files.
	stamped := maps.Clone(monorepo)
	stamped["Dockerfile"] = "FROM go\n# a variable of the platform keeps it from being known what is compiled\nGO build -buildvcs=true -tags=${TARGETOS} ./cmd/api\n"
	require.Equal(t, "3 GO build -buildvcs=true -tags=${TARGETOS} ./cmd/api: README.md static/app.js\n", read(stamped, "", []string{".git", ".git/HEAD", "README.md", "static/app.js"}))
}

// A module that is replaced by a folder outside of the build context is built in a tree that has both. What differs has its
// name in the build context.
func TestWide(t *testing.T) {
	files := maps.Clone(monorepo)
	files["go.mod"] += "\nrequire c.example/lib v1.0.0\n\nreplace c.example/lib => ../lib\n"
	require.Equal(t, "3 GO build -o /out/api ./cmd/api: store/store.go\n", compareFiles(t, files, "api", map[string]string{"store/store.go": "package store\n//\n", "README.md": "x"}))
}

// The targets that run tests are Larder's own, and no stages of the file.
func TestTestTarget(t *testing.T) {
	files := maps.Clone(monorepo)
	files["Dockerfile"] = "FROM go AS build\nGO build -o /out/web ./cmd/web\nFROM go AS tests\nGO test ./store\nFROM scratch\nCOPY --from=build /out /\n"
	edit := map[string]string{"store/store_test.go": "package store\n//\n", "page/page.go": "package page\n//\n"}
	require.Equal(t, "4 GO test ./store: store/store_test.go\n", compareFiles(t, files, planner.TestTarget, edit))
	require.Equal(t, "2 GO build -o /out/web ./cmd/web: page/page.go\n", compareFiles(t, files, "", edit))
}

// Without instructions, it is the program that is compared.
func TestPrograms(t *testing.T) {
	bare := maps.Clone(monorepo)
	delete(bare, "Dockerfile")
	require.Empty(t, compareFiles(t, bare, "web", map[string]string{"cmd/api/main.go": "package main\n\nfunc main() {}\n"}))
	require.Equal(t, "0 go build ./cmd/web: page/page.go\n", compareFiles(t, bare, "web", map[string]string{"page/page.go": "package page\n//\n"}))
	require.Equal(t, "0 go build ./cmd/new: the program is new\n", compareNew(t, bare, "new", map[string]string{"cmd/new/main.go": "package main\n\nfunc main() {}\n"}))
}

// compareNew compares a target that wasn't there before.
func compareNew(t *testing.T, before map[string]string, target string, edit map[string]string) string {
	after := maps.Clone(before)
	maps.Copy(after, edit)
	list := Of(side(t, before, "web"), side(t, after, target), slices.Sorted(maps.Keys(edit)))
	require.Len(t, list, 1)
	return fmt.Sprintf("%d %s: %s\n", list[0].Line, list[0].Step, strings.Join(list[0].Why, ", "))
}

func TestNames(t *testing.T) {
	for source, want := range map[string]bool{
		"static": true, "./static/": true, "/static/deep": true, "static/*": true, "static/**/*.js": true, "static/./deep/er": true, ".": true, "${X}": true,
		"stat": false, "static/*.js": false, "deep": false, "https://a.example/static": false,
	} {
		require.Equal(t, want, names(source)("static/deep/er/x.js"), source)
	}
}

func FuzzNames(f *testing.F) {
	for _, source := range []string{".", "/", "conf/*.json", "a/../b", "[", "$DIR/x", "**/x", "https://a.example/b", "./x/", "../x"} {
		f.Add(source, "conf/a.json")
	}
	f.Fuzz(func(t *testing.T, source, file string) {
		if fs.ValidPath(file) {
			names(source)(file)
		}
	})
}
