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

// A SilenceError is a server that sent nothing for a time.
type SilenceError struct{ For time.Duration }

// Error implements error.
func (e *SilenceError) Error() string { return fmt.Sprintf("it sent nothing for %v", e.For) }

// Silence returns a TemporaryError for a server that sent nothing for d.
func Silence(d time.Duration) error { return &TemporaryError{Err: &SilenceError{d}} }

// Send sends one request by do, such as the method of an http.Client or an http.RoundTripper. What the server is silent
// about for too long fails, also while the body is read; the body must be closed. Errors that another try may mend are
// TemporaryErrors. They don't tell the server, for callers that do, nor the URL: after a redirect that may be a signed one.
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

// sending is what is sent. From when some of it is handed over until more is asked for, it is on its way, and that may
// take no longer than the policy's Stall; at its end the wait for the answer begins.
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

// receiving is an answer's body. Nothing may come from it for stall, while it is asked for more.
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
