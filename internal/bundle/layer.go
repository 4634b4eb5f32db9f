package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A file is the name and content of a file for a layer.
type file struct {
	name string
	size int64
	open func() (io.ReadCloser, error)
}

func memoryFile(name string, data []byte) file {
	return file{name, int64(len(data)), func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(data))), nil }}
}

func diskFile(name, path string) (file, error) {
	info, err := os.Stat(path)
	if err != nil {
		return file{}, err
	}
	return file{name, info.Size(), func() (io.ReadCloser, error) { return os.Open(path) }}, nil
}

// addLayer writes files as one uncompressed layer: most files are compressed already, and this way each can be read in
// place. The layer depends on the names and contents alone: entries are sorted and have neither times nor
// owners.
func (b *Bundle) addLayer(ctx context.Context, files []file) (desc ocispec.Descriptor, err error) {
	return b.writeLayer(ctx, ocispec.MediaTypeImageLayer, files, func(w io.Writer) error { return writeTar(ctx, w, time.Unix(0, 0), files) })
}

// writeLayer sorts the files of a layer, and writes the layer by what writes them.
func (b *Bundle) writeLayer(ctx context.Context, mediaType string, files []file, write func(w io.Writer) error) (desc ocispec.Descriptor, err error) {
	slices.SortFunc(files, func(x, y file) int { return strings.Compare(x.name, y.name) })
	ref := "layer-" + layerRef(files)
	if err := b.store.Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
		return desc, err
	}
	w, err := content.OpenWriter(ctx, b.store, content.WithRef(ref))
	if err != nil {
		return desc, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := write(w); err != nil {
		return desc, err
	}
	status, err := w.Status()
	if err != nil {
		return desc, err
	}
	desc = ocispec.Descriptor{MediaType: mediaType, Digest: w.Digest(), Size: status.Offset}
	if _, err := b.whole(ctx, desc); err != nil {
		return desc, err
	}
	if err := w.Commit(ctx, desc.Size, desc.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return desc, fmt.Errorf("writing a layer of the bundle: %w", err)
	}
	return desc, nil
}

func layerRef(files []file) string {
	h := digest.Canonical.Digester()
	for _, f := range files {
		fmt.Fprintln(h.Hash(), f.name)
	}
	return h.Digest().Encoded()
}

func writeTar(ctx context.Context, w io.Writer, at time.Time, files []file) error {
	t := tar.NewWriter(w)
	for _, f := range files {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := t.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: f.size, ModTime: at, Format: tar.FormatPAX}); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		r, err := f.open()
		if err != nil {
			return err
		}
		_, err = io.Copy(t, r)
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return t.Close()
}

// addImage adds an image of layers and gives it a name. It has a platform only because some
// tools need one.
func (b *Bundle) addImage(ctx context.Context, name string, layers []ocispec.Descriptor) error {
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{}}}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID(l))
	}
	desc, err := b.addJSON(ctx, ocispec.MediaTypeImageConfig, config)
	if err != nil {
		return err
	}
	return b.addManifest(ctx, name, "", desc, layers)
}

func (b *Bundle) addManifest(ctx context.Context, name, artifactType string, config ocispec.Descriptor, layers []ocispec.Descriptor) error {
	m := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: config, Layers: layers}
	m.SchemaVersion = 2
	desc, err := b.addJSON(ctx, ocispec.MediaTypeImageManifest, m)
	if err != nil {
		return err
	}
	b.setImage(name, desc)
	return nil
}

// layers returns the layers of one of the bundle's own images, or none if the bundle lacks the image.
func (b *Bundle) layers(ctx context.Context, name string) ([]ocispec.Descriptor, error) {
	desc, ok := b.Images()[name]
	if !ok {
		return nil, nil
	}
	m, err := b.readManifest(ctx, name, desc)
	if err == nil && len(m.Layers) > maxLayers {
		err = fmt.Errorf("%s: its image %s has %d layers, at most %d are read: don't use this bundle", b.dir, name, len(m.Layers), maxLayers)
	}
	return m.Layers, err
}

// readManifest reads the manifest of one of the bundle's own images. It checks that the media type is that of a
// manifest, because otherwise its blobs would be verified as something else.
func (b *Bundle) readManifest(ctx context.Context, name string, desc ocispec.Descriptor) (m ocispec.Manifest, err error) {
	if !images.IsManifestType(desc.MediaType) {
		return m, fmt.Errorf("%s is damaged: its image %s is of type %q, expected %s", b.dir, name, desc.MediaType, ocispec.MediaTypeImageManifest)
	}
	err = b.readJSON(ctx, desc, &m)
	return m, err
}
