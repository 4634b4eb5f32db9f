package verify

import (
	"io"

	"github.com/larder-build/larder/internal/progress"
)

// A watchedReader tells how many bytes of an item were read.
type watchedReader struct {
	io.Reader
	item string
	size int64
	p    progress.Reporter
}

// Read implements io.Reader.
func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.size += int64(n)
	w.p.At(w.item, w.size, 0)
	return n, err
}
