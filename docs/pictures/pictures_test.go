package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestPictures wants the pictures that are committed to be those of the recorded data.
func TestPictures(t *testing.T) {
	all, err := draw(".")
	require.NoError(t, err)
	files, err := filepath.Glob("*.svg")
	require.NoError(t, err)
	require.Len(t, all, len(files))
	for name, want := range all {
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, string(got), "go run ./docs/pictures")
	}
}

// TestEditRunsLittle wants the picture of an edit to show what the documents say of it: the sources are taken, the program
// is compiled and copied, and all else came from the cache.
func TestEditRunsLittle(t *testing.T) {
	data, err := os.ReadFile("hello-llb.json")
	require.NoError(t, err)
	g, err := readGraph(data)
	require.NoError(t, err)
	log, err := os.ReadFile("hello-edit.json")
	require.NoError(t, err)
	ran, err := readRan(log)
	require.NoError(t, err)
	var again []string
	for _, n := range g {
		_, known := ran[n.name]
		require.True(t, known, "the log of the edit lacks %q: record both anew", n.name)
		if _, says := byState(ran)(n); says == "ran again" {
			again = append(again, strings.Join(label(n.name), " "))
		}
	}
	require.Equal(t, []string{"copy the program onto the static base", "take the 6 files that are compiled", "go build ."}, again)
}

// TestNetwork wants the picture of a build to show which steps have a network: those that fetch, and no other.
func TestNetwork(t *testing.T) {
	data, err := os.ReadFile("hello-llb.json")
	require.NoError(t, err)
	g, err := readGraph(data)
	require.NoError(t, err)
	for _, n := range g {
		require.Equal(t, strings.Contains(n.name, "fetch") || strings.Contains(n.name, "download"), n.network, n.name)
	}
}
