package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
)

// hostile writes a layout in which @LAYER, @ITEMS, @MODULES and @MANIFEST stand for the digest and size of the blobs, so
// that what is made up is reached behind digests that are right.
func hostile(t testing.TB, dir, index, modules, manifest, items string, layer []byte) {
	blobs := filepath.Join(dir, "blobs", "sha256")
	require.NoError(t, os.MkdirAll(blobs, 0o755))
	var known []string
	add := func(name string, data []byte) {
		data = []byte(strings.NewReplacer(known...).Replace(string(data)))
		d := digest.FromBytes(data)
		require.NoError(t, os.WriteFile(filepath.Join(blobs, d.Encoded()), data, 0o644))
		known = append(known, name, fmt.Sprintf(`"digest":%q,"size":%d`, d, len(data)))
	}
	add("@HEAD", []byte(`{"format":1,"sets":["x"]}`))
	d := digest.FromBytes(layer)
	require.NoError(t, os.WriteFile(filepath.Join(blobs, d.Encoded()), layer, 0o644))
	known = append(known, "@LAYER", fmt.Sprintf(`"digest":%q,"size":%d`, d, len(layer)))
	add("@ITEMS", []byte(items))
	add("@MODULES", []byte(modules))
	add("@MANIFEST", []byte(manifest))
	index = strings.NewReplacer(known...).Replace(index)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), []byte(index), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
}

const (
	goodIndex = `{"schemaVersion":2,"manifests":[
{"mediaType":"application/vnd.oci.image.manifest.v1+json",@MANIFEST,"annotations":{"org.opencontainers.image.ref.name":"manifest"}},
{"mediaType":"application/vnd.oci.image.manifest.v1+json",@MODULES,"annotations":{"org.opencontainers.image.ref.name":"modules"}}]}`
	goodModules  = `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json",@HEAD},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar",@LAYER}]}`
	goodManifest = `{"schemaVersion":2,"config":{"mediaType":"application/vnd.larder.bundle.v1+json",@HEAD},"layers":[{"mediaType":"application/vnd.larder.bundle.items.v1+json",@ITEMS,"annotations":{"build.larder.bundle.image":"modules"}}]}`
)

func layerOf(t testing.TB, headers ...tar.Header) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		h.Mode = 0o644
		require.NoError(t, w.WriteHeader(&h))
		_, err := w.Write(make([]byte, h.Size))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// A seed is a bundle that is hostile, or damaged, in one way. Empty parts are those of a good one.
type seed struct {
	name, want                      string
	index, modules, manifest, items string
	layer                           []byte
}

func seeds(t testing.TB) []seed {
	zero := "h1:" + strings.Repeat("A", 43) + "="
	item := func(kind, name, version string, data []byte) string {
		text, err := json.Marshal([]Item{{Kind: kind, Name: name, Version: version, Size: int64(len(data)), Digest: digest.FromBytes(data), H1: zero, GoModH1: zero}})
		require.NoError(t, err)
		return string(text)
	}
	deep := strings.Repeat("a/", 300) + "a"
	seeds := []seed{
		{name: "whole", items: `[]`, layer: layerOf(t)},
		{name: "empty index", index: `{}`, want: "names no images"},
		{name: "no JSON", index: `[`, want: "is not one of an OCI layout"},
		{name: "bad digest", index: strings.Replace(goodIndex, "@MODULES", `"digest":"sha256:../../x","size":1`, 1), want: "has digest"},
		{name: "digest of a child", modules: strings.Replace(goodModules, "@HEAD", `"digest":"../x"`, 1), want: "has digest"},
		{name: "negative size", index: strings.Replace(goodIndex, "@MODULES", `"digest":"sha256:`+strings.Repeat("a", 64)+`","size":-1`, 1), want: "lacks blob"},
		{name: "huge size", index: strings.Replace(goodIndex, "@MODULES", `"digest":"sha256:`+strings.Repeat("a", 64)+`","size":9000000000000000000`, 1), want: "at most"},
		{name: "no manifest", index: strings.Replace(goodIndex, `:"manifest"`, `:"other"`, 1), want: `no image named "manifest"`},
		{name: "other format", manifest: strings.Replace(goodManifest, "larder.bundle.v1", "larder.bundle.v9", 1), want: "reads format 1"},
		{name: "more lists than layers", modules: `{"config":{"mediaType":"x",@HEAD}}`, want: "isn't there"},
		{name: "items of no kind", items: `[{"kind":"other","name":"../x"}]`, want: "the image modules, which has none of that kind"},
		{name: "a module as a file", items: item(KindFile, "a.example/b/@v/v1.0.0.zip", "", []byte{0}), layer: layerOf(t, tar.Header{Name: "a.example/b/@v/v1.0.0.zip", Size: 1}), want: "the image modules, which has none of that kind"},
		{name: "items are no list", items: `{"kind":1}`, want: "is not what its type"},
		{name: "a name that leaves", layer: layerOf(t, tar.Header{Name: "../x"}), want: "no plain file"},
		{name: "a root name", layer: layerOf(t, tar.Header{Name: "/etc/passwd"}), want: "no plain file"},
		{name: "a link", layer: layerOf(t, tar.Header{Name: "x", Typeflag: tar.TypeSymlink, Linkname: "/etc"}), want: "no plain file"},
		{name: "a device", layer: layerOf(t, tar.Header{Name: "x", Typeflag: tar.TypeChar}), want: "no plain file"},
		{name: "a folder", layer: layerOf(t, tar.Header{Name: "x/", Typeflag: tar.TypeDir}), want: "no plain file"},
		{name: "a file and a folder", layer: layerOf(t, tar.Header{Name: "x"}, tar.Header{Name: "x/y"}), want: "a file and a folder"},
		{name: "a folder and a file", layer: layerOf(t, tar.Header{Name: "x/y"}, tar.Header{Name: "x"}), want: "a file and a folder"},
		{name: "a deep name", layer: layerOf(t, tar.Header{Name: deep}), want: "at most 1024 bytes in 64 folders"},
		{name: "a long name", layer: layerOf(t, tar.Header{Name: strings.Repeat("a", 2000)}), want: "at most 1024 bytes in 64 folders"},
		{name: "a cut layer", layer: layerOf(t, tar.Header{Name: "x", Size: 2000})[:700], want: "no plain file"},
		{name: "an unlisted file", items: `[]`, layer: layerOf(t, tar.Header{Name: "x"}), want: "doesn't list"},
		{name: "a module without files", items: item(KindModule, "a.example/b", "v1.0.0", nil), layer: layerOf(t), want: "lacks its file"},
		{name: "a module's name", items: item(KindModule, "../b", "v1.0.0", nil), layer: layerOf(t), want: "malformed module path"},
		{name: "no zip", items: item(KindModule, "a.example/b", "v1.0.0", []byte{0}), layer: layerOf(t, tar.Header{Name: "a.example/b/@v/v1.0.0.zip", Size: 1}), want: "not a valid zip file"},
		{name: "a huge go.mod", items: item(KindGoMod, "a.example/b", "v1.0.0", make([]byte, 17<<20)), layer: layerOf(t, tar.Header{Name: "a.example/b/@v/v1.0.0.mod", Size: 17 << 20}), want: "the go command allows"},
		{name: "an index in itself", index: strings.Replace(goodIndex, "image.manifest.v1", "image.index.v1", 2), want: "is of type"},
	}
	for i := range seeds {
		s := &seeds[i]
		for _, part := range []struct {
			text *string
			good string
		}{{&s.index, goodIndex}, {&s.modules, goodModules}, {&s.manifest, goodManifest}, {&s.items, "[]"}} {
			if *part.text == "" {
				*part.text = part.good
			}
		}
		if s.layer == nil {
			s.layer = layerOf(t)
		}
	}
	return seeds
}

