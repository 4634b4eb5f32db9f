package frontend_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// services is a tree of two services that share packages, and its Dockerfile.
func services(g *gateway) {
	main := func(text string) string {
		return "package main\n\nimport (\n\t\"fmt\"\n\n\t\"a.example/greet\"\n\n\t\"example.com/app/shared\"\n)\n\nfunc main() { fmt.Println(greet.Hello, shared.Name, \"" + text + "\") }\n"
	}
	g.add("services/go.mod", "module example.com/app\n\ngo 1.26\n\nrequire a.example/greet v1.2.0\n", "services/go.sum", read(g.t, g.context, "go.sum"),
		"services/cmd/one/main.go", main("one"), "services/cmd/two/main.go", main("two"), "services/shared/shared.go", "package shared\n\nconst Name = \"shared\"\n",
		"services/shared/shared_windows.go", "package shared\n", "services/shared/shared_test.go", "package shared\n\nimport \"testing\"\n\nfunc TestName(t *testing.T) {\n\tif Name == \"\" {\n\t\tt.Fatal()\n\t}\n}\n",
		"services/shared/odd name [1].go", "package shared\n",
		"services/README.md", "Two services.\n",
		"services/Dockerfile", "# syntax="+g.larder+`
FROM go AS test
GO test ./shared
FROM go AS one
GO build -o /out/one ./cmd/one
FROM go AS two
GO build -o /out/two ./cmd/two
FROM scratch
COPY --from=test /usr/local/go/VERSION /VERSION
COPY --from=one /out/one /usr/local/bin/app
COPY --from=two /out/two /usr/local/bin/two
`)
	g.context = filepath.Join(g.context, "services")
}

// The steps that compile what isn't the module's.
const (
	stepStd  = "compile the standard library's part of it"
	stepDeps = "compile what is imported from elsewhere"
)

// edits holds that an edit runs what compiles the file, and nothing else.
func edits(g *gateway) {
	services(g)
	std, deps := stepStd, stepDeps
	test, one, two := "GO test ./shared", "GO build -o /out/one ./cmd/one", "GO build -o /out/two ./cmd/two"
	root, log := g.export()
	require.ElementsMatch(g.t, []string{std, std, deps, test, one, two}, ran(log), "the services import the same, and compile it themselves; the test may not see what they compile")
	require.Equal(g.t, "hello shared one\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/app")))
	for _, edit := range []struct {
		name, file, from, to string
		want                 []string
	}{
		{"nothing", "README.md", "Two", "Two", nil},
		{"a README", "README.md", "Two", "More than one", nil},
		{"another platform's file", "shared/shared_windows.go", "package", "// Windows.\n\npackage", nil},
		{"the Dockerfile", "Dockerfile", "FROM scratch", "# Both.\nFROM scratch", nil},
		{"a test", "shared/shared_test.go", "t.Fatal()", "t.Fatal(\"none\")", []string{test}},
		{"one service", "cmd/one/main.go", "\"one\"", "\"1\"", []string{one}},
		{"an import", "cmd/one/main.go", "\"fmt\"", "\"fmt\"\n\t_ \"strings\"", []string{std, one}},
		{"what both share", "shared/shared.go", "\"shared\"", "\"common\"", []string{test, one, two}},
	} {
		g.t.Run(edit.name, func(t *testing.T) {
			sub := *g
			sub.t = t
			text := read(t, g.context, edit.file)
			require.Contains(t, text, edit.from)
			require.NoError(t, os.WriteFile(filepath.Join(g.context, edit.file), []byte(strings.Replace(text, edit.from, edit.to, 1)), 0o644))
			_, log := sub.export()
			require.ElementsMatch(t, edit.want, ran(log))
		})
	}
	g.runAll(g.t, []goTest{
		{"another builder", func(g *gateway) { elsewhere(g, one) }},
		{"a module", func(g *gateway) { requirement(g, []string{deps, test, one, two}) }},
		{"another proxy", otherProxy},
		{"whole", func(g *gateway) { whole(g, []string{test, one, two}) }},
	})
}

// whole holds that without slices, all is compiled anew, to the same binaries.
func whole(g *gateway, want []string) {
	sub := *g
	sub.context = filepath.Join(g.t.TempDir(), "whole")
	require.NoError(g.t, os.CopyFS(sub.context, os.DirFS(g.context)))
	sub.add("Dockerfile", strings.Replace(read(g.t, g.context, "Dockerfile"), "\n", "\n# larder:slice=off\n", 1))
	// One stage first: three would compile the same at the same time.
	first := sub.buildctl(sub.context, "--opt", "target=one", "--opt", "build-arg:GOPROXY="+g.proxy)
	whole, log := sub.export()
	require.ElementsMatch(g.t, want, append(ran(first), ran(log)...))
	root, _ := g.export()
	require.Equal(g.t, read(g.t, root, "usr/local/bin/app"), read(g.t, whole, "usr/local/bin/app"), "sliced and whole, the binaries differ")
}

