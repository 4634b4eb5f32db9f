package bundle

import (
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/larder-build/larder/internal/fetch/modfetch"
)

// watchedReader tells how far a blob is read.
type watchedReader struct {
	io.ReaderAt
	at func(bytes int64)
}

// ReadAt implements io.ReaderAt.
func (r watchedReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	r.at(off + int64(n))
	return n, err
}

// watchedSink tells how much of a file is there.
type watchedSink struct {
	modfetch.Sink
	at func(bytes int64)
}

// WriteAt implements io.WriterAt.
func (s watchedSink) WriteAt(p []byte, off int64) (int, error) {
	n, err := s.Sink.WriteAt(p, off)
	s.at(off + int64(n))
	return n, err
}

// watchedStore tells how much of each blob is written that is put into it.
type watchedStore struct {
	content.Ingester
	at func(bytes int64)
}

// Writer implements content.Ingester.
func (s watchedStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	w, err := s.Ingester.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return watchedWriter{w, s.at}, nil
}

type watchedWriter struct {
	content.Writer
	at func(bytes int64)
}

// Write implements io.Writer.
func (w watchedWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if status, serr := w.Status(); serr == nil {
		w.at(status.Offset)
	}
	return n, err
}
