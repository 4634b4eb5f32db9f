package frontend_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A Dockerfile that exists gains the modules and a compile cache, and fetches nothing.
func runGo(g *gateway, golang string) {
	g.file("FROM " + golang + ` AS build
WORKDIR /work
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN go mod download -x && go mod verify
RUN set -eux; CGO_ENABLED=0 go build -o /out/app .
RUN <<EOT
cd tools
go build -o /out/tool .
EOT
RUN ["go", "vet", "./..."]
RUN --mount=type=gomod --mount=type=gocache sh ./build.sh /out/script
RUN test -z "$(ls -R /go | grep greet)"
FROM static
COPY --from=build /out/app /usr/local/bin/app
COPY --from=build /out/tool /out/script /usr/local/bin/
`)
	root, log := g.export()
	g.runApp(root)
	require.Equal(g.t, "hello\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/script")))
	require.Equal(g.t, "tool\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/tool")))
	require.NotContains(g.t, log, "go: downloading")
	require.Contains(g.t, log, "all modules verified")
	require.NotContains(g.t, log, "] RUN go mod download\n", "it costs nothing: there is no step")
	require.Contains(g.t, log, "] RUN go mod download -x && go mod verify\n", "steps have the names that the user gave them")
	require.Contains(g.t, log, "] RUN set -eux; CGO_ENABLED=0 go build -o /out/app .\n")
	require.NotContains(g.t, log, "larder.internal/")
}

func runAsUser(g *gateway, golang string) {
	g.file("FROM " + golang + ` AS build
USER app
WORKDIR /home/app/src
COPY --chown=app . .
RUN go build -o /home/app/out/app . && go env GOCACHE
FROM static
COPY --from=build /home/app/out/app /usr/local/bin/app
`)
	root, log := g.export()
	g.runApp(root)
	require.Contains(g.t, log, "/home/app/.cache/go-build")
}

// The mount of modules takes writes, and drops them: what go finds missing it fetches, a removal of the cache is no error,
// and a network that a RUN has it keeps.
func runWrites(g *gateway, golang string) {
	testkit.Module{Path: "a.example/again", Version: "v1.0.0", Files: map[string]string{"main.go": "package main\n\nfunc main() {}\n"}}.Write(g.t, g.modules)
	require.NoError(g.t, os.WriteFile(filepath.Join(g.modules, "a.example/again/@v/list"), []byte("v1.0.0\n"), 0o644))
	g.file("FROM " + golang + ` AS build
WORKDIR /work
COPY . .
ENV GONOSUMDB=* GOPROXY=` + g.proxy + `
RUN go build -o /out/app . && GOBIN=/out go install a.example/again@v1.0.0 && rm -rf /go/pkg /root/.cache
RUN go build -o /out/third . && go clean -modcache
RUN wget -q -O /out/list ` + g.proxy + `/a.example/greet/@v/v1.2.0.info && go vet .
FROM scratch
COPY --from=build /out/ /usr/local/bin/
`)
	root, log := g.export()
	g.runApp(root)
	require.Equal(g.t, "hello\n", testkit.Run(g.t, filepath.Join(root, "usr/local/bin/third")))
	require.Contains(g.t, log, "go: downloading a.example/again v1.0.0", "into the mount")
	require.NotContains(g.t, log, "go: downloading a.example/greet")
	testkit.Run(g.t, filepath.Join(root, "usr/local/bin/again"))
	require.Contains(g.t, read(g.t, root, "usr/local/bin/list"), "v1.2.0")
}

// What Larder would give to a RUN of its own accord, and can't have, fails no build.
func runFetchesInVain(g *gateway, golang string) {
	sum := read(g.t, g.context, "go.sum")
	g.add("go.sum", sum+"gone.example/x v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n")
	defer g.add("go.sum", sum)
	text := "FROM " + golang + " AS build\nWORKDIR /work\nCOPY . .\nENV GONOSUMDB=* GOPROXY=" + g.proxy +
		"\nRUN go mod download\nRUN go build -o /out/app .\nFROM scratch\nCOPY --from=build /out/app /usr/local/bin/app\n"
	g.file(text)
	root, log := g.export()
	g.runApp(root)
	require.Contains(g.t, log, "gone.example/x@v1.0.0")
	require.Contains(g.t, log, "] RUN go mod download\n")
	log = g.buildx("build", "--build-arg", "GOPROXY="+g.proxy, "--output", g.t.TempDir(), g.context)
	require.Contains(g.t, log, "Larder left all RUN lines as they are: ")

	g.file(strings.Replace(text, "RUN go build", "RUN --mount=type=gomod go build", 1))
	require.Contains(g.t, g.fails(), "gone.example/x@v1.0.0", "it asks for them by name")
}

