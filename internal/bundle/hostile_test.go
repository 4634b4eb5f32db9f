package bundle

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/dirhash"
)

// hostileZip writes a zip of bad.example/lib@v1.0.0 as no go command would make it.
func hostileZip(t *testing.T, write func(*zip.Writer)) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("bad.example/lib@v1.0.0/go.mod")
	require.NoError(t, err)
	_, err = w.Write([]byte("module bad.example/lib\n"))
	require.NoError(t, err)
	write(z)
	require.NoError(t, z.Close())
	return b.Bytes()
}

// plain adds files with a text.
func plain(t *testing.T, names ...string) func(*zip.Writer) {
	return func(z *zip.Writer) {
		for _, name := range names {
			w, err := z.Create(name)
			require.NoError(t, err)
			_, err = w.Write([]byte("package lib\n"))
			require.NoError(t, err)
		}
	}
}

func withMode(t *testing.T, mode fs.FileMode) func(*zip.Writer) {
	return func(z *zip.Writer) {
		h := &zip.FileHeader{Name: "bad.example/lib@v1.0.0/lib.go"}
		h.SetMode(mode)
		w, err := z.CreateHeader(h)
		require.NoError(t, err)
		_, err = w.Write([]byte("/etc/passwd"))
		require.NoError(t, err)
	}
}

// bomb adds a file of zeros that says to have another size than it has.
func bomb(t *testing.T, size int, said uint64) func(*zip.Writer) {
	return func(z *zip.Writer) {
		var packed bytes.Buffer
		zeros := make([]byte, size)
		f, err := flate.NewWriter(&packed, flate.BestSpeed)
		require.NoError(t, err)
		_, err = f.Write(zeros)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		h := &zip.FileHeader{Name: "bad.example/lib@v1.0.0/zeros.go", Method: zip.Deflate, CRC32: crc32.ChecksumIEEE(zeros), CompressedSize64: uint64(packed.Len()), UncompressedSize64: said}
		w, err := z.CreateRaw(h)
		require.NoError(t, err)
		_, err = w.Write(packed.Bytes())
		require.NoError(t, err)
	}
}

// A zip that go.sum vouches for, as far as one can be had for it, is refused all the same, be it from a proxy or a folder.
func TestCreateRefusesHostileZips(t *testing.T) {
	const base = "bad.example/lib@v1.0.0/"
	for name, write := range map[string]func(*zip.Writer){
		"dots":                plain(t, base+"../../../etc/passwd"),
		"rooted":              plain(t, "/etc/passwd"),
		"backslash":           plain(t, base+`..\x.go`),
		"outside":             plain(t, "good.example/lib@v1.0.0/x.go"),
		"case":                plain(t, base+"x.go", base+"X.go"),
		"twice":               plain(t, base+"x.go", base+"x.go"),
		"file and folder":     plain(t, base+"x", base+"x/x.go"),
		"other go.mod":        plain(t, base+"GO.MOD"),
		"nested go.mod":       plain(t, base+"sub/go.mod"),
		"link":                withMode(t, fs.ModeSymlink|0o777),
		"device":              withMode(t, fs.ModeDevice|0o666),
		"large":               bomb(t, 1<<10, 1<<30),
		"larger than it says": bomb(t, 1<<20, 10),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStock(t, 2)
			lines := testkit.Module{Path: "bad.example/lib", Version: "v1.0.0"}.Write(t, s.dir)
			file := filepath.Join(s.dir, "bad.example/lib/@v/v1.0.0.zip")
			require.NoError(t, os.WriteFile(file, hostileZip(t, write), 0o644))
			if h1, err := dirhash.HashZip(file, dirhash.Hash1); err == nil {
				_, rest, _ := strings.Cut(lines, "\n")
				lines = "bad.example/lib v1.0.0 " + h1 + "\n" + rest
			}
			s.sums += lines
			dir := filepath.Join(t.TempDir(), "bundle")
			_, err := s.maker().Create(t.Context(), dir, s.request())
			require.ErrorContains(t, err, "bad.example/lib@v1.0.0: ")
			require.NotContains(t, strings.TrimSpace(err.Error()), "\n", "the other modules are good")
			_, err = Open(t.Context(), dir, Trust{})
			require.ErrorContains(t, err, "it has no index.json")

			m := s.maker()
			m.Sources.Folders = []Folder{{Name: "folder", FS: os.DirFS(s.dir)}}
			m.Sources.Proxies, err = modfetch.ParseList("off")
			require.NoError(t, err)
			_, err = m.Create(t.Context(), t.TempDir(), s.request())
			require.ErrorContains(t, err, "bad.example/lib@v1.0.0: GOPROXY=off")
			require.NoFileExists(t, filepath.Join(dir, ocispec.ImageIndexFile))
		})
	}
}

