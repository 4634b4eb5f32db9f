package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// addBlob adds a small blob and returns its descriptor.
func (b *Bundle) addBlob(ctx context.Context, mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return desc, b.writeBlob(ctx, desc, data)
}

func (b *Bundle) writeBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error {
	whole, err := b.whole(ctx, desc)
	if err != nil || whole {
		return err
	}
	err = b.ingest(ctx, "blob-"+desc.Digest.String(), func(ref string) error {
		return content.WriteBlob(ctx, b.store, ref, strings.NewReader(string(data)), desc)
	})
	if err != nil {
		return fmt.Errorf("writing blob %s of the bundle: %w", desc.Digest, err)
	}
	return nil
}

// whole reports whether a blob is there. It removes a blob whose bytes don't have its digest. If only the size is
// wrong, the descriptor is at fault, since the blob may belong to an older bundle, and that is an error.
func (b *Bundle) whole(ctx context.Context, desc ocispec.Descriptor) (there bool, err error) {
	ra, err := b.openBlob(desc)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	v := desc.Digest.Verifier()
	_, err = io.Copy(v, content.NewReader(ra))
	if err = errors.Join(err, ra.Close()); err != nil {
		return false, fmt.Errorf("%s: reading blob %s: %w", b.dir, desc.Digest, err)
	}
	if !v.Verified() {
		return false, b.store.Delete(ctx, desc.Digest)
	}
	if ra.Size() != desc.Size {
		return false, fmt.Errorf("blob %s has %d bytes, and not the %d that are said of it: refusing what says so", desc.Digest, ra.Size(), desc.Size)
	}
	return true, nil
}

// ingest calls write, which writes a blob under a reference and continues where an earlier run stopped. If write wrote
// a blob with another digest, ingest removes it, since otherwise no later run could write the right one.
func (b *Bundle) ingest(ctx context.Context, ref string, write func(ref string) error) error {
	err := write(ref)
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if errdefs.IsFailedPrecondition(err) {
		err = errors.Join(err, b.store.Abort(ctx, ref))
	}
	return err
}

func (b *Bundle) addJSON(ctx context.Context, mediaType string, v any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return b.addBlob(ctx, mediaType, data)
}

// readJSON reads a small blob of JSON, and checks the digest and size that desc gives.
func (b *Bundle) readJSON(ctx context.Context, desc ocispec.Descriptor, v any) error {
	data, err := b.readBlob(ctx, desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: blob %s is not what its type %s says: %w", b.dir, desc.Digest, desc.MediaType, err)
	}
	return nil
}

func (b *Bundle) readBlob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > maxIndex {
		return nil, fmt.Errorf("%s: blob %s (%s) says to have %d bytes: at most %d are read", b.dir, desc.Digest, desc.MediaType, desc.Size, maxIndex)
	}
	if b.inBase(ctx, desc) {
		return b.base.readBlob(ctx, desc)
	}
	ra, err := b.reader(ctx, desc)
	if err != nil {
		return nil, err
	}
	defer ra.Close()
	data := make([]byte, desc.Size)
	if err := readFull(ra, data, 0); err != nil {
		return nil, fmt.Errorf("%s: reading blob %s: %w", b.dir, desc.Digest, err)
	}
	if got := desc.Digest.Algorithm().FromBytes(data); got != desc.Digest {
		return nil, digestError(b.dir, desc, got)
	}
	return data, nil
}

// openPlain opens a regular file. It doesn't wait for anything else, such as a pipe.
func openPlain(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file (%s)", name, info.Mode().Type())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// A blobFile is the file of a blob.
type blobFile struct {
	*os.File
	size int64
}

// Size implements content.ReaderAt.
func (f blobFile) Size() int64 { return f.size }

// openBlob opens the file of a blob.
func (b *Bundle) openBlob(desc ocispec.Descriptor) (content.ReaderAt, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%s is damaged: a blob has digest %q: %w", b.dir, desc.Digest, err)
	}
	f, err := openPlain(filepath.Join(b.dir, ocispec.ImageBlobsDir, desc.Digest.Algorithm().String(), desc.Digest.Encoded()))
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return blobFile{f, info.Size()}, nil
}