// A RUN that was given something says how to leave it alone, if it fails.
func runFails(g *gateway, golang string) {
	text := "FROM " + golang + " AS build\nWORKDIR /work\nCOPY . .\n%sRUN go build -o /out/app ./nowhere\nFROM scratch\nCOPY --from=build /out/app /app\n"
	g.file(fmt.Sprintf(text, ""))
	log := g.fails()
	require.Contains(g.t, log, ">>> RUN go build -o /out/app ./nowhere")
	require.Contains(g.t, lastLine(log), `leave it alone with the line "# larder:inject=off" above it`)

	g.file(fmt.Sprintf(text, "# larder:inject=off\n"))
	log = g.fails()
	require.Contains(g.t, log, ">>> RUN go build -o /out/app ./nowhere")
	require.NotContains(g.t, lastLine(log), "larder:inject")
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// What a RUN of the user's own making needs is not taken from it.
func runLeftAlone(g *gateway, golang string) {
	g.file("# larder:inject=off\nFROM " + golang + " AS build\nWORKDIR /work\nCOPY . .\nENV GOFLAGS=-mod=mod GONOSUMDB=* GOPROXY=" + g.proxy +
		"\nRUN go build -o /app . && ls -d /go/pkg/mod/a.example/greet@v1.2.0\nFROM scratch\nCOPY --from=build /app /usr/local/bin/app\n")
	root, log := g.export()
	g.runApp(root)
	require.Contains(g.t, log, "go: downloading a.example/greet v1.2.0")

	g.file("FROM " + golang + "\nWORKDIR /work\nCOPY . .\nENV GONOSUMDB=* GOPROXY=" + g.proxy + "\nRUN --network=host go build -o /app2 . && ls -d /go/pkg/mod/a.example/greet@v1.2.0\n")
	require.Contains(g.t, g.fails(), "network.host is not allowed", "it is left to the builder to refuse")
}

// call makes a request of buildx about the file, whatever the answer, and returns that.
func (g *gateway) call(request string) string {
	cmd := exec.CommandContext(g.t.Context(), testkit.Tool(g.t, "buildx"), "build", "--call", request, "--build-arg", "GOPROXY="+g.proxy, g.context)
	cmd.Env = append(os.Environ(), "BUILDX_CONFIG="+g.state, "BUILDX_BUILDER=test", "BUILDX_NO_DEFAULT_ATTESTATIONS=1")
	out, _ := cmd.CombinedOutput() // its exit code is 1 for a file with warnings
	return string(out)
}

// Larder's rules stand beside BuildKit's, at the user's lines.
func check(g *gateway, golang string) {
	text := "FROM " + golang + ` AS build
WORKDIR /work
COPY . .
RUN go install example.com/x@latest
# check=skip=GoCompileNetwork
RUN --network=default go build -o /out/app .
RUN --mount=type=cache,target=/go/pkg/mod CGO_ENABLED=1 go build -o /out/two ./cmd/two
GO --network=default version
FROM scratch
COPY --from=build /out/two /two
CMD /two
`
	g.file(text)
	got := g.call("check,format=json")
	for _, want := range []string{"GoModCacheWrite", "GoUselessCacheMount", "GoCgoInScratch", "GoRootUser", "GoUnpinnedBase", "GoCompileNetwork", "JSONArgsRecommended"} {
		require.Contains(g.t, got, want)
	}
	require.NotContains(g.t, got, "larder.internal/", "the user's file is shown, not the rewritten one")

	outline, targets := g.call("outline,format=json"), g.call("targets,format=json")
	require.Contains(g.t, targets, `"base": "`+golang+`"`)
	require.NotContains(g.t, outline+targets, "larder.internal/")

	g.file("FROM go AS build\nGO biuld ./...\n")
	require.Contains(g.t, g.call("check"), `GO biuld: unknown subcommand`)

	g.file("# check=error=true;skip=GoUnpinnedBase,GoRootUser\n" + strings.ReplaceAll(text, "CMD /two", `CMD ["/two"]`))
	require.Contains(g.t, g.call("check"), "lint violation found for rules: GoCgoInScratch, GoCompileNetwork, GoModCacheWrite, GoUselessCacheMount")
	require.Contains(g.t, g.fails(), "lint violation found for rules: GoCgoInScratch, GoCompileNetwork, GoModCacheWrite, GoUselessCacheMount")
}
