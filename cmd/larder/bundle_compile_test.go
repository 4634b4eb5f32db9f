package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/gocache"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// compiledFile is a Dockerfile of the world whose lines have layers of compiled packages.
const compiledFile = `FROM go AS build
ENV GOFLAGS=-trimpath
GO test ./...
GO build -o /out/app .
FROM static
COPY --from=build /out/app /usr/local/bin/app
`

// ready is in the log of a build that takes compiled packages from a bundle.
const ready = "[context larder-compiled-"

// A bundle's compiled packages give what compiling gives, to who has the key of its signature. Who hasn't compiles.
func TestCompiledBundle(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	w.write("Dockerfile.lines", compiledFile)
	w.write("main_test.go", "package main\n\nimport \"testing\"\n\nfunc TestMain(t *testing.T) { t.Log(\"tested\") }\n")
	out := w.larder("bundle", "create", "--no-images", "--no-sumdb", "--compile", "--state", at("state"), "-o", at("b"), w.context)
	require.Contains(t, out, "1 toolchains, 0 images, 0 tools, 2 layers of compiled packages")
	require.NoDirExists(t, at("state/compile"))
	require.Regexp(t, `compiled +example\.com/app +[0-9a-f]{32} +linux/\w+ .* compiled by go1\.26\.10\n`, w.larder("bundle", "ls", at("b")))
	require.Contains(t, w.larder("bundle", "verify", "--rebuild=all", "--state", at("state"), at("b")), "compiled 2 of 2 layers of compiled packages again: all ")
	require.Contains(t, w.fails("bundle", "verify", "--rebuild=0", at("b")), "--rebuild=0: expected a number of layers")

	// Unsigned, none is used, and one line says so.
	const unused = "WARNING: the bundle has compiled packages, and none is used: nothing shows who made them; give the key"
	plan := w.larder("plan", "--bundle", at("b"), w.context)
	require.Contains(t, plan, unused)
	require.NotContains(t, plan, "larder-compiled-")
	build := func(args ...string) (image, log string) {
		file := filepath.Join(t.TempDir(), "image.tar")
		log, err := w.build(append([]string{"--build-arg", "LARDER_OFFLINE=1", "-o", "type=oci,rewrite-timestamp=true,dest=" + file}, args...)...)
		require.NoError(t, err, "%s", log)
		return file, log
	}
	lines := []string{"-f", filepath.Join(w.context, "Dockerfile.lines"), "--build-arg", "SOURCE_DATE_EPOCH=0"}
	compiled, log := build("--bundle", at("b"))
	require.NotContains(t, log, ready)
	require.Contains(t, log, unused)
	compiledLines, log := build(append(lines, "--bundle", at("b"))...)
	require.NotContains(t, log, ready)

	// Another's signature is refused, the right one has them used, and the image is the same.
	w.larder("bundle", "keygen", "-o", at("key"), "release.example")
	w.larder("bundle", "keygen", "-o", at("other"), "other.example")
	w.larder("bundle", "sign", "--key", at("other"), "--serial", "1", at("b"))
	out, err := w.build("--bundle", at("b"), "--key", at("key.pub"), "-o", at("root"))
	require.Error(t, err)
	require.Contains(t, out, "is signed by other.example+")
	w.larder("bundle", "sign", "--key", at("key"), "--serial", "1", at("b"))
	used, log := build("--bundle", at("b"), "--key", at("key.pub"))
	require.Contains(t, log, ready)
	require.NotContains(t, log, "compile the standard library's part of it")
	require.Equal(t, digestOf(t, compiled), digestOf(t, used))
	usedLines, log := build(append(lines, "--bundle", at("b"), "--key", at("key.pub"), "--no-cache")...)
	require.Contains(t, log, ready)
	require.NotContains(t, log, "compile what is imported")
	require.Equal(t, digestOf(t, compiledLines), digestOf(t, usedLines))
	_, log = build("--bundle", at("b"), "--key", at("key.pub"))
	require.Contains(t, log, "CACHED", "the session's name is in no key")
	require.NotRegexp(t, `go build \.\n.*DONE`, log)
	require.Contains(t, w.larder("plan", "--bundle", at("b"), "--key", at("key.pub"), w.context), "take what is compiled for go build . from the named context larder-compiled-")
	attested, _ := build("--bundle", at("b"), "--key", at("key.pub"), "--provenance=true")
	of := resourcesOf(t, attested)
	require.Len(t, of["compiled"], 1)
	require.Equal(t, "go build .", of["compiled"][0].Annotations["for"])
	require.NotEmpty(t, of["compiled"][0].Digest["sha256"])
	require.Contains(t, of["bundle"][0].Annotations["signedBy"], "release.example+")

	// What doesn't fit is compiled.
	_, log = build("--bundle", at("b"), "--key", at("key.pub"), "--build-arg", "GOEXPERIMENT=jsonv2")
	require.NotContains(t, log, ready)
	require.Contains(t, w.fails("build", "--trust-compiled", w.context), "--trust-compiled is for --bundle")
}

