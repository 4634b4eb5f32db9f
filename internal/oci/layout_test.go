package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// A layoutWriter makes a layout in a folder.
type layoutWriter struct {
	t   *testing.T
	dir string
}

func newLayout(t *testing.T) layoutWriter { return layoutWriter{t, t.TempDir()} }

func (w layoutWriter) file(name string, data []byte) {
	require.NoError(w.t, os.MkdirAll(filepath.Join(w.dir, path.Dir(name)), 0o755))
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, name), data, 0o600))
}

func (w layoutWriter) blob(mediaType string, data []byte) ocispec.Descriptor {
	sum := digest.FromBytes(data)
	w.file("blobs/sha256/"+sum.Encoded(), data)
	return ocispec.Descriptor{MediaType: mediaType, Digest: sum, Size: int64(len(data))}
}

func (w layoutWriter) json(mediaType string, v any) ocispec.Descriptor {
	data, err := json.Marshal(v)
	require.NoError(w.t, err)
	return w.blob(mediaType, data)
}

// image writes an image; its layers are tar archives.
func (w layoutWriter) image(arch string, config ocispec.ImageConfig, layers ...[]byte) ocispec.Descriptor {
	c := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: arch}, Config: config}
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	for _, layer := range layers {
		var packed bytes.Buffer
		gz := gzip.NewWriter(&packed)
		_, err := gz.Write(layer)
		require.NoError(w.t, err)
		require.NoError(w.t, gz.Close())
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, digest.FromBytes(layer))
		c.History = append(c.History, ocispec.History{CreatedBy: "COPY"}, ocispec.History{EmptyLayer: true})
		m.Layers = append(m.Layers, w.blob(ocispec.MediaTypeImageLayerGzip, packed.Bytes()))
	}
	m.Config = w.json(ocispec.MediaTypeImageConfig, c)
	desc := w.json(ocispec.MediaTypeImageManifest, m)
	desc.Platform = &c.Platform
	return desc
}

func (w layoutWriter) index(manifests ...ocispec.Descriptor) {
	data, err := json.Marshal(ocispec.Index{Manifests: manifests})
	require.NoError(w.t, err)
	w.file(ocispec.ImageIndexFile, data)
}

func (w layoutWriter) open() *Layout {
	l, err := Open(w.dir)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, l.Close()) })
	return l
}

// layer makes a tar archive of files by name; a name that ends in a slash is a folder.
func layer(t *testing.T, files ...[2]string) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, f := range files {
		h := &tar.Header{Name: f[0], Mode: 0o755, Size: int64(len(f[1])), Typeflag: tar.TypeReg, Uid: 7, Gid: 8}
		if strings.HasSuffix(f[0], "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o1777
		}
		require.NoError(t, w.WriteHeader(h))
		_, err := io.WriteString(w, f[1])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func TestImages(t *testing.T) {
	w := newLayout(t)
	amd, arm := w.image("amd64", ocispec.ImageConfig{User: "1"}), w.image("arm64", ocispec.ImageConfig{User: "2"})
	attestation := attests(w.json(ocispec.MediaTypeImageManifest, ocispec.Manifest{}), amd.Digest)
	attestation.Platform = platform("unknown/unknown")
	index := w.json(ocispec.MediaTypeImageIndex, ocispec.Index{Manifests: []ocispec.Descriptor{amd, arm, attestation}})
	w.index(index, index, amd) // as for two names
	l := w.open()
	images, err := l.Images(t.Context())
	require.NoError(t, err)
	require.Len(t, images, 2)
	require.Equal(t, "linux/amd64", images[0].Platform)
	require.Equal(t, amd.Digest, images[0].Digest)
	image, err := l.Image(t.Context(), "linux/arm64")
	require.NoError(t, err)
	require.Equal(t, "2", image.Config.Config.User)
	_, err = l.Image(t.Context(), "linux/s390x")
	require.ErrorContains(t, err, "has no image for linux/s390x: it has linux/amd64, linux/arm64")
}

func TestOpenTar(t *testing.T) {
	w := newLayout(t)
	w.index(w.image("amd64", ocispec.ImageConfig{}, layer(t, [2]string{"a", "hello"})))
	name := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(name)
	require.NoError(t, err)
	tw := tar.NewWriter(f)
	require.NoError(t, tw.AddFS(os.DirFS(w.dir)))
	require.NoError(t, tw.Close())
	require.NoError(t, f.Close())

	l, err := Open(name)
	require.NoError(t, err)
	defer l.Close()
	image, err := l.Image(t.Context(), "linux/amd64")
	require.NoError(t, err)
	layers, err := image.Layers(t.Context())
	require.NoError(t, err)
	require.Len(t, layers, 1)
	require.Equal(t, "COPY", layers[0].CreatedBy)
	require.Equal(t, image.Manifest.Layers[0].Size, layers[0].Compressed)
	require.EqualValues(t, len(layer(t, [2]string{"a", "hello"})), layers[0].Uncompressed)
}

func TestDamage(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(w layoutWriter, blob string, data []byte)
		want   string
	}{
		"missing": {func(w layoutWriter, blob string, _ []byte) {
			require.NoError(w.t, os.Remove(filepath.Join(w.dir, blob)))
		}, "lacks sha256:"},
		"other":     {func(w layoutWriter, blob string, data []byte) { data[len(data)/2] ^= 1; w.file(blob, data) }, "sha256:"},
		"truncated": {func(w layoutWriter, blob string, data []byte) { w.file(blob, data[:len(data)-9]) }, "sha256:"},
		"longer":    {func(w layoutWriter, blob string, data []byte) { w.file(blob, append(data, 0)) }, "sha256:"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLayout(t)
			w.index(w.image("amd64", ocispec.ImageConfig{}, layer(t, [2]string{"a", "hello"})))
			image, err := w.open().Image(t.Context(), "linux/amd64")
			require.NoError(t, err)
			blob := path.Join("blobs", "sha256", image.Manifest.Layers[0].Digest.Encoded())
			data, err := os.ReadFile(filepath.Join(w.dir, blob))
			require.NoError(t, err)
			test.damage(w, blob, data)
			_, err = image.Layers(t.Context())
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, image.Unpack(t.Context(), t.TempDir()), test.want)
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none.tar"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(t.TempDir())
	require.ErrorContains(t, err, "is no OCI layout")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("not a tar file, but long enough to be asked for a header"), 0o600))
	_, err = Open(file)
	require.ErrorContains(t, err, "open OCI layout")
}
