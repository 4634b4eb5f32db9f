//go:build slow

package frontend_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

const (
	stepCompile = "compile what is linked"
	// -v has go name the packages that it compiles.
	stampX   = `build -v -trimpath -ldflags="-X main.version=${VERSION}" -o /out/app .`
	stampVCS = `build -v -trimpath -buildvcs -o /out/app .`
)

// stamped is a repository of a module whose binary is stamped as the GO line says, with a commit and a tag.
func stamped(g *gateway, line string) *testkit.Repo {
	dir := g.t.TempDir()
	sums := read(g.t, g.context, "go.sum")
	g.context = dir
	g.add("go.mod", "module example.com/stamped\n\ngo 1.26\n\nrequire a.example/greet v1.2.0\n", "go.sum", sums,
		"main.go", "package main\n\nimport \"example.com/stamped/shared\"\n\nvar version = \"none\"\n\nfunc main() { println(version, shared.Name) }\n",
		"shared/shared.go", "package shared\n\nimport (\n\t\"fmt\"\n\n\t\"a.example/greet\"\n)\n\nvar Name = fmt.Sprint(greet.Hello)\n")
	g.file("FROM go AS build\nARG VERSION=dev\nGO " + line + "\nFROM scratch\nCOPY --from=build /out/app /app\n")
	repo := testkit.NewRepo(g.t, dir)
	repo.Commit(nil, "v1.2.0")
	return repo
}

// compiles returns the packages of the module that a log says are compiled.
func compiles(log string) (names []string) {
	for line := range strings.Lines(log) {
		if f := strings.Fields(line); len(f) == 3 && strings.HasPrefix(f[2], "example.com/stamped") {
			names = append(names, f[2])
		}
	}
	return names
}

// stamps holds that what the linker stamps is in no key but that of the step that links.
func stamps(g *gateway) {
	stamped(g, stampX)
	link := "GO " + strings.ReplaceAll(stampX, "${VERSION}", "dev")
	version := func(v string) (opt []string, step string) {
		return []string{"--opt", "build-arg:VERSION=" + v}, "GO " + strings.ReplaceAll(stampX, "${VERSION}", v)
	}
	first, log := g.export()
	require.ElementsMatch(g.t, []string{stepStd, stepDeps, stepCompile, link}, ran(log))
	require.Empty(g.t, compiles(log), "the line only links")
	require.Equal(g.t, "dev hello\n", stderrOf(g.t, filepath.Join(first, "app")))

	opt, link := version("v1")
	root, log := g.export(opt...)
	require.Equal(g.t, []string{link}, ran(log))
	require.Equal(g.t, "v1 hello\n", stderrOf(g.t, filepath.Join(root, "app")))

	cache := g.t.TempDir()
	g.export(append(opt, "--export-cache", "type=local,mode=max,dest="+cache)...)
	fresh := *g
	fresh.addr = testkit.Buildkitd(g.t, nil)
	opt, link = version("v2")
	root, log = fresh.export(append(opt, "--import-cache", "type=local,src="+cache)...)
	require.Equal(g.t, []string{link}, ran(log), "on another builder")
	require.Empty(g.t, compiles(log), "which has no compile cache")
	require.Equal(g.t, "v2 hello\n", stderrOf(g.t, filepath.Join(root, "app")))

	g.add("Dockerfile", strings.Replace(read(g.t, g.context, "Dockerfile"), "\n", "\n# larder:slice=off\n", 1))
	whole, _ := g.export()
	require.Equal(g.t, read(g.t, first, "app"), read(g.t, whole, "app"), "as it is compiled and linked by one step")
}