// A folder with other contents of a version is as if it hadn't that version: go.sum decides.
func TestSourcesThatDisagree(t *testing.T) {
	s := newStock(t, 3)
	other := newStock(t, 0)
	for i := range 3 {
		testkit.Module{Path: fmt.Sprintf("m%d.example/lib", i), Version: "v1.0.0", Files: map[string]string{"go.mod": fmt.Sprintf("module m%d.example/lib\n\ngo 1.20\n", i), "lib.go": "package lib // other\n"}}.Write(t, other.dir)
	}
	m := s.maker()
	m.Sources.Folders = []Folder{{Name: "other", FS: os.DirFS(other.dir)}}
	b, err := m.Create(t.Context(), t.TempDir(), s.request())
	require.NoError(t, err)
	_, err = b.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	items, err := b.Items(t.Context())
	require.NoError(t, err)
	for _, i := range items {
		require.Equal(t, s.proxy.URL, i.Origin)
	}

	m.Sources.Proxies, err = modfetch.ParseList(other.proxy.URL)
	require.NoError(t, err)
	_, err = m.Create(t.Context(), t.TempDir(), s.request())
	for i := range 3 {
		require.ErrorContains(t, err, fmt.Sprintf("m%d.example/lib@v1.0.0: the ", i))
	}
	require.ErrorContains(t, err, "from "+other.proxy.URL+" has h1:")
	require.ErrorContains(t, err, ", go.sum says h1:")
}

func TestMergeOfBundlesThatDisagree(t *testing.T) {
	a, b := newStock(t, 2), newStock(t, 1)
	b.sums += testkit.Module{Path: "m1.example/lib", Version: "v1.0.0", Files: map[string]string{"lib.go": "package lib // other\n"}}.Write(t, b.dir)
	one, two := a.create(t.TempDir(), a.request()), b.create(t.TempDir(), b.request())
	_, err := Merge(t.Context(), t.TempDir(), []*Bundle{one, two}, nil, SumDB{}, nil)
	require.ErrorContains(t, err, "the bundles disagree: "+two.Dir()+":")
	require.ErrorContains(t, err, "m1.example/lib@v1.0.0 is listed as h1:")
	require.ErrorContains(t, err, one.Dir()+":")
}

