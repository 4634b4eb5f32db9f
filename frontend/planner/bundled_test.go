package planner

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Only what a file takes for an image, by its full name, may be had from a bundle: no name that means something else in it.
func TestImageContexts(t *testing.T) {
	const pinned = "golang:1.26@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	for name, tt := range map[string]struct {
		file string
		want []string
	}{
		"by every way": {"# syntax=registry.internal/larder:1\nARG V=3\nFROM alpine:${V} AS base\nFROM base\nCOPY --from=busybox /a /b\nRUN --mount=from=registry.internal/x,target=/x true\nFROM " + pinned + "\n",
			[]string{"docker.io/library/alpine:3", "docker.io/library/busybox:latest", "docker.io/library/" + pinned, "registry.internal/larder:1", "registry.internal/x:latest"}},
		"short and long":             {"FROM alpine\nFROM docker.io/library/alpine:latest\nFROM index.docker.io/library/alpine\n", []string{"docker.io/library/alpine:latest"}},
		"for each platform":          {"ARG TARGETARCH\nFROM r.example/$TARGETARCH\n", []string{"r.example/amd64:latest", "r.example/arm64:latest"}},
		"virtual bases":              {"FROM go AS build\nFROM go:1.26\nFROM static\nCOPY --from=go /a /a\n", nil},
		"their names as images":      {"FROM docker.io/library/go:1.26\nFROM docker.io/library/static\nCOPY --from=index.docker.io/library/scratch /a /a\n", nil},
		"Larder's own":               {"FROM larder-gocache\nCOPY --from=larder-modules /a /a\nFROM larder.internal/static\nFROM docker.io/library/larder-toolchain\n", nil},
		"a stage":                    {"FROM alpine AS build\nFROM build\nCOPY --from=build /a /a\n", []string{"docker.io/library/alpine:latest"}},
		"an image of a stage's name": {"FROM docker.io/library/build\nFROM alpine AS Build\nCOPY --from=docker.io/library/build:latest /a /a\n", []string{"docker.io/library/alpine:latest"}},
		"a stage that comes later":   {"FROM deps\nFROM alpine AS deps\n", []string{"docker.io/library/alpine:latest"}},
		"the frontend as a stage":    {"# syntax=build\nFROM alpine AS build\n", []string{"docker.io/library/alpine:latest"}},
		"no images":                  {"FROM scratch\nCOPY --from=0 /a /a\n", nil},
		"no file":                    {"", nil},
		"a name that is none":        {"FROM UPPER\nFROM ${NOTHING}\n", nil},
	} {
		req := Request{Platforms: []string{"linux/amd64", "linux/arm64"}, BuildPlatform: "linux/amd64"}
		require.Equal(t, tt.want, ImageContexts("Dockerfile", []byte(tt.file), req), name)
	}
	req := Request{Platforms: []string{"linux/amd64"}, BuildPlatform: "linux/amd64", BuildArgs: map[string]string{"BUILDKIT_SYNTAX": "r.example/larder:2 x"}, Contexts: map[string]bool{"alpine": true}}
	require.Equal(t, []string{"r.example/larder:2"}, ImageContexts("Dockerfile", []byte("FROM alpine\n"), req), "what the user gives a context for is theirs")
}