// A package that was planted in a bundle is in no build of who doesn't trust it, whatever others build there before; and to
// compile again finds it.
func TestPlantedPackage(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	create := func(w *world, to string) {
		w.larder("bundle", "create", "--no-images", "--no-sumdb", "--compile", "--state", at("state"), "-o", to, w.context)
	}
	create(w, at("b"))
	evil := *w
	evil.proxy, evil.context = t.TempDir(), filepath.Join(t.TempDir(), "src")
	require.NoError(t, os.CopyFS(evil.proxy, os.DirFS(w.proxy)))
	require.NoError(t, os.CopyFS(evil.context, os.DirFS(w.context)))
	evil.env = []string{"GOPROXY=file://" + evil.proxy}
	sums := testkit.Module{Path: "a.example/greet", Version: "v1.2.0", Files: map[string]string{
		"greet.go": "package greet\n\nfunc Hello(name string) string { return \"evil!, \" + name }\n",
	}}.Write(t, evil.proxy)
	data, err := os.ReadFile(filepath.Join(w.context, "go.sum"))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(data), "b.example/")
	evil.write("go.sum", sums+"b.example/"+rest)
	create(&evil, at("evil"))
	action := plant(t, at("b"), at("evil"))

	const greeting = "larder\n"
	built := func(args ...string) string {
		root := filepath.Join(t.TempDir(), "root")
		out, err := w.build(append([]string{"-o", root, "--build-arg", "LARDER_OFFLINE=1"}, args...)...)
		require.NoError(t, err, "%s", out)
		return runBinary(t, root)
	}
	require.Contains(t, w.larder("bundle", "verify", at("b")), "is whole", "no digest tells that it was planted")
	require.Equal(t, "hello, "+greeting, built("--bundle", at("b")))
	require.Equal(t, "evil!, "+greeting, built("--bundle", at("b"), "--trust-compiled"), "it is what a signature is for")
	require.Equal(t, "hello, "+greeting, built("--bundle", at("b"), "--no-cache"), "and it stays with who trusted it")
	out := w.fails("bundle", "verify", "--rebuild", "--state", at("state"), at("b"))
	require.Contains(t, out, "what is compiled for example.com/app (linux/")
	require.Contains(t, out, "isn't what its recipe makes, in 1 entries")
	require.Contains(t, out, gocache.EntryName(action)+": the bundle has ")

	// It gets into no other bundle.
	require.NotContains(t, w.larder("bundle", "merge", "--no-sumdb", "-o", at("all"), at("b"), at("b")), "compiled packages:")
	require.Contains(t, w.fails("bundle", "verify", "--rebuild", at("all")), "has no compiled packages")
	require.NotContains(t, w.larder("bundle", "create", "--no-images", "--no-sumdb", "--from", at("b"), "-o", at("new"), w.context), "compiled packages:")
	require.Contains(t, w.larder("bundle", "create", "--no-images", "--no-sumdb", "--from", at("b"), "--trust-compiled", "-o", at("new"), w.context), "1 layers of compiled packages")
}

