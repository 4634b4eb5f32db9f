package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/proof/materials"
	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// editIndex changes what a bundle's index.json says.
func editIndex(t *testing.T, dir string, edit func(*ocispec.Index)) {
	file := filepath.Join(dir, "index.json")
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var index ocispec.Index
	require.NoError(t, json.Unmarshal(data, &index))
	edit(&index)
	data, err = json.Marshal(index)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, data, 0o644))
}

// addStrangers gives a bundle an image more for each name: that of its files.
func addStrangers(t *testing.T, dir string, names ...string) {
	editIndex(t, dir, func(index *ocispec.Index) {
		i := slices.IndexFunc(index.Manifests, func(d ocispec.Descriptor) bool { return d.Annotations[ocispec.AnnotationRefName] == "files" })
		evil := index.Manifests[i]
		for _, name := range names {
			evil.Annotations = map[string]string{ocispec.AnnotationRefName: name}
			index.Manifests = append(index.Manifests, evil)
		}
	})
}

// An image in a bundle takes the place of no stage, virtual base, source, module or cache, whatever its name is.
func TestBundleHidesNothing(t *testing.T) {
	w := newWorld(t)
	w.write("Dockerfile", `# syntax=ghcr.io/larder-build/larder:1
FROM go AS build
GO build -o /out/ .

FROM scratch AS data
COPY main.go /data/

FROM static
COPY --from=build /out/app /usr/local/bin/app
COPY --from=data /data /data
`)
	dir := filepath.Join(t.TempDir(), "stock")
	evil := testkit.Tree(t, "-- out/app --\n#!/bin/sh\necho evil\n-- data/main.go --\nevil\n-- usr/local/go/bin/go --\nevil\n")
	w.larder("bundle", "create", "--no-images", "--files", evil, "-o", dir, w.context)
	odd := []string{"build", "data", "go", "go:1.26", "static", "scratch", "larder-gocache", "larder-modules", "larder-toolchain", "larder-goproxy-0", "larder.internal/static", "context", "dockerfile", "0", "../x", "alpine"}
	full := []string{"docker.io/library/build:latest", "docker.io/library/data:latest", "docker.io/library/go:latest", "docker.io/library/go:1.26", "docker.io/library/static:latest", "docker.io/library/larder-modules:latest", "docker.io/library/scratch:latest"}
	addStrangers(t, dir, slices.Concat(odd, full)...)

	said := w.fails("bundle", "verify", dir)
	var told struct{ Findings []string }
	cmd := w.command("bundle", "inspect", dir)
	out, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &told))
	for _, name := range odd {
		require.Regexp(t, "has an image of the name "+regexp.QuoteMeta(`"`+name+`"`)+", which is neither one of a bundle's own nor the full reference of an image", strings.Join(told.Findings, "\n"))
	}
	require.Len(t, told.Findings, len(odd))
	require.Contains(t, said, `has an image of the name "../x"`)

	offline := *w
	offline.ns, offline.env = testkit.Offline(t), []string{"GOPROXY=off"}
	root := filepath.Join(t.TempDir(), "root")
	text, err := offline.build("--bundle", dir, "--build-arg", "LARDER_OFFLINE=1", "-o", root)
	require.NoError(t, err, "%s", text)
	require.Len(t, contextsIn(t, text), 2, "%s", text)
	require.Equal(t, "hello, larder\n", runBinary(t, root))
	data, err := os.ReadFile(filepath.Join(root, "data/main.go"))
	require.NoError(t, err)
	require.Equal(t, mainGo, string(data))

	require.Contains(t, w.fails("bundle", "push", dir, "127.0.0.1:1/x:1"), `has an image of the name "../x"`)
	all := filepath.Join(t.TempDir(), "all")
	w.larder("bundle", "merge", "--no-sumdb", "-o", all, dir, dir)
	require.NotContains(t, w.larder("bundle", "inspect", all), `"build"`, "what the manifest doesn't list isn't merged")
}

