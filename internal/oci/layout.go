// Package oci opens OCI image layouts, as BuildKit's oci exporter writes them, and images in registries. It unpacks
// images and starts them with runc. Tests, the demo and larder verify look at finished images with it: all facts about
// an image come from the image's own bytes, checked against its digests, and not from what the build reported.
package oci

import (
	"archive/tar"
	"context"
	_ "crypto/sha256" // so that digests can be checked
	_ "crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxJSON      = 4 << 20   // an index, a manifest or a config; registries take no larger one
	maxStatement = 128 << 20 // an attestation; BuildKit attaches none over 80 MiB
)

// A Layout is an OCI image layout, open for reading, or an image in a registry.
type Layout struct {
	Index ocispec.Index // index.json

	name  string
	ref   string // in a registry; empty for one on disk
	blobs func(context.Context, ocispec.Descriptor) (io.ReadCloser, error)
	close func() error
}

// Remote returns an image, or an index, of a registry as a layout that holds nothing else. The name is its full name.
// The function fetch returns the content of a descriptor, which Layout checks.
func Remote(name string, desc ocispec.Descriptor, fetch func(context.Context, ocispec.Descriptor) (io.ReadCloser, error)) *Layout {
	return &Layout{Index: ocispec.Index{Manifests: []ocispec.Descriptor{desc}}, name: name, ref: name, blobs: fetch, close: func() error { return nil }}
}

// files has the files of a layout, which is a folder or a tar file.
type files interface {
	open(name string) (io.ReadCloser, error)
	Close() error
}

// Open opens a layout that is a folder or an uncompressed tar file. The caller closes it.
func Open(name string) (*Layout, error) {
	files, err := openFiles(name)
	if err != nil {
		return nil, fmt.Errorf("open OCI layout: %w", err)
	}
	l := &Layout{name: name, close: files.Close}
	l.blobs = func(_ context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
		return files.open(path.Join(ocispec.ImageBlobsDir, desc.Digest.Algorithm().String(), desc.Digest.Encoded()))
	}
	if err := l.readIndex(files); err != nil {
		files.Close()
		return nil, fmt.Errorf("%s is no OCI layout: %w", name, err)
	}
	return l, nil
}

func openFiles(name string) (files, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return openTarball(name)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	return folder{root}, nil
}

// imageName is the annotation in which builders keep an image's full name.
const imageName = "io.containerd.image.name"

// Reference returns the full name of the image: the one in a registry, or what the builder of a layout says, whoever that is;
// "" if nobody says one, or several images are in it.
func (l *Layout) Reference() string {
	if l.ref != "" || len(l.Index.Manifests) != 1 {
		return l.ref
	}
	return l.Index.Manifests[0].Annotations[imageName]
}

// Close closes the files of the layout.
func (l *Layout) Close() error { return l.close() }

func (l *Layout) readIndex(files files) error {
	f, err := files.open(ocispec.ImageIndexFile)
	if err != nil {
		return err
	}
	defer f.Close()
	return decode(f, maxJSON, &l.Index)
}

// readJSON reads a blob of JSON and checks it against its descriptor.
func (l *Layout) readJSON(ctx context.Context, desc ocispec.Descriptor, limit int64, v any) error {
	b, err := l.openBlob(ctx, desc)
	if err != nil {
		return err
	}
	defer b.Close()
	if err := decode(b, limit, v); err != nil {
		return fmt.Errorf("%s in %s: %w", desc.Digest, l.name, err)
	}
	return b.verify()
}

func decode(r io.Reader, limit int64, v any) error {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return err
	}
	if int64(len(data)) > limit {
		return fmt.Errorf("more than %d bytes of JSON", limit)
	}
	return json.Unmarshal(data, v)
}

// A blob is the content of a descriptor. Reads fail once ctx is done.
type blob struct {
	io.Reader
	io.Closer
	layout string
	desc   ocispec.Descriptor
	sum    digest.Verifier
	size   int64
}

func (l *Layout) openBlob(ctx context.Context, desc ocispec.Descriptor) (*blob, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%s names %q: %w", l.name, desc.Digest, err)
	}
	f, err := l.blobs(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("%s lacks %s: %w", l.name, desc.Digest, err)
	}
	b := &blob{Closer: f, layout: l.name, desc: desc, sum: desc.Digest.Verifier()}
	b.Reader = io.TeeReader(readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := f.Read(p)
		if b.size += int64(n); b.size > desc.Size {
			return n, b.damaged()
		}
		return n, err
	}), b.sum)
	return b, nil
}

// verify reads the rest and checks size and digest.
func (b *blob) verify() error {
	if _, err := io.Copy(io.Discard, b.Reader); err != nil {
		return fmt.Errorf("read %s in %s: %w", b.desc.Digest, b.layout, err)
	}
	if b.size != b.desc.Size || !b.sum.Verified() {
		return b.damaged()
	}
	return nil
}

func (b *blob) damaged() error {
	return fmt.Errorf("%s is damaged, build it again: blob %s has other content than its digest or size (%d) says", b.layout, b.desc.Digest, b.desc.Size)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type folder struct{ *os.Root }

func (f folder) open(name string) (io.ReadCloser, error) {
	// A pipe would wait for somebody to write.
	file, err := f.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return regular(file)
}

// regular returns f if it is a regular file, and an error otherwise: a device may have no end, and a pipe may have no
// writer.
func regular(f *os.File) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is no file but %s: expected a file", modeName(info.Mode()))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func modeName(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something special"
}

// A tarball finds the files of a tar file by their offsets, so that no file is read before it is needed.
type tarball struct {
	*os.File
	members map[string]member
}

type member struct{ offset, size int64 }

func openTarball(name string) (files, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		f, err = regular(f)
	}
	if err != nil {
		return nil, err
	}
	t := tarball{f, map[string]member{}}
	if err := t.find(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func (t tarball) find() error {
	for r := tar.NewReader(t.File); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// The reader reads no further than the header, and has no buffer: the content is at the file's own position.
		offset, err := t.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if h.Typeflag == tar.TypeReg {
			t.members[path.Clean(h.Name)] = member{offset, h.Size}
		}
	}
}

func (t tarball) open(name string) (io.ReadCloser, error) {
	m, ok := t.members[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(t.File, m.offset, m.size)), nil
}