// plant puts, in the compiled packages of a bundle, the output of another's in the place of the one that has its greeting, and
// returns the action whose output it is.
func plant(t *testing.T, dir, from string) (action string) {
	open := func(dir string) (*bundle.Bundle, bundle.Compiled, map[string]string) {
		b, err := bundle.Open(t.Context(), dir, bundle.Trust{})
		require.NoError(t, err)
		list, views, err := b.Compiled(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { views.Close() })
		require.Len(t, list, 1)
		outputs, err := gocache.Outputs(list[0].Files)
		require.NoError(t, err)
		return b, list[0], outputs
	}
	holding := func(c bundle.Compiled, outputs map[string]string, text string) (action, output string, data []byte) {
		for action, output = range outputs {
			var err error
			data, err = fs.ReadFile(c.Files, output[:2]+"/"+output+"-d")
			require.NoError(t, err)
			if bytes.HasPrefix(data, []byte("!<arch>")) && bytes.Contains(data, []byte(text)) {
				return action, output, data
			}
		}
		require.Fail(t, "no package has "+text)
		return "", "", nil
	}
	b, good, outputs := open(dir)
	_, bad, theirs := open(from)
	action, was, _ := holding(good, outputs, "hello, ")
	_, output, data := holding(bad, theirs, "evil!, ")
	planted := filepath.Join(t.TempDir(), "planted")
	require.NoError(t, os.CopyFS(planted, good.Files))
	require.NoError(t, os.MkdirAll(filepath.Join(planted, output[:2]), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(planted, output[:2], output+"-d"), data, 0o644))
	require.NoError(t, os.Remove(filepath.Join(planted, was[:2], was+"-d")))
	line := fmt.Sprintf("v1 %s %s %20d %20d\n", action, output, len(data), 0)
	entry := filepath.Join(planted, gocache.EntryName(action))
	require.NoError(t, os.Chmod(entry, 0o644))
	require.NoError(t, os.WriteFile(entry, []byte(line), 0o644))
	for other, out := range outputs {
		require.False(t, out == was && other != action, "another entry has that output, too")
	}

	set, err := b.Sums(t.Context())
	require.NoError(t, err)
	items, err := b.Items(t.Context())
	require.NoError(t, err)
	req := bundle.Request{Modules: set, Compiled: []bundle.Compiled{{Recipe: good.Recipe, Sources: good.Sources, Files: os.DirFS(planted)}}}
	for _, i := range items {
		if i.Kind == bundle.KindToolchain {
			req.Toolchains = append(req.Toolchains, bundle.Toolchain{Toolchain: gotoolchain.Toolchain{Version: i.Version}, Platform: i.Platform, H1: i.H1})
		}
	}
	_, err = bundle.Maker{}.Create(t.Context(), dir, req)
	require.NoError(t, err)
	return action
}

// What --file and --target name is compiled and recorded, and else each Dockerfile of a tree, or the module of one without.
func TestBuildsOfCreate(t *testing.T) {
	tree := t.TempDir()
	builds := func(f createFlags) (list []string) {
		f.Dirs = []string{tree}
		of, err := f.builds()
		require.NoError(t, err)
		for _, build := range of {
			require.Equal(t, tree, build.Context)
			list = append(list, filepath.Base(build.File)+" "+build.Target)
		}
		return list
	}
	require.Equal(t, []string{". "}, builds(createFlags{}))
	require.Equal(t, []string{". a", ". b"}, builds(createFlags{targets: []string{"a", "b"}}))
	for _, name := range []string{"Dockerfile", "Dockerfile.lines", "Dockerfile.dockerignore", "other"} {
		require.NoError(t, os.WriteFile(filepath.Join(tree, name), nil, 0o644))
	}
	require.Equal(t, []string{"Dockerfile ", "Dockerfile.lines "}, builds(createFlags{}))
	require.Equal(t, []string{"other a"}, builds(createFlags{dockerfiles: []string{filepath.Join(tree, "other")}, targets: []string{"a"}}))
}
