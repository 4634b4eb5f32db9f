package oci

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

func platform(of string) *ocispec.Platform {
	parts := append(strings.Split(of, "/"), "", "")
	return &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}
}

// attests marks a descriptor as an attestation about another.
func attests(desc ocispec.Descriptor, about digest.Digest) ocispec.Descriptor {
	desc.Annotations = map[string]string{referenceType: attestation, referenceDigest: about.String()}
	return desc
}

func on(desc ocispec.Descriptor, platform *ocispec.Platform) ocispec.Descriptor {
	desc.Platform = platform
	return desc
}

// Whatever an entry of an index is marked as, one that a runtime could take for an image is looked at as an image.
func TestOnlyAttestationsAreLeftOut(t *testing.T) {
	w := newLayout(t)
	good, evil := w.image("amd64", ocispec.ImageConfig{User: "good"}), w.image("arm64", ocispec.ImageConfig{User: "evil"})
	none := digest.FromString("none")
	for name, test := range map[string]struct {
		entry ocispec.Descriptor
		out   bool
	}{
		"an attestation":              {attests(on(evil, platform("unknown/unknown")), good.Digest), true},
		"of a machine's platform":     {attests(evil, good.Digest), false},
		"without a platform":          {attests(on(evil, nil), good.Digest), false},
		"about nothing that is there": {attests(on(evil, platform("unknown/unknown")), none), false},
		"about itself":                {attests(on(evil, platform("unknown/unknown")), evil.Digest), false},
		"of another kind": {func() ocispec.Descriptor {
			d := attests(on(evil, platform("unknown/unknown")), good.Digest)
			d.Annotations[referenceType] = "x"
			return d
		}(), false},
		"without a mark":                  {on(evil, platform("unknown/unknown")), false},
		"of an unknown architecture":      {attests(on(evil, platform("linux/unknown")), good.Digest), false},
		"an index that is marked as such": {attests(on(w.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{evil}}), platform("unknown/unknown")), good.Digest), false},
	} {
		for order, entries := range [][]ocispec.Descriptor{{test.entry, good}, {good, test.entry}} {
			t.Run(fmt.Sprint(name, order), func(t *testing.T) {
				w.index(w.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: entries}))
				found, err := w.open().Images(t.Context())
				var users []string
				for _, image := range found {
					users = append(users, image.Config.Config.User)
				}
				switch {
				case test.out:
					require.NoError(t, err)
					require.Equal(t, []string{"good"}, users)
				case err == nil:
					require.ElementsMatch(t, []string{"good", "evil"}, users)
				default: // it is seen, and isn't what its index says
					require.ErrorContains(t, err, evil.Digest.String())
				}
			})
		}
	}
}

