package bundle

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// An image that a Dockerfile pins by digest is of that digest, or the part of it for some platforms, however the bundle
// came about; another in its place is no context, and verify tells it.
func TestPinnedImages(t *testing.T) {
	d := newDepot(t)
	_, index, _, err := client(t).Resolve(t.Context(), d.Host+"/library/base:v1")
	require.NoError(t, err)
	ref := d.Host + "/library/base:v1@" + index.Digest.String()
	req := d.request()
	req.Images, req.Platforms = []string{ref}, []string{"linux/arm64"}
	create := func(m Maker, req Request) *Bundle {
		b, err := m.Create(t.Context(), filepath.Join(t.TempDir(), "bundle"), req)
		require.NoError(t, err)
		return b
	}
	online := d.maker()
	online.Images = client(t)
	good := create(online, req)
	require.NotEqual(t, index.Digest, good.Images()[ref].Digest, "it has fewer platforms")
	check := func(b *Bundle, set gomod.Set) {
		t.Helper()
		_, err := b.Verify(t.Context(), set, "", nil)
		require.NoError(t, err)
		contexts, err := b.Contexts(t.Context(), []string{ref})
		require.NoError(t, err)
		require.Contains(t, contexts[0], strings.TrimPrefix(ref, "docker.io/library/")+"=oci-layout://"+b.Dir()+"@sha256:")
	}
	check(good, d.set())

	// By every other way that a bundle comes about, too.
	near := d.maker()
	near.Bundles, near.Images = []*Bundle{good}, Layouts{}
	check(create(near, req), d.set())
	merged, err := Merge(t.Context(), filepath.Join(t.TempDir(), "bundle"), []*Bundle{good, good}, nil, SumDB{}, nil)
	require.NoError(t, err)
	check(merged, d.set())
	_, err = Prune(t.Context(), merged, Request{Modules: d.set()})
	require.NoError(t, err)
	check(mustOpen(t, merged.Dir()), d.set())
	since := req
	since.Since = good
	delta := create(online, since)
	on, err := delta.On(good)
	require.NoError(t, err)
	_, err = on.Verify(t.Context(), d.set(), "", nil)
	require.NoError(t, err)
	applied, err := Apply(t.Context(), good.Dir(), delta, Trust{})
	require.NoError(t, err)
	check(applied, d.set())
	d.b = applied
	d.pushed()
	pulled, _, err := Pull(t.Context(), filepath.Join(t.TempDir(), "pulled"), d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	check(pulled, d.set())

	// Another image in its place, or a part that says other things.
	pushPlatforms(t, d.Host+"/library/evil:v1", 1000)
	evil := req
	evil.Images = []string{d.Host + "/library/evil:v1"}
	other := create(online, evil)
	b := mustOpen(t, applied.Dir())
	refused := func(desc ocispec.Descriptor) {
		t.Helper()
		b.setImage(ref, desc)
		_, err := b.Contexts(t.Context(), []string{ref})
		require.ErrorContains(t, err, "is none of the digest in its name")
		_, err = b.Verify(t.Context(), gomod.Set{}, "", nil)
		require.ErrorContains(t, err, "is none of the digest in its name")
	}
	desc := other.Images()[evil.Images[0]]
	require.NoError(t, other.walkFrom(t.Context(), []ocispec.Descriptor{desc}, func(d ocispec.Descriptor) error { return b.copyBlob(t.Context(), other, d) }))
	refused(desc)
	var part ocispec.Index
	require.NoError(t, b.readJSON(t.Context(), applied.Images()[ref], &part))
	part.Manifests[0].Platform.Architecture = "amd64"
	desc, err = b.addJSON(t.Context(), ocispec.MediaTypeImageIndex, part)
	require.NoError(t, err)
	refused(desc)
	require.NoError(t, b.readJSON(t.Context(), b.Images()[ref], &part))
	desc = part.Manifests[0]
	desc.Platform = nil
	refused(desc) // a manifest alone says for no platform what it is
}
