//go:build slow

package main

import (
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Two builders on machines that reach a registry and nothing else, so not each other: what the one has made, the other
// takes from the cache in the registry, the same image if nothing was edited, and all but the compiling of what was.
func TestSlowTwoBuildersShareARegistry(t *testing.T) {
	w := newWorld(t)
	hub := testkit.NewHub(t)
	ref := "type=registry,registry.insecure=true,ref=" + hub.Registry(t) + "/cache/app"
	one, other := testkit.Buildkitd(t, hub.Spoke(t)), testkit.Buildkitd(t, hub.Spoke(t))
	build := func(builder string, args ...string) (log string) {
		out, err := w.command(append([]string{"build", "--builder", builder}, append(args, w.context)...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	first, second := t.TempDir()+"/first.tar", t.TempDir()+"/second.tar"
	build(one, "--cache-to", ref+",mode=max", "-o", "type=oci,dest="+first)

	log := build(other, "--cache-from", ref, "-o", "type=oci,dest="+second)
	for _, step := range []string{"unpack go1", "unpack 2 modules", "compile what", "go build"} {
		require.Equal(t, "cached", ran(log, step), "%s\n%s", step, log)
	}
	want, _ := readIndex(t, first)
	got, _ := readIndex(t, second)
	require.Equal(t, want.Manifests[0].Digest, got.Manifests[0].Digest)

	w.replace("main.go", "name.Name)", `name.Name+"!")`)
	tree := t.TempDir()
	log = build(other, "--cache-from", ref, "-o", tree)
	for step, want := range map[string]string{"unpack go1": "cached", "unpack 2 modules": "cached", "compile what": "cached", "go build": "ran"} {
		require.Equal(t, want, ran(log, step), "%s\n%s", step, log)
	}
	require.Equal(t, "hello, larder!\n", runBinary(t, tree))
}

// ran says whether the vertex whose name has a text was run or cached, by plain progress, or that there is none.
func ran(log, name string) string {
	for line := range strings.Lines(log) {
		number, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(number, "#") || !strings.Contains(text, name) {
			continue
		}
		if testkit.Cached(log, strings.TrimPrefix(number, "#")) {
			return "cached"
		}
		return "ran"
	}
	return "not there"
}