// All that one reader may take for one thing and another for something else is refused, with what was expected.
func TestAmbiguousIsRefused(t *testing.T) {
	w := newLayout(t)
	good, other := w.image("amd64", ocispec.ImageConfig{User: "good"}), w.image("amd64", ocispec.ImageConfig{User: "evil"})
	arm := w.image("arm64", ocispec.ImageConfig{})
	raw := func(desc ocispec.Descriptor, edit func(map[string]any)) ocispec.Descriptor {
		data, err := os.ReadFile(filepath.Join(w.dir, "blobs/sha256", desc.Digest.Encoded()))
		require.NoError(t, err)
		var doc map[string]any
		require.NoError(t, json.Unmarshal(data, &doc))
		edit(doc)
		edited := w.json(desc.MediaType, doc)
		edited.Platform = desc.Platform
		return edited
	}
	set := func(name string, value any) func(map[string]any) {
		return func(doc map[string]any) { doc[name] = value }
	}
	config := func(edit func(map[string]any)) ocispec.Descriptor {
		var m ocispec.Manifest
		data, err := os.ReadFile(filepath.Join(w.dir, "blobs/sha256", good.Digest.Encoded()))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(data, &m))
		m.Config = raw(m.Config, edit)
		return on(w.json(ocispec.MediaTypeImageManifest, m), good.Platform)
	}
	index := func(descs ...ocispec.Descriptor) ocispec.Descriptor {
		return w.json(ocispec.MediaTypeImageIndex, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: descs})
	}
	typed := func(desc ocispec.Descriptor, mediaType string) ocispec.Descriptor {
		desc.MediaType = mediaType
		return desc
	}
	twice := w.blob(ocispec.MediaTypeImageManifest, []byte(`{"config":{},"layers":[],"layers":[]}`))
	deep := index(good)
	for range maxDepth {
		deep = index(deep)
	}
	many := make([]ocispec.Descriptor, maxSeen+1)
	for i := range many {
		many[i] = on(w.json(ocispec.MediaTypeImageIndex, ocispec.Index{Annotations: map[string]string{"n": fmt.Sprint(i)}}), nil)
	}
	for name, test := range map[string]struct {
		root ocispec.Descriptor
		want string
	}{
		"two for one platform":              {index(good, other), "are both for linux/amd64, and a runtime takes one of them: expected one image for each platform"},
		"the second without a platform":     {index(good, on(other, nil)), "are both for linux/amd64"},
		"the second in an index of its own": {index(good, on(index(on(other, nil)), platform("linux/amd64"))), "are both for linux/amd64"},
		"the second by another name":        {index(good, on(other, platform("linux/x86_64"))), "are both for linux/amd64"},
		"the second of another release": {index(good, on(config(set("os.version", "9")), &ocispec.Platform{OS: "linux", Architecture: "amd64", OSVersion: "9"})),
			"are both for linux/amd64"},
		"for another platform than it says":    {index(on(arm, platform("linux/amd64"))), "its index says that it is for linux/amd64, and its config that it is for linux/arm64: expected the same"},
		"for a part of a platform":             {index(on(good, &ocispec.Platform{Architecture: "amd64"})), "its index says only a part of the platform: expected os and architecture"},
		"for no platform":                      {on(config(func(doc map[string]any) { delete(doc, "os") }), nil), "its config doesn't say what platform it is for"},
		"for a platform that moves the cursor": {config(set("architecture", "amd64\x1b[1A")), "expected OS/ARCH"},
		"one image for two platforms":          {index(good, on(good, platform("linux/arm64"))), "expected the same"},
		"manifests and layers":                 {raw(good, set("manifests", []any{arm})), "isn't that alone: expected config and layers, and no manifests"},
		"layers and manifests":                 {raw(index(arm), set("layers", []any{})), "isn't that alone: expected manifests, and neither config nor layers"},
		"in other letters":                     {raw(good, set("ManiFests", []any{arm})), "and no manifests"},
		"a config as an index":                 {raw(index(arm), set("config", map[string]any{})), "and neither config nor layers"},
		"the first kind of manifest":           {raw(good, set("fsLayers", []any{map[string]any{"blobSum": "x"}})), "and no manifests"},
		"a config as a manifest":               {raw(good, func(doc map[string]any) { delete(doc, "config") }), "expected config and layers"},
		"a manifest as a config":               {config(set("layers", []any{})), "expected what an image's config has"},
		"another media type inside":            {raw(good, set("mediaType", ocispec.MediaTypeImageIndex)), `and calls itself "application/vnd.oci.image.index.v1+json": expected one media type`},
		"an index called a manifest":           {typed(index(good), ocispec.MediaTypeImageManifest), "expected config and layers"},
		"a manifest called an index":           {typed(good, ocispec.MediaTypeImageIndex), "expected manifests"},
		"a media type of another":              {typed(good, "application/vnd.example.index.v1+json"), `has the media type "application/vnd.example.index.v1+json": expected an image manifest or an index`},
		"no media type":                        {typed(good, ""), "expected an image manifest or an index"},
		"one name twice":                       {twice, `it has "layers" twice in one object`},
		"a layer that is none":                 {raw(good, set("layers", []any{typed(good, "text/plain")})), `a layer of the media type "text/plain": expected a tar archive`},
		"a config that is none":                {raw(good, set("config", typed(good, "application/vnd.example+json"))), "expected an image's"},
		"indexes in indexes":                   {deep, "has indexes in indexes, 4 deep: expected an index of images"},
		"more than anybody builds":             {index(many...), "has more than 1000 images"},
	} {
		t.Run(name, func(t *testing.T) {
			w.index(test.root)
			_, err := w.open().Images(t.Context())
			require.ErrorContains(t, err, test.want)
		})
	}
	w.index(typed(raw(good, set("mediaType", images.MediaTypeDockerSchema2Manifest)), images.MediaTypeDockerSchema2Manifest))
	found, err := w.open().Images(t.Context())
	require.NoError(t, err, "Docker's own media types are known")
	require.Len(t, found, 1)
}