// requirement holds that another module compiles nothing of the standard library anew.
func requirement(g *gateway, want []string) {
	sum := testkit.Module{Path: "b.example/more", Version: "v1.0.0", Files: map[string]string{"more.go": "package more\n"}}.Write(g.t, g.modules)
	mod, sums := read(g.t, g.context, "go.mod"), read(g.t, g.context, "go.sum")
	g.add("go.mod", mod+"\nrequire b.example/more v1.0.0\n", "go.sum", sums+sum)
	_, log := g.export()
	require.ElementsMatch(g.t, want, ran(log))
	g.add("go.mod", mod, "go.sum", sums)
}

// otherProxy holds that modules are taken anew where they come from another proxy, of those that were fetched already:
// nothing is fetched.
func otherProxy(g *gateway) {
	root, _ := g.export()
	other, log := g.export("--opt", "build-arg:GOPROXY="+strings.Replace(g.proxy, "127.0.0.1", "localhost", 1))
	require.NotEmpty(g.t, done(log, `\[modules[^\]]*\] fetch and .*`))
	require.Regexp(g.t, `unpacked 1 modules and 1 go\.mod files, 0\.0 MB, and took 2 files that were kept`, log)
	require.Equal(g.t, read(g.t, root, "usr/local/bin/app"), read(g.t, other, "usr/local/bin/app"))
}

// elsewhere builds on another builder, which has nothing but the first one's exported cache, after an edit.
func elsewhere(g *gateway, edited string) {
	cache := g.t.TempDir()
	root, _ := g.export()
	app := read(g.t, root, "usr/local/bin/app")
	root, log := g.export("--opt", "build-arg:LARDER_LAYERS=1", "--export-cache", "type=local,mode=max,compression=uncompressed,dest="+cache)
	require.ElementsMatch(g.t, []string{stepDeps, stepDeps, stepDeps, "GO test ./shared", "GO build -o /out/one ./cmd/one", "GO build -o /out/two ./cmd/two"}, ran(log), "what travels is made when it is asked for")
	require.Equal(g.t, app, read(g.t, root, "usr/local/bin/app"), "a program is the same whatever it was compiled with")
	main := read(g.t, g.context, "cmd/one/main.go")
	g.add("cmd/one/main.go", main+"\n// Edited.\n")
	sub := *g
	sub.addr = testkit.Buildkitd(g.t, nil)
	root, log = sub.export("--import-cache", "type=local,src="+cache)
	require.Equal(g.t, []string{edited}, ran(log), "packages of other modules are compiled, and modules are fetched, once for all builders")
	require.Empty(g.t, done(log, `\[modules[^\]]*\] (fetch|check) .*`))
	require.Equal(g.t, "hello common 1\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/app")))
	require.Equal(g.t, g.digest(), sub.digest("--import-cache", "type=local,src="+cache), "the image differs by where it was built")
	dependency(g, cache)
}

// dependency adds a module, and builds on another builder that has the cache of a build without it: the module is all that is
// compiled of what is imported.
func dependency(g *gateway, cache string) {
	// Of the few modules and imports here this one has not the least hash: see gomod.Needs.Sample.
	sum := testkit.Module{Path: "c.example/late", Version: "v1.0.0", Files: map[string]string{"late.go": "package late\n\nconst Name = \"late\"\n"}}.Write(g.t, g.modules)
	mod, sums, main := read(g.t, g.context, "go.mod"), read(g.t, g.context, "go.sum"), read(g.t, g.context, "cmd/one/main.go")
	defer g.add("go.mod", mod, "go.sum", sums, "cmd/one/main.go", main)
	g.add("go.mod", mod+"\nrequire c.example/late v1.0.0\n", "go.sum", sums+sum,
		"cmd/one/main.go", strings.Replace(strings.Replace(main, "\"fmt\"", "\"fmt\"\n\t\"c.example/late\"", 1), "shared.Name, ", "shared.Name, late.Name, ", 1))
	sub := *g
	sub.addr = testkit.Buildkitd(g.t, nil)
	more := g.t.TempDir()
	root, log := sub.export("--import-cache", "type=local,src="+cache, "--export-cache", "type=local,mode=max,compression=uncompressed,dest="+more)
	require.Equal(g.t, "hello common late 1\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/app")))
	require.Empty(g.t, done(log, `\[deps\] list what is compiled first`))
	added := regexp.MustCompile(`added (\d+) entries`).FindAllStringSubmatch(log, -1)
	require.NotEmpty(g.t, added)
	for _, m := range added {
		n, _ := strconv.Atoi(m[1])
		require.LessOrEqual(g.t, n, 4, "more than one package has: it, what was printed, the index of its folder and the list of its files:\n%s", log)
	}
	require.Equal(g.t, g.digest(), sub.digest("--import-cache", "type=local,src="+cache), "the image differs by what its layers began with")
	sub.addr = testkit.Buildkitd(g.t, nil)
	_, log = sub.export("--import-cache", "type=local,src="+more)
	require.Empty(g.t, ran(log), "the layers that another build's begin with travel, too")
}

