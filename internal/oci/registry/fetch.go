package registry

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/larder-build/larder/internal/fetch"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// progressToRetry is the number of bytes that a broken download must have brought so that the count of tries starts
// anew.
const progressToRetry = 1 << 20

// A fetcher gets blobs and manifests of a repository.
type fetcher struct {
	access *access
	inner  remotes.Fetcher
}

// Fetch implements remotes.Fetcher. The result is also an io.Seeker. It asks the registry only when it is read, and has
// no more bytes than desc says. The reader has to check the digest.
func (f fetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if desc.Size <= 0 {
		return nil, fmt.Errorf("%s is said to have %d bytes: the image is damaged", desc.Digest, desc.Size)
	}
	desc.URLs = nil // a manifest doesn't say whom else to ask
	return &download{ctx: quiet(ctx), from: f, desc: desc, try: 1}, nil
}

// A download is a reader of a blob that continues where the transfer broke off.
type download struct {
	ctx    context.Context
	from   fetcher
	desc   ocispec.Descriptor
	body   io.ReadCloser // nil before the first byte, and when it broke off
	offset int64
	try    int
	began  int64 // the offset at which tries were counted from
	failed error // why the body broke off
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		rest := d.desc.Size - d.offset
		if rest <= 0 {
			return 0, io.EOF
		}
		if d.failed != nil {
			if err := d.again(); err != nil {
				return 0, d.from.access.explain(d.ctx, err)
			}
		}
		n, err := d.read(p[:min(int64(len(p)), rest)])
		d.offset += int64(n)
		if errors.Is(err, io.EOF) && int64(n) < rest {
			err = &fetch.TemporaryError{Err: fmt.Errorf("%s sent %d of the %d bytes of %s", d.from.access.host(), d.offset, d.desc.Size, d.desc.Digest)}
		}
		if err != nil && !errors.Is(err, io.EOF) {
			d.failed = err
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// read reads from the body. If there is no body yet, it requests one first.
func (d *download) read(p []byte) (int, error) {
	if d.body == nil {
		body, err := d.from.inner.Fetch(d.ctx, d.desc)
		if err != nil {
			return 0, err
		}
		d.body = body
		if _, err := body.(io.Seeker).Seek(d.offset, io.SeekStart); err != nil { // containerd's are seekers
			return 0, err
		}
	}
	return d.body.Read(p)
}

// again waits for the next try, if one is allowed.
func (d *download) again() error {
	if d.offset-d.began >= progressToRetry {
		d.began, d.try = d.offset, 1
	}
	if err := d.from.access.client.Policy.Next(d.ctx, d.try, unwrapped(d.failed)); err != nil {
		return err
	}
	d.try++
	d.failed = nil
	return d.Close()
}

// Seek implements io.Seeker.
func (d *download) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += d.offset
	case io.SeekEnd:
		offset += d.desc.Size
	}
	if offset < 0 {
		return d.offset, errors.New("seeking to before the beginning of a blob")
	}
	if offset == d.offset {
		return offset, nil
	}
	d.offset, d.began, d.failed = offset, offset, nil
	return offset, d.Close()
}

// Close implements io.Closer.
func (d *download) Close() error {
	if d.body == nil {
		return nil
	}
	body := d.body
	d.body = nil
	return body.Close()
}
