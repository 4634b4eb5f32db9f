package bundle

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// A hostile delta is refused before the bundle is changed, or makes one that verify refuses; it never takes more than its
// size in memory or time.
func TestHostileDelta(t *testing.T) {
	named := func(desc ocispec.Descriptor, name string) ocispec.Descriptor {
		desc.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		return desc
	}
	manifestOf := func(t *testing.T, b *Bundle, name string) (m ocispec.Manifest) {
		require.NoError(t, b.readJSON(t.Context(), b.Images()[name], &m))
		return m
	}
	for name, tt := range map[string]struct {
		edit func(t *testing.T, d *Bundle)
		want string
	}{
		"another base": {func(_ *testing.T, d *Bundle) {
			d.index.Annotations[sinceAnnotation] = digest.FromString("x").String()
		}, "is a delta to the bundle sha256:"},
		"no digest as base": {func(_ *testing.T, d *Bundle) { d.index.Annotations[sinceAnnotation] = "../x" }, "is a delta to the bundle ../x"},
		"a name that leaves": {func(_ *testing.T, d *Bundle) {
			d.setImage("../../x", d.Images()[ModulesName])
		}, `has an image of the name "../../x"`},
		"a stage's name": {func(_ *testing.T, d *Bundle) { d.setImage("build", d.Images()[ModulesName]) }, `has an image of the name "build"`},
		"two manifests": {func(_ *testing.T, d *Bundle) {
			d.index.Manifests = append(d.index.Manifests, d.Images()[ManifestName])
		}, "has 3 images, and only 2 names for them"},
		"a URL": {func(_ *testing.T, d *Bundle) { d.index.Manifests[0].URLs = []string{"http://x.example"} }, "is said to lie at"},
		"a blob that nobody has": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ModulesName)
			m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.FromString("x"), Size: 5})
			require.NoError(t, d.addManifest(t.Context(), ModulesName, "", m.Config, m.Layers))
		}, "it lacks blob sha256:"},
		"a blob's size": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ModulesName)
			m.Layers[len(m.Layers)-1].Size++
			require.NoError(t, d.addManifest(t.Context(), ModulesName, "", m.Config, m.Layers))
		}, "bytes, expected"},
		"a blob of the base by another size": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ModulesName)
			m.Layers[0].Size++
			require.NoError(t, d.addManifest(t.Context(), ModulesName, "", m.Config, m.Layers))
		}, "it lacks blob sha256:"},
		"an index in an index, and so on": {func(t *testing.T, d *Bundle) {
			desc := d.Images()[ManifestName]
			for range 12 {
				desc.Annotations = nil
				var err error
				desc, err = d.addJSON(t.Context(), ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{desc}})
				require.NoError(t, err)
			}
			d.setImage("docker.io/library/deep:1", desc)
		}, "nested more than 8 deep"},
		"manifests and layers": {func(t *testing.T, d *Bundle) {
			desc, err := d.addJSON(t.Context(), ocispec.MediaTypeImageManifest, map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "config": d.Images()[ManifestName], "layers": []any{}, "manifests": []any{}})
			require.NoError(t, err)
			d.setImage("docker.io/library/both:1", desc)
		}, "is not what its type"},
		"a huge index": {func(t *testing.T, d *Bundle) {
			d.index.Annotations["x"] = strings.Repeat("x", maxRoot)
		}, "index.json has over 4194304 bytes"},
		"many layers": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ModulesName)
			for range maxLayers {
				m.Layers = append(m.Layers, m.Layers[0])
			}
			require.NoError(t, d.addManifest(t.Context(), ModulesName, "", m.Config, m.Layers))
		}, "layers, at most 100 are read"},
		"items without end": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ManifestName)
			list, err := d.addBlob(t.Context(), itemsType, []byte("["+strings.Repeat("{},", 1<<20)+"{}]"))
			require.NoError(t, err)
			list.Annotations = m.Layers[0].Annotations
			m.Layers[0] = list
			require.NoError(t, d.addManifest(t.Context(), ManifestName, manifestType, m.Config, m.Layers))
		}, "an item has no kind, or no name"},
		"one list, again and again": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ManifestName)
			text := `{"kind":"image","name":"docker.io/library/x:` + strings.Repeat("x", 60_000) + `"}`
			list, err := d.addBlob(t.Context(), itemsType, []byte("["+text+"]"))
			require.NoError(t, err)
			list.Annotations = map[string]string{ofAnnotation: "docker.io/library/x:1"}
			for range 2000 {
				m.Layers = append(m.Layers, list)
			}
			require.NoError(t, d.addManifest(t.Context(), ManifestName, manifestType, m.Config, m.Layers))
		}, "too many bytes"},
		"a large list of one image": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ManifestName)
			list, err := d.addBlob(t.Context(), itemsType, []byte("["+strings.Repeat(`{"kind":"image","name":"x"},`, 3000)+`{"kind":"image","name":"x"}]`))
			require.NoError(t, err)
			list.Annotations = map[string]string{ofAnnotation: "docker.io/library/x:1"}
			m.Layers = append(m.Layers, list)
			require.NoError(t, d.addManifest(t.Context(), ManifestName, manifestType, m.Config, m.Layers))
		}, "too many bytes"},
		"a name for a terminal": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ManifestName)
			list, err := d.addJSON(t.Context(), itemsType, []Item{{Kind: KindModule, Name: "\x1b]0;evil\a", Version: "v1.0.0"}})
			require.NoError(t, err)
			list.Annotations = m.Layers[0].Annotations
			m.Layers[0] = list
			require.NoError(t, d.addManifest(t.Context(), ManifestName, manifestType, m.Config, m.Layers))
		}, `an item has a control character in "\x1b]0;evil\a"`},
		"an item's size": {func(t *testing.T, d *Bundle) {
			m := manifestOf(t, d, ManifestName)
			items, err := d.readItems(t.Context(), m.Layers[len(m.Layers)-1])
			require.NoError(t, err)
			items[0].Size, items[0].Digest = 1<<62, digest.FromString("x")
			list, err := d.addJSON(t.Context(), itemsType, items)
			require.NoError(t, err)
			list.Annotations = m.Layers[len(m.Layers)-1].Annotations
			m.Layers[len(m.Layers)-1] = list
			require.NoError(t, d.addManifest(t.Context(), ManifestName, manifestType, m.Config, m.Layers))
		}, "the manifest says 4611686018427387904"},
		"a toolchain's image as modules": {func(_ *testing.T, d *Bundle) {
			d.setImage(ModulesName, named(d.Images()[ManifestName], ModulesName))
		}, "is of type"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStock(t, 4)
			base := s.create(filepath.Join(t.TempDir(), "base"), s.request())
			before := read(t, base.dir)
			s.add("new.example/lib", "v1.0.0")
			req := s.request()
			req.Since = base
			delta := s.create(filepath.Join(t.TempDir(), "delta"), req)
			on, err := delta.On(base)
			require.NoError(t, err)
			tt.edit(t, on)
			delta.index = on.index
			require.NoError(t, delta.commit())

			d, err := Open(t.Context(), delta.dir, Trust{})
			var applied *Bundle
			if err == nil {
				applied, err = Apply(t.Context(), base.dir, d, Trust{})
			}
			if err != nil {
				require.ErrorContains(t, err, tt.want)
				for file, data := range before {
					require.Equal(t, data, read(t, base.dir)[file], "the bundle is as it was")
				}
				return
			}
			_, err = applied.Verify(t.Context(), gomod.Set{}, "", nil)
			require.ErrorContains(t, err, tt.want)
			_, err = Merge(t.Context(), t.TempDir(), []*Bundle{applied, applied}, nil, SumDB{}, nil)
			if name != "an item's size" { // which is made anew
				require.ErrorContains(t, err, tt.want, "merge")
				_, err = Prune(t.Context(), applied, Request{Modules: s.set()})
				require.ErrorContains(t, err, tt.want, "prune")
			}
		})
	}
}

// A delta to itself, or a delta in the place of a bundle, goes nowhere.
func TestDeltaToItself(t *testing.T) {
	s := newStock(t, 2)
	base := s.create(filepath.Join(t.TempDir(), "base"), s.request())
	s.add("new.example/lib", "v1.0.0")
	req := s.request()
	req.Since = base
	delta := s.create(filepath.Join(t.TempDir(), "delta"), req)
	_, err := Apply(t.Context(), delta.dir, delta, Trust{})
	require.ErrorContains(t, err, "is a delta itself")
	_, err = delta.On(delta)
	require.ErrorContains(t, err, "is a delta to the bundle")
}
