package planner

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
	add("web/go.mod", "module example.com/web\n\ngo 1.25.14\n\nignore ./private\n")
	add("web/private/tools/go.mod", "nonsense")
	add("web/vendor/x.example/y/go.mod", "nonsense")
	add("web/testdata/go.mod", "nonsense")
	add("web/front/go.mod", "// No Go in here.\n") // which keeps the folder out of the module above
	add("_old/go.mod", "nonsense")
	add("Dockerfile", `# syntax=registry.internal/larder:1
ARG BASE=alpine
ARG UNSET
ARG EMPTY=
FROM go:1.26.8 AS build
FROM golang:1.26-alpine@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa AS pinned
FROM --platform=$BUILDPLATFORM ${BASE}:3.22 AS base
RUN --mount=type=bind,from=registry.internal/tools:2,target=/t --mount=type=bind,from=build,target=/b true
FROM ${UNSET}
FROM $UNSET/debian:$BASE
FROM ${UNSET:-fedora}:42
FROM ${EMPTY}
FROM scratch
COPY --from=build /x /x
COPY --from=0 /x /y
COPY --from=busybox /bin/busybox /bin/
FROM static
GO version
`)
	add("sub/web.Dockerfile", "FROM debian\n")
	add("sub/Dockerfile.dockerignore", "FROM nothing\n")
	add("sub/Dockerfile.tmpl", "FROM {{ base }}\n")
	req := Request{Platforms: []string{"linux/amd64"}, BuildPlatform: "linux/amd64"}
	n, err := ReadNeeds(tree, req, true)
	require.NoError(t, err)
	require.Equal(t, []string{
		"Dockerfile:9: left out: an image whose name isn't known: UNSET has no value: give one with --build-arg",
		"Dockerfile:10: left out: an image whose name isn't known: UNSET has no value: give one with --build-arg",
		"Dockerfile:12: left out: an image whose name isn't known: it is empty: give one with --build-arg",
		"left out: sub/Dockerfile.tmpl can't be read as a Dockerfile: 'larder build --check' tells what is wrong with it",
	}, n.Warnings)
	require.Equal(t, []string{
		"docker.io/library/alpine:3.22",
		"docker.io/library/busybox:latest",
		"docker.io/library/debian:latest",
		"docker.io/library/fedora:42",
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
		_, err := ReadNeeds(bad, req, true)
		require.ErrorContains(t, err, file)
	}

	add("broken/Dockerfile", "GO build\n")
	n, err = ReadNeeds(tree, req, false)
	require.NoError(t, err)
	require.Empty(t, n.Images)
	require.Equal(t, "go1.26.8", n.Toolchains[0].Version, "of FROM go:1.26.8")
	require.Len(t, n.Warnings, 2)
	require.Contains(t, n.Warnings[0], "broken/Dockerfile")

	req.BuildArgs = map[string]string{"UNSET": "registry.internal", "EMPTY": "busybox"}
	delete(tree, "broken/Dockerfile")
	n, err = ReadNeeds(tree, req, true)
	require.NoError(t, err)
	require.Contains(t, n.Images, "registry.internal/debian:alpine")
	require.Len(t, n.Warnings, 1)
}
