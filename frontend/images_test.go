package frontend

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/frontend/dockerfile/builder"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/stretchr/testify/require"
)

// A build asks registries about the same images, whether Larder does it or docker/dockerfile: none for stages that the
// target doesn't need.
func TestAsksForTheImagesOfTheTarget(t *testing.T) {
	const file = `ARG TOOLS=tools.example/a:1
FROM ${TOOLS} AS tools
FROM mounted.example/a:1 AS mounted
FROM golang:1.26 AS base
FROM base AS build
WORKDIR /work
COPY --from=tools /bin/x /bin/x
COPY . .
RUN --mount=from=mounted,target=/m go build -o /out/ .
FROM lint.example/a:1 AS lint
COPY --from=build /out/x /x
RUN go vet .
FROM scratch AS final
COPY --from=3 /out/x /x
FROM docs.example/a:1 AS docs
`
	asked := func(t *testing.T, build gateway.BuildFunc, target string) (names []string) {
		b := newFakeBuilder(fstest.MapFS{
			"Dockerfile": {Data: []byte(file)},
			"main.go":    {Data: []byte("package main\n\nfunc main() {}\n")},
			"go.mod":     {Data: []byte("module example.com/x\n\ngo 1.26\n\nrequire example.com/dep v1.0.0\n")},
			"go.sum": {Data: []byte("example.com/dep v1.0.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" +
				"example.com/dep v1.0.0/go.mod h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n")},
		})
		b.opts.Opts["target"] = target
		_, err := build(t.Context(), b)
		require.NoError(t, err)
		for _, question := range slices.Concat(slices.Collect(maps.Keys(b.asked.images)), slices.Collect(maps.Keys(b.asked.metadata))) {
			name, _, _ := strings.Cut(question, " ")
			names = append(names, name)
		}
		slices.Sort(names)
		return slices.Compact(names)
	}
	for target, want := range map[string]string{
		"final": "golang mounted.example/a tools.example/a",
		"BUILD": "golang mounted.example/a tools.example/a",
		"lint":  "golang lint.example/a mounted.example/a tools.example/a",
		"":      "docs.example/a",
	} {
		t.Run("target "+target, func(t *testing.T) {
			theirs := asked(t, builder.Build, target)
			var short []string
			for _, name := range theirs {
				name, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(name, "docker-image://"), "docker.io/library/"), ":")
				short = append(short, name)
			}
			require.Equal(t, want, strings.Join(short, " "))
			require.Equal(t, theirs, asked(t, Build, target))
		})
	}
}
