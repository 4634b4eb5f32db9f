package frontend_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/step"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// file puts a Dockerfile, headed by the syntax line, into the context.
func (g *gateway) file(text string) {
	require.NoError(g.t, os.WriteFile(filepath.Join(g.context, "Dockerfile"), []byte("# syntax="+g.larder+"\n"+text), 0o644))
}

// add puts files into the context.
func (g *gateway) add(files ...string) {
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(g.context, files[i])
		require.NoError(g.t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(g.t, os.WriteFile(name, []byte(files[i+1]), 0o755))
	}
}

// export builds and returns the folder that the result was written to, and the log.
func (g *gateway) export(args ...string) (root, log string) {
	root = g.t.TempDir()
	log = g.buildctl(g.context, append([]string{"--opt", "build-arg:GOPROXY=" + g.proxy, "--output", "type=local,dest=" + root}, args...)...)
	return root, log
}

// fails builds, wants that to fail, and returns the log.
func (g *gateway) fails(args ...string) string {
	out, err := g.buildctlCommand(g.context, append([]string{"--opt", "build-arg:GOPROXY=" + g.proxy}, args...)...).CombinedOutput()
	require.Error(g.t, err)
	return string(out)
}

func read(t *testing.T, elems ...string) string {
	data, err := os.ReadFile(filepath.Join(elems...))
	require.NoError(t, err)
	return string(data)
}

const greetTest = `package main

import (
	"os"
	"testing"

	"a.example/greet"
)

func TestHello(t *testing.T) {
	if greet.Hello != "hello" || os.Getenv("BREAK") != "" {
		t.Fatal("no greeting today")
	}
}
`

func TestStepsGoByOneName(t *testing.T) {
	require.Equal(t, planner.StepCommand, step.Go+" ")
}

// A goTest is done in a build on a builder that others use too, since each has to compile the standard library first. For
// the same reason most of their modules have one path: it is in the name of the compile cache, as are none of a line's flags.
type goTest struct {
	name string
	run  func(*gateway)
}

// goGateway returns a gateway for goTests, and the name of a golang image.
func goGateway(t *testing.T) (g *gateway, golang string) {
	g = newGateway(t)
	g.add("main_test.go", greetTest, "cmd/two/main.go", "package main\n\nvar version string\n\nfunc main() { println(version) }\n",
		"tools/go.mod", "module example.com/tools\n\ngo 1.26\n\ntool example.com/tools\n", "tools/main.go", "package main\n\nfunc main() { println(\"tool\") }\n",
		"build.sh", "#!/bin/sh\nexec go build -o \"$1\" .\n")
	golang = g.registry + "/golang:1.26-alpine"
	g.createBuilder()
	testkit.PushGolang(t, g.addr, g.larder, g.proxy, golang)
	return g, golang
}

func (g *gateway) runAll(t *testing.T, tests []goTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sub := *g
			sub.t = t
			test.run(&sub)
		})
	}
}

// What Dockerfiles do in a build, all on one builder.
func TestDockerfiles(t *testing.T) {
	g, golang := goGateway(t)
	g.runAll(t, []goTest{
		{"GO", goLines}, {"edits", edits}, {"GO fails", goLineFails}, {"GO elsewhere", goElsewhere}, {"GO in an image", func(g *gateway) { goInAnImage(g, golang) }},
		{"RUN", func(g *gateway) { runGo(g, golang) }}, {"RUN as a user", func(g *gateway) { runAsUser(g, golang) }},
		{"RUN writes", func(g *gateway) { runWrites(g, golang) }}, {"RUN fetches in vain", func(g *gateway) { runFetchesInVain(g, golang) }},
		{"RUN fails", func(g *gateway) { runFails(g, golang) }},
		{"RUN left alone", func(g *gateway) { runLeftAlone(g, golang) }}, {"check", func(g *gateway) { check(g, golang) }},
		{"shards", shards}, {"poison", poison}, {"poison in an image", func(g *gateway) { poisonInImage(g, golang) }}, {"tests", testTargets}, {"cancelled", cancelled},
	})
	// These don't count what is run, so that it may be in the cache.
	g.runAll(t, []goTest{
		{"doors", doors}, {"the client agrees", clientAgrees}, {"errors", errorsPointAtTheLine}, {"a remote context", remoteContext},
		{"left alone", leavesDockerfilesAlone}, {"offline", offline},
	})
}

