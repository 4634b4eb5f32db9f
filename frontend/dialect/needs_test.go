package dialect

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestReadNeeds(t *testing.T) {
	const sum = "github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=\ngithub.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=\n"
	tree := fstest.MapFS{}
	add := func(name, text string) { tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644} }
	add("api/go.mod", "module example.com/api\n\ngo 1.26\n\nrequire github.com/google/uuid v1.6.0\n")
	add("api/go.sum", sum)
	add("web/go.mod", "module example.com/web\n\ngo 1.25.14\n")
	add("web/vendor/x.example/y/go.mod", "nonsense")
	add("web/testdata/go.mod", "nonsense")
	add("_old/go.mod", "nonsense")
	add("Dockerfile", `# syntax=registry.internal/larder:1
ARG BASE=alpine
ARG UNSET
FROM go:1.26.8 AS build
FROM golang:1.26-alpine@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa AS pinned
FROM --platform=$BUILDPLATFORM ${BASE}:3.22 AS base
RUN --mount=type=bind,from=registry.internal/tools:2,target=/t --mount=type=bind,from=build,target=/b true
FROM ${UNSET}
FROM scratch
COPY --from=build /x /x
COPY --from=0 /x /y
COPY --from=busybox /bin/busybox /bin/
FROM static
GO version
`)
	add("sub/web.Dockerfile", "FROM debian\n")
	add("sub/Dockerfile.dockerignore", "FROM nothing\n")
	n, err := ReadNeeds(tree, Request{Platforms: []string{"linux/amd64"}, BuildPlatform: "linux/amd64"})
	require.NoError(t, err)
	require.Equal(t, []string{
		"docker.io/library/alpine:3.22",
		"docker.io/library/busybox:latest",
		"docker.io/library/debian:latest",
		"docker.io/library/golang:1.26-alpine@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"registry.internal/larder:1",
		"registry.internal/tools:2",
	}, n.Images)
	var paths, versions []string
	for _, m := range n.Modules {
		paths = append(paths, m.Path)
	}
	for _, v := range n.Toolchains {
		versions = append(versions, v.Version)
	}
	require.Equal(t, []string{"example.com/api", "example.com/web"}, paths)
	require.Equal(t, sum, string(n.Modules[0].Set.Text()))
	require.Equal(t, []string{"go1.26.8", "go1.26.10", "go1.25.14"}, versions)

	for file, text := range map[string]string{"bad/go.mod": "module", "more/go.mod": "module m\n\nrequire a.example/b v1.0.0\n", "Dockerfile": "GO build\n", "x/Dockerfile": "FROM UPPER\n"} {
		bad := fstest.MapFS{file: &fstest.MapFile{Data: []byte(text), Mode: 0o644}}
		_, err := ReadNeeds(bad, Request{Platforms: []string{"linux/amd64"}, BuildPlatform: "linux/amd64"})
		require.ErrorContains(t, err, file)
	}
}