// reader opens a blob, and checks the size that desc gives.
func (b *Bundle) reader(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if b.inBase(ctx, desc) {
		return b.base.reader(ctx, desc)
	}
	ra, err := b.openBlob(desc)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, b.missingBlob(desc)
	}
	if err != nil {
		return nil, err
	}
	if size := ra.Size(); size != desc.Size {
		return nil, errors.Join(sizeError(b.dir, desc, size), ra.Close())
	}
	return ra, nil
}

// inBase reports whether a delta leaves out a blob because the bundle that it is applied to has the blob.
func (b *Bundle) inBase(ctx context.Context, desc ocispec.Descriptor) bool {
	return b.base != nil && !b.has(ctx, desc) && b.base.has(ctx, desc)
}

func (b *Bundle) missingBlob(desc ocispec.Descriptor) error {
	if b.Since() != "" && b.base == nil {
		return b.deltaError()
	}
	return fmt.Errorf("%s is not whole: it lacks blob %s (%s, %d bytes): copy it again, or run 'larder bundle pull' or 'create' again", b.dir, desc.Digest, desc.MediaType, desc.Size)
}

func sizeError(dir string, desc ocispec.Descriptor, got int64) error {
	return fmt.Errorf("%s is damaged: blob %s has %d bytes, expected %d: copy it again", dir, desc.Digest, got, desc.Size)
}

func digestError(dir string, desc ocispec.Descriptor, got digest.Digest) error {
	return fmt.Errorf("%s is damaged: blob %s has digest %s: copy it again", dir, desc.Digest, got)
}

// has reports whether a blob is there and has the right size.
func (b *Bundle) has(ctx context.Context, desc ocispec.Descriptor) bool {
	info, err := b.store.Info(ctx, desc.Digest)
	return err == nil && info.Size == desc.Size
}

// copyBlob copies a blob from another bundle, unless it is there already.
func (b *Bundle) copyBlob(ctx context.Context, from *Bundle, desc ocispec.Descriptor) error {
	if b.has(ctx, desc) {
		return nil
	}
	ra, err := from.reader(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	err = b.ingest(ctx, "copy-"+desc.Digest.String(), func(ref string) error {
		return content.WriteBlob(ctx, b.store, ref, content.NewReader(ra), ocispec.Descriptor{Digest: desc.Digest, Size: desc.Size})
	})
	if err != nil {
		return fmt.Errorf("copying blob %s from %s: %w", desc.Digest, from.dir, err)
	}
	return nil
}

// collect removes the blobs that the index doesn't lead to or that a delta leaves out, and the remains of unfinished
// writes.
func (b *Bundle) collect(ctx context.Context) error {
	used := map[digest.Digest]bool{}
	if err := b.walk(ctx, func(d ocispec.Descriptor) error { used[d.Digest] = true; return nil }); err != nil {
		return err
	}
	var unused []digest.Digest
	err := b.store.Walk(ctx, func(info content.Info) error {
		inBase := b.base != nil && b.base.has(ctx, ocispec.Descriptor{Digest: info.Digest, Size: info.Size})
		if inBase || !used[info.Digest] {
			unused = append(unused, info.Digest)
		}
		return nil
	})
	for _, d := range unused {
		err = errors.Join(err, b.store.Delete(ctx, d))
	}
	return errors.Join(err, b.sweep())
}

// sweep removes files that killed runs were writing.
func (b *Bundle) sweep() error {
	var errs []error
	for _, pattern := range []string{"ingest/*", "." + ocispec.ImageIndexFile + "-*", "." + ocispec.ImageLayoutFile + "-*", ".fsverity-check-*"} {
		names, err := fs.Glob(os.DirFS(b.dir), pattern)
		errs = append(errs, err)
		for _, name := range names {
			errs = append(errs, os.RemoveAll(filepath.Join(b.dir, name)))
		}
	}
	return errors.Join(errs...)
}