func goLines(g *gateway) {
	g.file(`ARG VERSION=dev
FROM go AS build
ARG VERSION
ENV GOFLAGS=-tags=netgo
GO vet ./...
GO --stdout=/out/test.json test -json -coverprofile=/out/cover.out ./...
GO build \
    # the linker gets the version
    -ldflags="-s -w -X main.version=${VERSION:-none}" \
    -o /out/ ./...
GO version
GO list -f "{{.ImportPath}} ${VERSION}" ./...
GO --module=tools build -o /out/tool .
GO --module=tools tool example.com/tools

FROM scratch AS results
COPY --from=build /out/test.json /out/cover.out /

FROM static
COPY --from=build /out/app /usr/local/bin/app
COPY --from=build /out/two /out/tool /usr/local/bin/
ENTRYPOINT ["app"]
`)
	root, log := g.export("--opt", "build-arg:VERSION=v1")
	g.runApp(root)
	require.Equal(g.t, "v1\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/two")))
	require.Regexp(g.t, `#\d+ [\d.]+ tool\n`, log, "a tool of go.mod is run")
	require.Equal(g.t, "tool\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/tool")))
	require.Contains(g.t, log, "[build 1/8] GO vet ./...", "steps have the names that the user gave them")
	require.Contains(g.t, log, `-X main.version=v1"`)
	require.Contains(g.t, log, "example.com/app v1\n", "what a GO prints is shown")
	require.Contains(g.t, log, "go version "+toolchain)
	require.ElementsMatch(g.t, []string{stepStd, stepStd, stepDeps}, done(log, `\[[^\]]*\] (compile .* of it|compile .* from elsewhere)`), "what is imported from elsewhere is a layer for the test alone")

	root, _ = g.export("--opt", "target=results")
	require.Contains(g.t, read(g.t, root, "test.json"), `"Test":"TestHello","Elapsed"`)
	require.Contains(g.t, read(g.t, root, "cover.out"), "mode: set")

	root, _ = g.export("--opt", "platform=linux/arm64")
	file := testkit.Run(g.t, "go", "version", "-m", filepath.Join(root, "usr/local/bin/app"))
	require.Contains(g.t, file, "GOARCH=arm64")
}

// A test or vet that fails stops the build with go's own words, and the line.
func goLineFails(g *gateway) {
	g.file("FROM go AS build\nENV BREAK=1\nGO build -o /app .\nGO test \\\n  ./...\nFROM static\nCOPY --from=build /app /app\n")
	log := g.fails()
	require.Contains(g.t, log, "no greeting today")
	require.Regexp(g.t, `   5 \| >>> GO test \\\n   6 \| >>>   \./\.\.\.\n`, log)
	require.Contains(g.t, log, `process "/.larder/go -- test   ./..." did not complete successfully: exit code: 1`)

	g.file("FROM go AS build\nGO build -o app .\n")
	require.Contains(g.t, g.fails(), "larder: the source tree is read-only")

	g.file("FROM go AS build\nGO --modul=tools build -o /app .\n")
	log = g.fails()
	require.Contains(g.t, log, "unknown flag: --modul (did you mean module?)")
	require.Contains(g.t, log, "   3 | >>> GO --modul=tools build -o /app .")
}

// Sources of an earlier stage, and a step's secret.
func goElsewhere(g *gateway) {
	secret := filepath.Join(g.t.TempDir(), "token")
	require.NoError(g.t, os.WriteFile(secret, []byte("hush"), 0o600))
	g.file(`FROM go AS gen
WORKDIR /work
COPY . .
COPY <<gen.go cmd/two/gen.go
package main

func init() { println("generated") }
gen.go
FROM go AS build
GO --from=gen build -o /out/two ./cmd/two
GO --mount=type=secret,id=token,env=TOKEN --mount=type=tmpfs,target=/scratch run ./cmd/two
FROM static
COPY --from=build /out/two /two
`)
	root, _ := g.export("--secret", "id=token,src="+secret)
	require.Contains(g.t, testkit.Run(g.t, filepath.Join(root, "two")), "generated\n")
}

// GO in an image that has a toolchain and none of Larder's settings.
func goInAnImage(g *gateway, golang string) {
	g.file("FROM " + golang + " AS build\nUSER app\nENV GOBIN=/home/app/bin\nGO env CGO_ENABLED GOPROXY GOFLAGS\nGO build -o /home/app/ .\nGO install ./cmd/two\nFROM static\nCOPY --from=build /home/app/app /home/app/bin/two /usr/local/bin/\n")
	root, log := g.export()
	g.runApp(root)
	require.Equal(g.t, "\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/two")))
	require.Regexp(g.t, `#\d+ [\d.]+ 0\n#\d+ [\d.]+ off\n#\d+ [\d.]+ -mod=readonly\n`, log)
}
