package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// blockSize is how many bytes of a steadyBlob are checked at a time.
const blockSize = 64 << 10

// A steadyBlob is a blob that had the right digest when it was opened. Later reads return only those bytes, or fail if
// somebody has written to the file since. For that it keeps a hash of each block.
type steadyBlob struct {
	content.ReaderAt
	sums [][sha256.Size]byte
	last atomic.Pointer[block] // small reads are often of the same block
}

type block struct {
	n    int64
	data []byte
}

// steady reads a blob once, checks its digest, and keeps a hash of each block.
func steady(ra content.ReaderAt, desc ocispec.Descriptor) (*steadyBlob, error) {
	s := &steadyBlob{ReaderAt: ra}
	whole := desc.Digest.Verifier()
	buf := make([]byte, blockSize)
	for at := int64(0); at < ra.Size(); at += blockSize {
		data := buf[:min(blockSize, ra.Size()-at)]
		if err := readFull(ra, data, at); err != nil {
			return nil, err
		}
		_, _ = whole.Write(data) // a hash has no errors
		s.sums = append(s.sums, sha256.Sum256(data))
	}
	if !whole.Verified() {
		return nil, errors.New("it has another digest: copy it again")
	}
	return s, nil
}

func readFull(ra io.ReaderAt, p []byte, off int64) error {
	n, err := ra.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return errors.Join(err, io.ErrUnexpectedEOF)
}

// ReadAt implements io.ReaderAt.
func (s *steadyBlob) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("offset %d", off)
	}
	for n < len(p) {
		at := off + int64(n)
		if at >= s.Size() {
			return n, io.EOF
		}
		data, err := s.block(at / blockSize)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], data[at%blockSize:])
	}
	return n, nil
}

func (s *steadyBlob) block(n int64) ([]byte, error) {
	if b := s.last.Load(); b != nil && b.n == n {
		return b.data, nil
	}
	b := &block{n, make([]byte, min(blockSize, s.Size()-n*blockSize))}
	if err := readFull(s.ReaderAt, b.data, n*blockSize); err != nil {
		return nil, err
	}
	if sha256.Sum256(b.data) != s.sums[n] {
		return nil, errors.New("a blob of the bundle was changed while it was read: don't use this bundle")
	}
	s.last.Store(b)
	return b.data, nil
}