// digest builds an image, whose times are fixed, and returns its digest.
func (g *gateway) digest(args ...string) string {
	file := filepath.Join(g.t.TempDir(), "metadata.json")
	g.buildctl(g.context, append([]string{"--opt", "build-arg:GOPROXY=" + g.proxy, "--opt", "build-arg:SOURCE_DATE_EPOCH=0",
		"--output", "type=oci,rewrite-timestamp=true,dest=" + filepath.Join(g.t.TempDir(), "image.tar"), "--metadata-file", file}, args...)...)
	var metadata map[string]any
	require.NoError(g.t, json.Unmarshal([]byte(read(g.t, file)), &metadata))
	require.NotEmpty(g.t, metadata["containerimage.digest"])
	return metadata["containerimage.digest"].(string)
}

// shards holds that a new module, or a new version of one, is all that is fetched, and that no more is unpacked anew than the
// shard that it is in.
func shards(g *gateway) {
	const count = 24
	requires, sums, imports := "", "", ""
	add := func(i int, version string) (path, sum string) {
		path = fmt.Sprintf("m%d.example/lib", i)
		return path, testkit.Module{Path: path, Version: version, Files: map[string]string{"lib.go": "package lib\n"}}.Write(g.t, g.modules)
	}
	for i := range count {
		path, sum := add(i, "v1.0.0")
		requires, sums, imports = requires+"require "+path+" v1.0.0\n", sums+sum, imports+"import _ \""+path+"\"\n"
	}
	tree := *g
	tree.context = g.t.TempDir()
	build := func(requires, sums, imports string) (layers, fetched int) {
		tree.add("go.mod", "module example.com/app\n\ngo 1.26\n\n"+requires, "go.sum", sums, "main.go", "package main\n\n"+imports+"\nfunc main() {}\n")
		tree.file("FROM go AS build\nGO build -o /out/many .\nFROM scratch\nCOPY --from=build /out/many /many\n")
		_, log := tree.export()
		for _, m := range regexp.MustCompile(`checked and unpacked (\d+) modules and (\d+) go.mod files, \S+ MB(?:, and took (\d+) )?`).FindAllStringSubmatch(log, -1) {
			for i, sign := range []int{1, 1, -1} {
				n, _ := strconv.Atoi(m[i+1])
				fetched += sign * n
			}
		}
		return len(done(log, `\[modules \d/\d\] fetch and .*`)), fetched
	}
	layers, fetched := build(requires, sums, imports)
	require.Equal(g.t, []int{4, 2 * count}, []int{layers, fetched}, "the set is parted")

	path, sum := add(count, "v1.0.0")
	layers, fetched = build(requires+"require "+path+" v1.0.0\n", sums+sum, imports+"import _ \""+path+"\"\n")
	require.Equal(g.t, []int{1, 2}, []int{layers, fetched}, "a module is new")

	_, sum = add(3, "v1.1.0")
	layers, fetched = build(strings.Replace(requires, "m3.example/lib v1.0.0", "m3.example/lib v1.1.0", 1), sums+sum, imports)
	require.Equal(g.t, []int{1, 1}, []int{layers, fetched}, "a module has another version, with the go.mod file of the old one")
}

// ran returns the steps that compile and were run, not taken from the cache.
func ran(log string) []string { return done(log, `\[[^\]]*\] (GO .*|compile .*)`) }

// done returns the names, or their only submatches, of the steps that match and were run, not taken from the cache.
func done(log, name string) []string {
	names := map[string]string{} // by the vertex's number: a name is written again where lines of another come between
	for _, m := range regexp.MustCompile(`(?m)^#(\d+) `+name+`$`).FindAllStringSubmatch(log, -1) {
		if !testkit.Cached(log, m[1]) {
			names[m[1]] = m[len(m)-1]
		}
	}
	return slices.Collect(maps.Values(names))
}
