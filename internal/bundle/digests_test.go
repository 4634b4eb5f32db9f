package bundle

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// Whether a bundle has an image by its tag or by a digest, for all platforms or for some: its digest is the registry's.
func TestDigestOf(t *testing.T) {
	d := newDepot(t)
	ref := d.Host + "/library/base:v1"
	pushPlatforms(t, ref, 100)
	want, err := client(t).Digest(t.Context(), ref)
	require.NoError(t, err)
	m := d.maker()
	m.Images = client(t)
	for _, platforms := range [][]string{imagePlatforms, imagePlatforms[:1]} {
		for _, image := range []string{ref, ref + "@" + want.String()} {
			b, err := m.Create(t.Context(), t.TempDir(), Request{Images: []string{image}, Platforms: platforms})
			require.NoError(t, err)
			got, err := b.DigestOf(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, want, got)
			_, err = b.DigestOf(t.Context(), strings.Replace(ref, "v1", "v2", 1))
			require.ErrorContains(t, err, "has no image "+d.Host+"/library/base:v2: add it with")
		}
	}
	for name, tt := range map[string]struct {
		item Item
		want string
	}{
		"another digest": {Item{Kind: KindImage, Name: ref, Digest: want}, "don't use this bundle"},
		"no digest":      {Item{Kind: KindImage, Name: ref, From: "sha256:x\nRUN y"}, "was taken from"},
		"two":            {Item{Kind: KindImage, Name: ref, From: digest.Digest("sha256:" + strings.Repeat("a", 64))}, "has two images"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := m.Create(t.Context(), t.TempDir(), Request{Images: []string{ref}, Platforms: imagePlatforms[:1]})
			require.NoError(t, err)
			h, parts, err := b.manifest(t.Context())
			require.NoError(t, err)
			if tt.item.Digest == "" {
				tt.item.Digest = b.Images()[ref].Digest
			}
			if name == "two" {
				parts = append(parts, part{image: ref, items: []Item{tt.item}})
			} else {
				parts[0].items = []Item{tt.item}
			}
			require.NoError(t, b.writeManifest(t.Context(), parts, h.Sets))
			_, err = b.DigestOf(t.Context(), ref)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestNewestRelease(t *testing.T) {
	s := newStock(t, 1)
	req := s.request()
	for _, v := range []string{"go1.99.9", "go1.99.10", "go1.98.11"} {
		req.Toolchains = append(req.Toolchains, s.toolchain(v))
	}
	b := s.create(t.TempDir(), req)
	got, err := b.NewestRelease(t.Context(), "go1.99")
	require.NoError(t, err)
	require.Equal(t, "go1.99.10", got)
	_, err = b.NewestRelease(t.Context(), "go1.97")
	require.ErrorContains(t, err, "has no toolchain of go1.97: add it with 'larder bundle create --go 1.97'")
}
