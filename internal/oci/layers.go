package oci

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/opencontainers/go-digest"
)

// A Layer has the sizes of a layer, both compressed, as a registry holds it, and as a plain tar.
type Layer struct {
	Digest       digest.Digest
	Compressed   int64
	Uncompressed int64
	CreatedBy    string // the instruction it comes from, if the history tells
}

// Layers reads all layers, checks each against its digest and its diff ID, and returns their sizes, lowest first.
func (i *Image) Layers(ctx context.Context) ([]Layer, error) {
	history := i.layerHistory()
	var layers []Layer
	for n, desc := range i.Manifest.Layers {
		layer := Layer{Digest: desc.Digest, Compressed: desc.Size, CreatedBy: history[n]}
		err := i.ReadLayer(ctx, n, func(r io.Reader) (err error) {
			layer.Uncompressed, err = io.Copy(io.Discard, r)
			return err
		})
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	return layers, nil
}

// layerHistory returns one entry of history for each layer.
func (i *Image) layerHistory() []string {
	var lines []string
	for _, h := range i.Config.History {
		if !h.EmptyLayer {
			lines = append(lines, h.CreatedBy)
		}
	}
	if len(lines) != len(i.Manifest.Layers) {
		return make([]string, len(i.Manifest.Layers))
	}
	return lines
}

// Unpack makes the image's root file system in dir, which must be empty. It has to run as root to set the files'
// owners.
func (i *Image) Unpack(ctx context.Context, dir string) error {
	for n := range i.Manifest.Layers {
		err := i.ReadLayer(ctx, n, func(r io.Reader) error {
			_, err := archive.Apply(ctx, dir, r)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ReadLayer passes a layer's uncompressed tar to read, then checks it against the manifest and the config. Layer 0 is
// the lowest.
func (i *Image) ReadLayer(ctx context.Context, n int, read func(io.Reader) error) error {
	b, err := i.layout.openBlob(ctx, i.Manifest.Layers[n])
	if err != nil {
		return err
	}
	defer b.Close()
	plain, err := compression.DecompressStream(b)
	if err != nil {
		return fmt.Errorf("decompress layer %s: %w", b.desc.Digest, err)
	}
	defer plain.Close()
	sum := i.Config.RootFS.DiffIDs[n].Verifier()
	tar := io.TeeReader(plain, sum)
	if err := read(tar); err != nil {
		return fmt.Errorf("read layer %s: %w", b.desc.Digest, err)
	}
	if _, err := io.Copy(io.Discard, tar); err != nil {
		return fmt.Errorf("read layer %s: %w", b.desc.Digest, err)
	}
	if !sum.Verified() {
		return fmt.Errorf("layer %s holds other content than its diff ID %s says", b.desc.Digest, i.Config.RootFS.DiffIDs[n])
	}
	return b.verify()
}
