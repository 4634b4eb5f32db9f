package bundle

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// This file has what is particular to layers of compiled packages. Unlike all else in a bundle, these compress well: to a
// quarter, which is also what a builder is sent. So they are compressed, and can't be read in place.

// lastUsed is the time of the files in such a layer. A build mounts the layer as the go command's GOCACHE. The go command sets
// the time of an entry that it uses if it is more than an hour old, and for that the whole file would be copied up from the
// layer. So the time is one that is never that old. It is one that all file systems can have.
var lastUsed = time.Unix(math.MaxInt32, 0).Add(-24 * time.Hour)

// maxUnpacked is how many bytes a compressed layer may have in all; packedMemory is what unpacking it may take.
const (
	maxUnpacked  = 16 << 30
	packedMemory = 32 << 20
)

// addPackedLayer writes files as one compressed layer. The annotation of its descriptor is the digest of what it unpacks to.
func (b *Bundle) addPackedLayer(ctx context.Context, files []file) (ocispec.Descriptor, error) {
	unpacked := digest.Canonical.Digester()
	desc, err := b.writeLayer(ctx, ocispec.MediaTypeImageLayerZstd, files, func(w io.Writer) (err error) {
		// One goroutine, since what several write depends on when they run.
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, z.Close()) }()
		return writeTar(ctx, io.MultiWriter(z, unpacked.Hash()), lastUsed, files)
	})
	desc.Annotations = map[string]string{labels.LabelUncompressed: unpacked.Digest().String()}
	return desc, err
}

// diffID returns the digest of what a layer unpacks to.
func diffID(layer ocispec.Descriptor) digest.Digest {
	if of := layer.Annotations[labels.LabelUncompressed]; of != "" {
		return digest.Digest(of)
	}
	return layer.Digest
}

// addPacked adds the files of a compressed layer. It is unpacked into a file without a name; or it is read through, if
// only names and sizes are wanted. It has the right digest, or that is an error.
func (v *View) addPacked(ctx context.Context, b *Bundle, layer ocispec.Descriptor) (err error) {
	ra, err := b.reader(ctx, layer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ra.Close()) }()
	whole := layer.Digest.Verifier()
	z, err := zstd.NewReader(io.TeeReader(content.NewReader(ra), whole), zstd.WithDecoderMaxMemory(packedMemory), zstd.WithDecoderMaxWindow(packedMemory))
	if err != nil {
		return err
	}
	defer z.Close()
	unpacked := &boundedReader{r: z, left: maxUnpacked, ctx: ctx}
	read := v.spool
	if v.names {
		read = v.skim
	}
	if err := read(b, layer.Digest, unpacked); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return fmt.Errorf("%s: layer %s is damaged: %w", b.dir, layer.Digest, err)
	}
	if !whole.Verified() {
		return fmt.Errorf("%s is damaged: layer %s has another digest: copy it again", b.dir, layer.Digest)
	}
	return nil
}

// spool unpacks a layer into a file that no one else can open.
func (v *View) spool(b *Bundle, layer digest.Digest, unpacked io.Reader) error {
	f, err := os.CreateTemp("", "larder-layer-*")
	if err != nil {
		return err
	}
	v.readers = append(v.readers, f)
	if err := os.Remove(f.Name()); err != nil {
		return err
	}
	size, err := io.Copy(f, unpacked)
	if err != nil {
		return fmt.Errorf("%s: unpacking layer %s: %w", b.dir, layer, err)
	}
	return v.addTar(b, layer, io.NewSectionReader(f, 0, size), f)
}

// skimmed is how large a file may be for skim to keep it, in bytes. An entry of a GOCACHE has less.
const skimmed = 256

// skim reads through a layer. It keeps small files, such as the entries of a GOCACHE, and can read no others.
func (v *View) skim(b *Bundle, layer digest.Digest, unpacked io.Reader) error {
	for t := tar.NewReader(unpacked); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: layer %s is damaged: %w", b.dir, layer, err)
		}
		if err := checkHeader(h, maxUnpacked); err != nil {
			return fmt.Errorf("%s: layer %s has %w", b.dir, layer, err)
		}
		e := &entry{name: h.Name, layer: unreadFile{}, size: h.Size}
		if h.Size <= skimmed {
			data, err := io.ReadAll(t)
			if err != nil {
				return fmt.Errorf("%s: layer %s is damaged: %w", b.dir, layer, err)
			}
			e.layer = bytes.NewReader(data)
		}
		if err := v.file(e); err != nil {
			return fmt.Errorf("%s: layer %s: %w", b.dir, layer, err)
		}
	}
}

// An unreadFile is a file that skim didn't keep.
type unreadFile struct{}

// ReadAt implements io.ReaderAt.
func (unreadFile) ReadAt([]byte, int64) (int, error) {
	return 0, errors.New("only the names of the layer's files were read")
}

// A boundedReader fails after a number of bytes, or when the context ends.
type boundedReader struct {
	r    io.Reader
	left int64
	ctx  context.Context
}

// Read implements io.Reader.
func (c *boundedReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("it unpacks to more than %d bytes", int64(maxUnpacked))
	}
	return n, err
}