// stampsCommits holds that -buildvcs stamps what go stamps where the repository is, and that a commit is in no key but
// that of the step that links.
func stampsCommits(g *gateway) {
	repo := stamped(g, stampVCS)
	root, log := g.larderBuild()
	require.Subset(g.t, []string{stepStd, stepDeps, stepCompile, "GO " + stampVCS}, ran(log))
	require.Equal(g.t, []string{"example.com/stamped"}, compiles(log), "go has the commit in the main package, too")
	host := hostBuild(g, ".")
	require.Equal(g.t, "v1.2.0", host.Main.Version)
	require.Equal(g.t, host, buildInfo(g.t, filepath.Join(root, "app")))
	tagged := host

	repo.CommitIndex()
	root, log = g.larderBuild()
	require.Equal(g.t, []string{"GO " + stampVCS}, ran(log), "a new commit")
	host = hostBuild(g, ".")
	require.Contains(g.t, host.Main.Version, "v1.2.1-0.")
	require.Equal(g.t, host, buildInfo(g.t, filepath.Join(root, "app")))

	g.add("untracked", "")
	root, log = g.larderBuild()
	require.Equal(g.t, []string{"GO " + stampVCS}, ran(log), "an edit of what isn't compiled")
	host = hostBuild(g, ".")
	require.Contains(g.t, host.Main.Version, "+dirty")
	require.Equal(g.t, host, buildInfo(g.t, filepath.Join(root, "app")))
	require.NoError(g.t, os.Remove(filepath.Join(g.context, "untracked")))

	g.add("Dockerfile", strings.Replace(read(g.t, g.context, "Dockerfile"), "\n", "\n# larder:slice=off\n", 1))
	repo.Commit(nil)
	root, _ = g.larderBuild()
	require.Equal(g.t, hostBuild(g, "."), buildInfo(g.t, filepath.Join(root, "app")), "given the whole context, without its .git")

	docker := g.t.TempDir()
	g.buildx("build", "--build-arg", "GOPROXY="+g.proxy, "--output", docker, g.context)
	info := buildInfo(g.t, filepath.Join(docker, "app"))
	revision := repo.Git("rev-parse", "HEAD")
	require.Equal(g.t, map[string]string{"vcs": "git", "vcs.revision": revision, "vcs.modified": "false"}, vcsOf(info), "docker tells no time")
	require.Equal(g.t, "(devel)", info.Main.Version)

	g.t.Setenv("BUILDX_GIT_CHECK_DIRTY", "1")
	g.add("untracked", "")
	g.buildx("build", "--build-arg", "GOPROXY="+g.proxy, "--build-arg", "SOURCE_DATE_EPOCH="+repo.Git("log", "-1", "--format=%ct"), "--output", docker, g.context)
	info = buildInfo(g.t, filepath.Join(docker, "app"))
	require.Equal(g.t, "true", vcsOf(info)["vcs.modified"])
	require.Regexp(g.t, `^v0\.0\.0-\d{14}-`+revision[:12]+`\+dirty$`, info.Main.Version, "docker tells no tags")

	web := httptest.NewServer(testkit.GitHandler(g.t, filepath.Dir(g.context)))
	g.t.Cleanup(web.Close)
	root, _ = g.export("--opt", "context="+web.URL+"/"+filepath.Base(g.context)+"/.git#v1.2.0")
	require.Equal(g.t, tagged, buildInfo(g.t, filepath.Join(root, "app")), "a git URL")

	log = g.fails()
	require.Contains(g.t, log, ">>> GO "+stampVCS)
	require.Contains(g.t, log, "GO build -buildvcs: which commit is built isn't known: build a folder of a git working tree")
}

func vcsOf(info *debug.BuildInfo) map[string]string {
	facts := map[string]string{}
	for _, s := range info.Settings {
		if strings.HasPrefix(s.Key, "vcs") {
			facts[s.Key] = s.Value
		}
	}
	return facts
}

func stderrOf(t *testing.T, bin string) string {
	out, err := exec.CommandContext(t.Context(), bin).CombinedOutput()
	require.NoError(t, err)
	return string(out)
}

func (e *example) version() {
	const revision = "32561dd7fd18c47689d9fdc8f22f9bee60a02395"
	image := e.image("--opt", "build-arg:VERSION=v1.2.0", "--opt", "vcs:revision="+revision+"-dirty", "--opt", "build-arg:SOURCE_DATE_EPOCH=1795274155")
	require.Equal(e.t, "release v1.2.0\nvcs.revision "+revision+"\nvcs.time 2026-11-21T15:15:55Z\nvcs.modified true\n", e.run(image))
}
