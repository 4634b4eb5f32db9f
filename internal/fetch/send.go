package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A SilenceError says that a server sent nothing for a time.
type SilenceError struct{ For time.Duration }

// Error implements error.
func (e *SilenceError) Error() string { return fmt.Sprintf("it sent nothing for %v", e.For) }

// Silence returns a TemporaryError for a server that sent nothing for d.
func Silence(d time.Duration) error { return &TemporaryError{Err: &SilenceError{d}} }

// Send sends one request with do, such as the method of an http.Client or an http.RoundTripper. It fails if the server
// is silent for too long, and so do reads of the body; the caller must close the body. An error is a TemporaryError if
// another try may succeed. Errors don't name the server, because callers do, nor the URL, which may be signed after a
// redirect.
func (p Policy) Send(req *http.Request, do func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	var answered atomic.Bool // what is sent may still be read then, and set the timer
	head := time.AfterFunc(p.HeadWait, func() {
		if !answered.Load() {
			cancel(Silence(p.HeadWait))
		}
	})
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &sending{ReadCloser: req.Body, head: head, policy: p}
	}
	resp, err := do(req)
	answered.Store(true)
	head.Stop()
	if err != nil {
		err = networkError(ctx, err)
		cancel(nil)
		return nil, err
	}
	watch := time.AfterFunc(p.Stall, func() { cancel(Silence(p.Stall)) })
	watch.Stop()
	resp.Body = &receiving{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, watch: watch, stall: p.Stall}
	return resp, nil
}

// sending is the body of a request. After each piece is read, it may take no longer than the policy's Stall until the
// next is read. After the last piece the wait for the answer begins.
type sending struct {
	io.ReadCloser
	head   *time.Timer
	policy Policy
}

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	s.head.Stop()
	n, err := s.ReadCloser.Read(p)
	if err != nil {
		s.head.Reset(s.policy.HeadWait)
	} else {
		s.head.Reset(s.policy.Stall)
	}
	return n, err
}

// receiving is the body of an answer. A read fails if nothing arrives for the time stall.
type receiving struct {
	io.ReadCloser
	ctx    context.Context // the request's
	cancel context.CancelCauseFunc
	watch  *time.Timer
	stall  time.Duration
}

// Read implements io.Reader.
func (r *receiving) Read(p []byte) (int, error) {
	r.watch.Reset(r.stall)
	n, err := r.ReadCloser.Read(p)
	r.watch.Stop()
	// A server that sees the request end may end its answer in turn: then EOF isn't the end of what it has.
	if err != nil && (!errors.Is(err, io.EOF) || r.ctx.Err() != nil) {
		err = networkError(r.ctx, err)
	}
	return n, err
}

// Close implements io.Closer.
func (r *receiving) Close() error {
	r.watch.Stop()
	err := r.ReadCloser.Close()
	r.cancel(errors.New("the answer was closed"))
	return err
}
