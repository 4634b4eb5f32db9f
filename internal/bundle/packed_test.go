package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// packed returns a compressed layer.
func packed(t *testing.T, layer []byte) []byte {
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return z.EncodeAll(layer, nil)
}

// Compiled packages are compressed, and the time of their files is one that no go command sets anew.
func TestPackedLayer(t *testing.T) {
	s := newStock(t, 2)
	c := s.compiledFor("one.example/app", strings.Repeat("a", 1<<20))
	b := s.create(t.TempDir(), s.compiledRequest(s.toolchain("go1.99.0"), c))
	layers, err := b.layers(t.Context(), "compiled-"+c.Recipe.Key())
	require.NoError(t, err)
	require.Len(t, layers, 2)
	require.Equal(t, ocispec.MediaTypeImageLayerZstd, layers[0].MediaType)
	require.Equal(t, ocispec.MediaTypeImageLayer, layers[1].MediaType)
	require.Less(t, layers[0].Size, int64(1<<16))
	f, err := os.Open(filepath.Join(b.Dir(), ocispec.ImageBlobsDir, "sha256", layers[0].Digest.Encoded()))
	require.NoError(t, err)
	defer f.Close()
	z, err := zstd.NewReader(f)
	require.NoError(t, err)
	defer z.Close()
	verifier := diffID(layers[0]).Verifier()
	r := tar.NewReader(io.TeeReader(z, verifier))
	for n := 0; ; n++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			require.Equal(t, 2, n)
			break
		}
		require.NoError(t, err)
		require.Equal(t, lastUsed.UTC(), h.ModTime.UTC())
		_, err = io.Copy(io.Discard, r)
		require.NoError(t, err)
	}
	_, err = io.Copy(verifier, z)
	require.NoError(t, err)
	require.True(t, verifier.Verified())
}

// A compressed layer is looked into as another is, read in place or for its names alone.
func TestHostilePackedLayers(t *testing.T) {
	s := newStock(t, 2)
	toolchain, c := s.toolchain("go1.99.0"), s.compiledFor("one.example/app", "a")
	name := "compiled-" + c.Recipe.Key()
	tarOf := func(h tar.Header) []byte {
		var layer bytes.Buffer
		w := tar.NewWriter(&layer)
		require.NoError(t, w.WriteHeader(&h))
		return append(layer.Bytes(), make([]byte, 1024)...)
	}
	link := packed(t, tarOf(tar.Header{Name: "aa/x", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}))
	for what, tt := range map[string]struct {
		layer []byte
		want  string
	}{
		"a link":        {link, "which is no plain file"},
		"another file":  {packed(t, tarOf(tar.Header{Name: "bin/go"})), "is no file of a GOCACHE"},
		"no zstd":       {tarOf(tar.Header{Name: "bin/go"}), "magic number mismatch"},
		"a part":        {link[:len(link)-8], "unexpected EOF"},
		"half a header": {packed(t, []byte(strings.Repeat("x", 600))), "is damaged"},
		"a wide window": {append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf0}, link...), "window size exceeded"},
	} {
		t.Run(what, func(t *testing.T) {
			b := s.create(filepath.Join(t.TempDir(), "bundle"), s.compiledRequest(toolchain, c))
			layers, err := b.layers(t.Context(), name)
			require.NoError(t, err)
			desc, err := b.addBlob(t.Context(), ocispec.MediaTypeImageLayerZstd, tt.layer)
			require.NoError(t, err)
			require.NoError(t, b.addImage(t.Context(), name, append(layers, desc)))
			_, err = b.CompiledContexts(t.Context())
			require.ErrorContains(t, err, tt.want)
			_, err = b.Verify(t.Context(), s.set(), "", nil)
			require.ErrorContains(t, err, tt.want)
		})
	}
	t.Run("other bytes", func(t *testing.T) {
		b := s.create(filepath.Join(t.TempDir(), "bundle"), s.compiledRequest(toolchain, c))
		layers, err := b.layers(t.Context(), name)
		require.NoError(t, err)
		file := filepath.Join(b.Dir(), ocispec.ImageBlobsDir, "sha256", layers[0].Digest.Encoded())
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		var empty bytes.Buffer
		require.NoError(t, tar.NewWriter(&empty).Close())
		other := packed(t, empty.Bytes())
		other = append(other, 0x50, 0x2a, 0x4d, 0x18, byte(len(data)-len(other)-8), 0, 0, 0) // a frame that is skipped
		other = append(other, make([]byte, len(data)-len(other))...)
		require.NoError(t, os.Chmod(file, 0o644))
		require.NoError(t, os.WriteFile(file, other, 0o644))
		_, err = b.CompiledContexts(t.Context())
		require.ErrorContains(t, err, "has another digest: copy it again")
	})
	t.Run("a layer of other images", func(t *testing.T) {
		b := s.create(filepath.Join(t.TempDir(), "bundle"), s.compiledRequest(toolchain, c))
		desc, err := b.addBlob(t.Context(), ocispec.MediaTypeImageLayerZstd, link)
		require.NoError(t, err)
		require.NoError(t, b.addImage(t.Context(), ModulesName, []ocispec.Descriptor{desc}))
		_, err = b.View(t.Context(), ModulesName)
		require.ErrorContains(t, err, "expected "+ocispec.MediaTypeImageLayer)
	})
}

// Neither is more unpacked than a bound, nor after the end of a context.
func TestUnpackedIsBounded(t *testing.T) {
	_, err := io.Copy(io.Discard, &boundedReader{r: strings.NewReader("four"), left: 3, ctx: t.Context()})
	require.ErrorContains(t, err, "it unpacks to more than")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = io.Copy(io.Discard, &boundedReader{r: strings.NewReader("four"), left: 4, ctx: ctx})
	require.ErrorIs(t, err, context.Canceled)
}