// What isn't in the bundles is told; nobody else is asked.
func TestMergeAndPruneOfWhatIsLacking(t *testing.T) {
	s := newStock(t, 3)
	dir := filepath.Join(t.TempDir(), "bundle")
	b := s.create(dir, s.request())
	before := read(t, dir)
	s.add("new.example/lib", "v1.0.0")
	_, err := Prune(t.Context(), b, s.request())
	require.ErrorContains(t, err, "new.example/lib@v1.0.0: v1.0.0.zip is not in "+dir+", or it is damaged there: see 'larder bundle verify'")
	require.Equal(t, before, read(t, dir))

	layers, err := b.layers(t.Context(), ModulesName)
	require.NoError(t, err)
	layer := filepath.Join(dir, "blobs/sha256", layers[0].Digest.Encoded())
	good, err := os.ReadFile(layer)
	require.NoError(t, err)
	require.NoError(t, os.Chmod(layer, 0o644))
	for name, tt := range map[string]struct {
		at   int
		want string
	}{
		"header": {0, "layer " + layers[0].Digest.String() + " is damaged"},
		"zip":    {bytes.Index(good, []byte("PK\x01\x02")) - 20, "@v1.0.0: v1.0.0.zip is not in " + dir},
	} {
		t.Run(name, func(t *testing.T) {
			data := bytes.Clone(good)
			data[tt.at] ^= 1
			require.NoError(t, os.WriteFile(layer, data, 0o644))
			_, err := Merge(t.Context(), t.TempDir(), []*Bundle{b, b}, nil, SumDB{}, nil)
			require.ErrorContains(t, err, tt.want)
			sums, err := b.Sums(t.Context())
			require.NoError(t, err)
			_, err = Prune(t.Context(), b, Request{Modules: sums})
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// A manifest that lies about a size, in its lists or about its blobs, is found out.
func TestVerifyFindsLiesAboutSizes(t *testing.T) {
	s := newStock(t, 2)
	dir := filepath.Join(t.TempDir(), "bundle")
	s.create(dir, s.request())
	manifestOf := func(b *Bundle, name string) (m ocispec.Manifest) {
		require.NoError(t, b.readJSON(t.Context(), b.Images()[name], &m))
		return m
	}
	for name, tt := range map[string]struct {
		lie  func(b *Bundle)
		want string
	}{
		"item": {func(b *Bundle) {
			m := manifestOf(b, ManifestName)
			var items []Item
			require.NoError(t, b.readJSON(t.Context(), m.Layers[0], &items))
			items[0].Size++
			desc, err := b.addJSON(t.Context(), itemsType, items)
			require.NoError(t, err)
			desc.Annotations = m.Layers[0].Annotations
			m.Layers[0] = desc
			require.NoError(t, b.addManifest(t.Context(), ManifestName, manifestType, m.Config, m.Layers))
		}, "bytes, the manifest says"},
		"layer": {func(b *Bundle) {
			m := manifestOf(b, ModulesName)
			m.Layers[0].Size--
			require.NoError(t, b.addManifest(t.Context(), ModulesName, "", m.Config, m.Layers))
		}, "bytes, expected"},
		"negative": {func(b *Bundle) {
			m := manifestOf(b, ModulesName)
			m.Config.Size = -1
			require.NoError(t, b.addManifest(t.Context(), ModulesName, "", m.Config, m.Layers))
		}, "bytes, expected -1"},
		"too large to be read": {func(b *Bundle) {
			desc := b.Images()[ModulesName]
			desc.Size = 1 << 40
			b.setImage(ModulesName, desc)
		}, "at most 16777216 are read"},
		"file in a layer": {func(b *Bundle) {
			var data bytes.Buffer
			w := tar.NewWriter(&data)
			require.NoError(t, w.WriteHeader(&tar.Header{Name: "m0.example/lib/@v/v1.0.0.zip", Size: 1 << 40, Mode: 0o644}))
			desc, err := b.addBlob(t.Context(), ocispec.MediaTypeImageLayer, data.Bytes())
			require.NoError(t, err)
			require.NoError(t, b.addImage(t.Context(), ModulesName, []ocispec.Descriptor{desc}))
		}, "its manifest lists items of a layer of modules that isn't there"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := open(t.Context(), dir, Trust{})
			require.NoError(t, err)
			tt.lie(b)
			_, err = b.Verify(t.Context(), gomod.Set{}, "", nil)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// An index or a manifest that could be read as another thing is refused.
func TestOpenRefusesAmbiguousIndexes(t *testing.T) {
	s := newStock(t, 1)
	dir := t.TempDir()
	b := s.create(dir, s.request())
	modules, manifest := b.Images()[ModulesName], b.Images()[ManifestName]
	both, err := b.addJSON(t.Context(), ocispec.MediaTypeImageIndex, map[string]any{"schemaVersion": 2, "manifests": []ocispec.Descriptor{}, "layers": []ocispec.Descriptor{}})
	require.NoError(t, err)
	twice, err := b.addBlob(t.Context(), ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[],"layers":[]}`))
	require.NoError(t, err)
	cased, err := b.addBlob(t.Context(), ocispec.MediaTypeImageManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[],"Manifests":[]}`))
	require.NoError(t, err)
	typed := func(desc ocispec.Descriptor, mediaType string) ocispec.Descriptor {
		desc.MediaType = mediaType
		desc.Annotations = map[string]string{ocispec.AnnotationRefName: "image"}
		return desc
	}
	for want, list := range map[string][]ocispec.Descriptor{
		"has 3 images, and only 2 names for them":              {modules, manifest, modules},
		`says that "image" is of type "application/json"`:      {modules, manifest, typed(modules, "application/json")},
		"is not what its type " + ocispec.MediaTypeImageIndex:  {modules, manifest, typed(modules, ocispec.MediaTypeImageIndex)},
		"is not what its type application/vnd.oci.image.index": {modules, manifest, typed(both, ocispec.MediaTypeImageIndex)},
		`it has "layers" twice in one object`:                  {modules, manifest, typed(twice, ocispec.MediaTypeImageManifest)},
		"expected config and layers, and no manifests":         {modules, manifest, typed(cased, ocispec.MediaTypeImageManifest)},
	} {
		data, err := json.Marshal(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: list})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, ocispec.ImageIndexFile), data, 0o644))
		b, err := Open(t.Context(), dir, Trust{})
		if err == nil {
			_, err = b.Verify(t.Context(), gomod.Set{}, "", nil)
		}
		require.ErrorContains(t, err, want)
	}
}

// Create mends what is damaged in the bundle that it takes the place of, and fetches no more than that takes.
func TestCreateMends(t *testing.T) {
	s := newStock(t, 4)
	dir := filepath.Join(t.TempDir(), "bundle")
	s.create(dir, s.request())
	good := read(t, dir)
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	require.NoError(t, err)
	for _, blob := range blobs {
		data := []byte(good[strings.TrimPrefix(blob, dir)])
		for name, damaged := range map[string][]byte{"flipped": append(bytes.Clone(data[:len(data)/2]), append([]byte{data[len(data)/2] ^ 1}, data[len(data)/2+1:]...)...), "short": data[:len(data)/2], "gone": nil} {
			require.NoError(t, os.Remove(blob))
			if damaged != nil {
				require.NoError(t, os.WriteFile(blob, damaged, 0o644))
			}
			s.create(dir, s.request())
			require.Equal(t, good, read(t, dir), name)
		}
	}
}

// A delta that was damaged on its way leaves the bundle as it is, and a whole one can be applied afterwards.
func TestApplyDamagedDelta(t *testing.T) {
	s := newStock(t, 4)
	old := s.create(t.TempDir(), s.request())
	s.add("new.example/lib", "v1.0.0")
	req := s.request()
	req.Since = old
	delta := s.create(t.TempDir(), req)
	blobs, err := filepath.Glob(filepath.Join(delta.Dir(), "blobs/sha256/*"))
	require.NoError(t, err)
	for _, blob := range blobs {
		data, err := os.ReadFile(blob)
		require.NoError(t, err)
		for name, damaged := range map[string][]byte{"flipped": append([]byte{data[0] ^ 1}, data[1:]...), "short": data[:len(data)/2], "gone": nil} {
			require.NoError(t, os.Remove(blob))
			if damaged != nil {
				require.NoError(t, os.WriteFile(blob, damaged, 0o644))
			}
			dir := t.TempDir()
			require.NoError(t, os.CopyFS(dir, os.DirFS(old.Dir())))
			_, err = Apply(t.Context(), dir, delta, Trust{})
			require.ErrorContains(t, err, filepath.Base(blob), name)
			on, err := mustOpen(t, delta.Dir()).On(old)
			require.NoError(t, err)
			_, err = on.Verify(t.Context(), gomod.Set{}, "", nil)
			require.ErrorContains(t, err, filepath.Base(blob), name)
			require.ErrorContains(t, err, delta.Dir(), name)
			b, err := Open(t.Context(), dir, Trust{})
			require.NoError(t, err)
			require.Equal(t, old.Digest(), b.Digest())
			require.NoError(t, os.WriteFile(blob, data, 0o644))
			b, err = Apply(t.Context(), dir, delta, Trust{})
			require.NoError(t, err)
			_, err = b.Verify(t.Context(), s.set(), "", nil)
			require.NoError(t, err)
		}
	}
}