// examine does all that reads a bundle, and returns the first error.
func examine(t testing.TB, dir string) error {
	b, err := Open(t.Context(), dir, Trust{})
	if err != nil {
		return err
	}
	b.Digest()
	_, err = b.Items(t.Context())
	if _, sumsErr := b.Sums(t.Context()); err == nil {
		err = sumsErr
	}
	v, viewErr := b.View(t.Context(), ModulesName, ToolchainName, FilesName)
	if viewErr == nil {
		viewErr = fs.WalkDir(v, ".", func(name string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				_, err = fs.Stat(v, name)
			}
			return err
		})
		if closeErr := v.Close(); viewErr == nil {
			viewErr = closeErr
		}
	}
	if err == nil {
		err = viewErr
	}
	if _, verifyErr := b.Verify(t.Context(), gomod.Set{}, "", nil); err == nil {
		err = verifyErr
	}
	return err
}

func TestHostile(t *testing.T) {
	for _, s := range seeds(t) {
		t.Run(s.name, func(t *testing.T) {
			dir := t.TempDir()
			hostile(t, dir, s.index, s.modules, s.manifest, s.items, s.layer)
			err := examine(t, dir)
			if s.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, s.want)
		})
	}
}

// A blob that is larger on disk than is said of it isn't read.
func TestLargerThanSaid(t *testing.T) {
	dir := t.TempDir()
	hostile(t, dir, goodIndex, goodModules, goodManifest, "[]", layerOf(t))
	b, err := Open(t.Context(), dir, Trust{})
	require.NoError(t, err)
	desc := b.Images()[ManifestName]
	require.NoError(t, os.Truncate(filepath.Join(dir, "blobs/sha256", desc.Digest.Encoded()), 1<<40))
	_, err = b.Items(t.Context())
	require.ErrorContains(t, err, "has 1099511627776 bytes, expected")
}

// Whatever a bundle holds, reading it ends in an error at worst, within memory bounded by its size.
func FuzzBundle(f *testing.F) {
	logrus.SetLevel(logrus.ErrorLevel) // the store warns of file systems without fs-verity
	for _, s := range seeds(f) {
		if len(s.layer) < 1<<20 {
			f.Add(s.index, s.modules, s.manifest, s.items, s.layer)
		}
	}
	f.Fuzz(func(t *testing.T, index, modules, manifest, items string, layer []byte) {
		dir := t.TempDir()
		hostile(t, dir, index, modules, manifest, items, layer)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = examine(t, dir) // most are errors
		runtime.ReadMemStats(&after)
		input := len(index) + len(modules) + len(manifest) + len(items) + len(layer)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<20+200*input))
	})
}