// contextsIn returns the names of the contexts of the buildx command that is printed.
func contextsIn(t *testing.T, out string) []string {
	names := map[string]bool{}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "docker buildx build ") {
			for _, found := range regexp.MustCompile(`--build-context '?([^=]+)=oci-layout://[^ ']*@sha256:[0-9a-f]{64}`).FindAllStringSubmatch(line, -1) {
				names[found[1]] = true
			}
			require.Equal(t, strings.Count(line, "--build-context"), len(names), "all by digest: %s", line)
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// A build that is given a key takes what that key has signed, from a registry whose tags move, too; and says in the
// materials of the image which bundle that was.
func TestBuildFromSignedBundle(t *testing.T) {
	w := newWorld(t)
	dir, repo, home := t.TempDir(), testkit.Registry(t)+"/stock", t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	w.larder("bundle", "keygen", "-o", at("key"), "release.example")
	w.larder("bundle", "create", "--no-images", "-o", at("old"), w.context)
	require.NoError(t, os.CopyFS(at("new"), os.DirFS(at("old"))))
	require.NoError(t, os.CopyFS(at("unsigned"), os.DirFS(at("old"))))
	w.larder("bundle", "create", "--no-images", "--files", testkit.Tree(t, "-- a --\na\n"), "-o", at("new"), w.context)
	w.larder("bundle", "sign", "--key", at("key"), "--serial", "7", at("old"))
	w.larder("bundle", "sign", "--key", at("key"), "--serial", "8", at("new"))
	push := func(name string) string {
		out := w.larder("bundle", "push", at(name), repo+":1")
		ref := regexp.MustCompile(regexp.QuoteMeta(repo) + `@sha256:[0-9a-f]{64}`).FindString(out)
		require.NotEmpty(t, ref, "%s", out)
		return ref
	}
	old := push("old")
	there := *w
	there.env = []string{"GOPROXY=off", "XDG_CACHE_HOME=" + home, "LARDER_BUNDLE_KEY=" + at("key.pub")}
	build := func(ref string, args ...string) (string, string, error) {
		file := filepath.Join(t.TempDir(), "image.tar")
		out, err := there.build(append([]string{"--bundle", ref, "--provenance=mode=max", "-o", "type=oci,dest=" + file}, args...)...)
		return file, out, err
	}
	file, out, err := build(repo + ":1")
	require.NoError(t, err, "%s", out)
	requireBundleIn(t, file, there.larder("bundle", "inspect", at("old")), repo+":1", "7")

	push("new")
	file, out, err = build(repo + ":1")
	require.NoError(t, err, "%s", out)
	requireBundleIn(t, file, there.larder("bundle", "inspect", at("new")), repo+":1", "8")

	push("old") // the tag goes back
	_, out, err = build(repo + ":1")
	require.Error(t, err)
	require.Regexp(t, `was signed with the serial 8, at \S+, and `+regexp.QuoteMeta(repo)+`:1, which would take its place, with 7, at \S+: refusing to go back`, out)
	_, out, err = build(old, "--min-serial", "8")
	require.Error(t, err)
	require.Contains(t, out, "was signed with the serial 7")
	require.Contains(t, out, "and 8 is the least that is asked for")
	require.Contains(t, there.fails("bundle", "pull", "-o", at("new"), repo+":1"), "refusing to go back")
	there.larder("bundle", "pull", "--allow-older", "-o", at("new"), repo+":1")
	require.Contains(t, there.larder("bundle", "verify", at("new")), "with the serial 7")

	push("unsigned") // the tag goes elsewhere
	_, out, err = build(repo + ":1")
	require.Error(t, err)
	require.Contains(t, out, "is not signed")
	file, out, err = build(old)
	require.NoError(t, err, "what is pinned stays: %s", out)
	requireBundleIn(t, file, there.larder("bundle", "inspect", at("old")), old, "7")
	require.Contains(t, there.fails("bundle", "pull", "-o", at("none"), repo+":1"), "is not signed")
	require.NoFileExists(t, filepath.Join(at("none"), "index.json"))
}

// flip changes a byte in the middle of a blob of a bundle.
func flip(t *testing.T, dir, dgst string) {
	blob := filepath.Join(dir, "blobs/sha256", dgst)
	data, err := os.ReadFile(blob)
	require.NoError(t, err)
	data[len(data)/2] ^= 1
	require.NoError(t, os.Chmod(blob, 0o644))
	require.NoError(t, os.WriteFile(blob, data, 0o644))
}

// The index of a signed bundle may be whole while what it leads to was changed: nothing is built of that.
func TestSignedBundleIsChanged(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	testkit.Module{Path: "tool.example/say", Version: "v1.0.0", Files: map[string]string{"main.go": "package main\n\nfunc main() { println(\"said\") }\n"}}.Write(t, w.proxy)
	w.env = append(w.env, "GOFLAGS=-modcacherw")
	w.larder("bundle", "create", "--no-images", "--tool", "tool.example/say@v1.0.0", "-o", at("stock"), w.context)
	w.larder("bundle", "keygen", "-o", at("key"), "release.example")
	w.larder("bundle", "sign", "--key", at("key"), "--serial", "1", at("stock"))
	install := []string{"tools", "install", "--key", at("key.pub"), "--bundle", at("stock"), "-o", at("bin"), "say"}
	w.larder(install...)
	w.env = []string{"GOPROXY=off"}
	plan := []string{"plan", "--bundle", at("stock"), "--key", at("key.pub"), w.context}
	require.Contains(t, w.larder(plan...), "larder-toolchain")
	var built []string // by builds that ended well: of the right bytes, that the builder had by then
	failed := 0
	build := func(name string) {
		root := at("root-" + name)
		if _, err := w.build("--bundle", at("stock"), "--key", at("key.pub"), "--build-arg", "LARDER_OFFLINE=1", "-o", root); err != nil {
			require.NoDirExists(t, root)
			failed++
			return
		}
		data, err := os.ReadFile(filepath.Join(root, "usr/local/bin/app"))
		require.NoError(t, err)
		built = append(built, string(data))
	}

	var index ocispec.Index
	data, err := os.ReadFile(filepath.Join(at("stock"), "index.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &index))
	for _, image := range index.Manifests {
		name := image.Annotations[ocispec.AnnotationRefName]
		var m ocispec.Manifest
		data, err := os.ReadFile(filepath.Join(at("stock"), "blobs/sha256", image.Digest.Encoded()))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &m))
		for _, blob := range append(m.Layers, image) {
			flip(t, at("stock"), blob.Digest.Encoded())
			switch name {
			case "modules", "toolchain":
				build(blob.Digest.Encoded())
				fallthrough
			case "tools":
				require.Contains(t, w.fails(install...), "is damaged", name)
			}
			flip(t, at("stock"), blob.Digest.Encoded())
		}
	}
	w.larder("bundle", "verify", "--key", at("key.pub"), at("stock"))
	require.Positive(t, failed)
	build("good")
	for _, data := range built {
		require.True(t, data == built[len(built)-1], "another binary was built")
	}
}

// requireBundleIn wants the materials of an image to tell of a bundle, of which 'larder bundle inspect' says what is given.
func requireBundleIn(t *testing.T, file, inspected, name, serial string) {
	var told struct {
		Digest string
		Signed struct{ By []string }
	}
	require.NoError(t, json.Unmarshal([]byte(inspected[strings.Index(inspected, "{"):]), &told))
	bundle := resourcesOf(t, file)["bundle"]
	require.Len(t, bundle, 1)
	require.Equal(t, name, bundle[0].Name)
	require.Equal(t, told.Digest, "sha256:"+bundle[0].Digest["sha256"])
	require.Equal(t, serial, bundle[0].Annotations["serial"])
	require.Equal(t, told.Signed.By[0], bundle[0].Annotations["signedBy"])
}

// resourcesOf returns what the attestation of materials of an image in a tar file lists, by kind.
func resourcesOf(t *testing.T, file string) map[string][]materials.Resource {
	top, read := readIndex(t, file)
	var index ocispec.Index
	read(top.Manifests[0], &index)
	kinds := map[string][]materials.Resource{}
	for _, desc := range index.Manifests {
		var m ocispec.Manifest
		read(desc, &m)
		for _, layer := range m.Layers {
			if layer.Annotations["in-toto.io/predicate-type"] != materials.PredicateType {
				continue
			}
			var statement struct{ Predicate materials.Predicate }
			read(layer, &statement)
			for _, r := range statement.Predicate.Materials {
				kinds[r.Annotations["kind"]] = append(kinds[r.Annotations["kind"]], r)
			}
		}
	}
	return kinds
}