// Indexes that name each other's entries many times over are read once each.
func TestIndexBomb(t *testing.T) {
	w := newLayout(t)
	desc := w.image("amd64", ocispec.ImageConfig{})
	for range maxDepth - 1 {
		desc = w.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: slices.Repeat([]ocispec.Descriptor{desc}, 10_000)})
	}
	w.index(desc)
	found, err := w.open().Images(t.Context())
	require.NoError(t, err)
	require.Len(t, found, 1)
}

// A blob that is no file is refused at once: a pipe would wait for ever, a device has no end.
func TestSpecialFiles(t *testing.T) {
	testkit.NeedRoot(t) // to make a device
	for name, special := range map[string]struct {
		make func(name string) error
		want string
	}{
		"pipe":   {func(name string) error { return syscall.Mkfifo(name, 0o644) }, "it is no file but a pipe: expected a file"},
		"device": {func(name string) error { return syscall.Mknod(name, syscall.S_IFCHR|0o644, 1<<8|5) }, "it is no file but a device: expected a file"},
		"folder": {func(name string) error { return os.Mkdir(name, 0o755) }, "it is no file but a folder: expected a file"},
		"link":   {func(name string) error { return os.Symlink("/dev/zero", name) }, "escapes"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLayout(t)
			desc := w.image("amd64", ocispec.ImageConfig{}, layer(t, [2]string{"a", "hello"}))
			w.index(desc)
			l := w.open()
			image, err := l.Image(t.Context(), "linux/amd64")
			require.NoError(t, err)
			for _, blob := range []digest.Digest{image.Manifest.Layers[0].Digest, desc.Digest} {
				file := filepath.Join(w.dir, "blobs/sha256", blob.Encoded())
				require.NoError(t, os.Remove(file))
				require.NoError(t, special.make(file))
			}
			_, err = image.Layers(t.Context())
			require.ErrorContains(t, err, special.want)
			_, err = l.Images(t.Context())
			require.ErrorContains(t, err, special.want)
			index := filepath.Join(w.dir, ocispec.ImageIndexFile)
			require.NoError(t, os.Remove(index))
			require.NoError(t, special.make(index))
			_, err = Open(w.dir)
			require.ErrorContains(t, err, special.want)
			if name != "folder" && name != "link" {
				_, err = Open(index)
				require.ErrorContains(t, err, special.want)
			}
		})
	}
}

// Documents come from whoever pushed them: each is read or refused, and what is read is of one kind, named once.
func FuzzImages(f *testing.F) {
	config := `{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}`
	manifest := func(config string) string {
		return fmt.Sprintf(`{"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
			ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, digest.FromString(config), len(config))
	}
	index := func(manifest, more string) string {
		return fmt.Sprintf(`{"manifests":[{"mediaType":%q,"digest":%q,"size":%d,"platform":{"os":"linux","architecture":"amd64"}}%s]}`,
			ocispec.MediaTypeImageManifest, digest.FromString(manifest), len(manifest), more)
	}
	m := manifest(config)
	f.Add(index(m, ""), m, config)
	f.Add(index(m, fmt.Sprintf(`,{"mediaType":%q,"digest":%q,"size":1,"platform":{"os":"unknown","architecture":"unknown"},"annotations":{%q:%q,%q:%q}}`,
		ocispec.MediaTypeImageManifest, digest.FromString("x"), referenceType, attestation, referenceDigest, digest.FromString(m))), m, config)
	f.Add(`{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:x","size":-1}]}`, `{"layers":[],"Layers":[]}`, `[{}]`)
	f.Fuzz(func(t *testing.T, index, manifest, config string) {
		blobs := map[digest.Digest]string{}
		for _, text := range []string{index, manifest, config} {
			blobs[digest.FromString(text)] = text
		}
		l := Remote("x", ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromString(index), Size: int64(len(index))}, fromMap(blobs))
		found, err := l.Images(t.Context())
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, image := range found {
			require.False(t, seen[image.Platform], "two for %s", image.Platform)
			seen[image.Platform] = true
			require.Equal(t, len(image.Manifest.Layers), len(image.Config.RootFS.DiffIDs))
			require.NotContains(t, image.Platform, "\x1b")
			_, _ = image.Statements(t.Context(), "x")
		}
	})
}

func fromMap(blobs map[digest.Digest]string) func(context.Context, ocispec.Descriptor) (io.ReadCloser, error) {
	return func(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		text, ok := blobs[desc.Digest]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return io.NopCloser(strings.NewReader(text)), nil
	}
}
