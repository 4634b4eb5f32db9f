package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"
)

// The key that the example of the documents is signed with: whoever reads this has it.
const (
	exampleSigner   = "PRIVATE+KEY+builds.example.com+50a18a00+AaUIQTI3OnfNLfe3ByBilW73GcsneYC7szdpBCGy4u/f"
	exampleVerifier = "builds.example.com+50a18a00+AanNVT+JPqhE3mJ7d3m/SY5/P5kwWDRuAlAWsqI+J5jO"
)

// The example in docs/reference/bundle-format.md is what this code makes; with -update it is written there.
func TestFormatExample(t *testing.T) {
	const begin, end = "<!-- example: written by 'go test ./internal/bundle -run FormatExample -update' -->\n", "<!-- end of example -->\n"
	file := filepath.Join(testkit.Root(t), "docs", "reference", "bundle-format.md")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	want := before + begin + "\n" + example(t) + end + after
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
		return
	}
	require.Empty(t, cmp.Diff(want, string(text)))
}

// example makes a bundle of one module and a go.mod file, signs it, and shows what is in it.
func example(t *testing.T) string {
	modules := t.TempDir()
	sums := testkit.Module{Path: "example.com/Hello", Version: "v1.0.0"}.Write(t, modules)
	_, goMod, _ := strings.Cut(testkit.Module{Path: "example.com/old", Version: "v0.9.0"}.Write(t, modules), "\n")
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(sums + goMod)})
	require.NoError(t, err)
	list, err := modfetch.ParseList("off")
	require.NoError(t, err)
	m := Maker{
		Sources: Sources{Folders: []Folder{{Name: "https://proxy.example.com", FS: os.DirFS(modules)}}, Proxies: list},
	}
	dir := t.TempDir()
	unsigned, err := m.Create(t.Context(), dir, Request{Modules: set, Keys: []string{set.Key()}})
	require.NoError(t, err)
	signer, err := note.NewSigner(exampleSigner)
	require.NoError(t, err)
	_, err = Sign(t.Context(), dir, Signing{signer, 1, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)})
	require.NoError(t, err)
	verifier, err := note.NewVerifier(exampleVerifier)
	require.NoError(t, err)
	b, err := Open(t.Context(), dir, Trust{Keys: []note.Verifier{verifier}})
	require.NoError(t, err)
	_, err = b.Verify(t.Context(), set, "", nil)
	require.NoError(t, err)

	var out strings.Builder
	show := func(what, language, text string) {
		fmt.Fprintf(&out, "%s\n\n```%s\n%s```\n\n", what, language, text)
	}
	object := func(what string, data []byte) {
		var text bytes.Buffer
		require.NoError(t, json.Indent(&text, data, "", "  "))
		show(what, "json", text.String()+"\n")
	}
	blob := func(desc ocispec.Descriptor) []byte {
		data, err := b.readBlob(t.Context(), desc)
		require.NoError(t, err)
		return data
	}
	manifest := func(name string) (m ocispec.Manifest) {
		data := blob(b.Images()[name])
		object(fmt.Sprintf("The manifest of `%s`:", name), data)
		require.NoError(t, json.Unmarshal(data, &m))
		return m
	}
	show("A build whose go.sum is", "text", string(set.Text()))
	show(fmt.Sprintf("has the key `%s`. The bundle made for it has the digest `%s`; signed, it consists of", set.Key(), unsigned.Digest()), "text", tree(t, dir))
	index, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	require.NoError(t, err)
	object("`index.json`, with spaces that it doesn't have:", index)
	image := manifest(ModulesName)
	object("Its config:", blob(image.Config))
	show(fmt.Sprintf("Its layers, which here are of shards %d and %d of the eight:", shard("example.com/Hello"), shard("example.com/old")), "text", layerFiles(t, blob, image.Layers))
	listing := manifest(ManifestName)
	object("Its config:", blob(listing.Config))
	for i, l := range listing.Layers {
		object(fmt.Sprintf("Its list number %d, of what is in layer number %d of `%s`:", i+1, i+1, l.Annotations[ofAnnotation]), blob(l))
	}
	signature := manifest(SignatureName)
	show(fmt.Sprintf("Its config, which is signed by the key `%s`:", exampleVerifier), "text", string(blob(signature.Config)))
	return out.String()
}

// tree lists the files of a bundle.
func tree(t *testing.T, dir string) string {
	var out strings.Builder
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			info, err := d.Info()
			require.NoError(t, err)
			fmt.Fprintf(&out, "%6d  %s\n", info.Size(), name)
		}
		return err
	}))
	return out.String()
}

// layerFiles lists the files of layers.
func layerFiles(t *testing.T, blob func(ocispec.Descriptor) []byte, layers []ocispec.Descriptor) string {
	var out strings.Builder
	for i, l := range layers {
		for r := tar.NewReader(bytes.NewReader(blob(l))); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			fmt.Fprintf(&out, "%d: %6d  %s\n", i+1, h.Size, h.Name)
		}
	}
	return out.String()
}
