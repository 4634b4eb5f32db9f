package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/fetch/retry"
)

// maxDocument bounds what a registry sends other than blobs: manifests, tokens, errors.
const maxDocument = 16 << 20

// A transport makes the requests: it repeats what is worth repeating and breaks off what stalls. Its errors are
// plainErrors.
type transport struct {
	client *Client
	base   http.RoundTripper
}

// checkRedirect leaves credentials behind at a change of host: net/http would take them along to subdomains and other
// ports, and send the form that a token was asked for with, which has the password in it, to anywhere.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case len(via) >= 10:
		return plainError{fmt.Errorf("%s redirects more than 10 times", first.Host)}
	case last.Scheme == "https" && req.URL.Scheme != "https":
		return plainError{fmt.Errorf("refusing the redirect of %s from https to %s", last.Host, req.URL.Scheme)}
	case req.URL.Host == first.Host && req.URL.Scheme == first.Scheme:
		return nil
	case req.Body != nil && req.Body != http.NoBody:
		return plainError{fmt.Errorf("refusing the redirect of %s to %s: what is sent is for %s alone", last.Host, req.URL.Host, first.Host)}
	}
	req.Header.Del("Authorization")
	return nil
}

// RoundTrip implements http.RoundTripper. An upload isn't repeated here, as the registry may have kept a part of it:
// whoever pushes begins a new one.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.checkScheme(req); err != nil {
		closeBody(req)
		return nil, plainError{err}
	}
	for try := 1; ; try++ {
		resp, err := t.once(req)
		if err == nil {
			return resp, nil
		}
		if req.Method == http.MethodPut {
			return nil, plainError{err}
		}
		if err := t.client.Retry.Next(req.Context(), try, err); err != nil {
			return nil, plainError{err}
		}
		if req.GetBody != nil {
			req = req.Clone(req.Context())
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// checkScheme refuses to leave TLS, wherever a registry's redirects, upload locations and token servers lead.
func (t *transport) checkScheme(req *http.Request) error {
	if req.URL.Scheme == "https" {
		return nil
	}
	plain, err := t.client.isPlain(req.URL.Host)
	if err == nil && !plain {
		err = fmt.Errorf("refusing to talk to %s without TLS: name it with --plain-http %s if it has none", req.URL.Host, req.URL.Host)
	}
	return err
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // it was never used
	}
}

// once makes a request. Errors that another try may mend are retry.TemporaryErrors, and so are the answers that say that
// the registry can't now.
func (t *transport) once(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	host, c := req.URL.Host, t.client
	silence := func(d time.Duration) func() {
		return func() {
			cancel(&retry.TemporaryError{Err: fmt.Errorf("%s sent nothing for %v", host, d)})
		}
	}
	head := time.AfterFunc(c.HeadWait, silence(c.HeadWait))
	out := req.Clone(ctx)
	out.Header.Set("Accept-Encoding", "identity") // sizes and ranges are those of the blob
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &sending{body: req.Body, head: head, headWait: c.HeadWait, stall: c.Stall}
	}
	resp, err := t.base.RoundTrip(out)
	head.Stop()
	if err != nil {
		err = networkError(ctx, host, err)
		cancel(nil)
		return nil, err
	}
	if code := resp.StatusCode; code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500 {
		_ = resp.Body.Close() // the status says enough
		cancel(nil)
		return nil, &retry.TemporaryError{
			Err:   fmt.Errorf("%s answered %s", host, resp.Status),
			After: retry.After(resp.Header.Get("Retry-After"), time.Now()),
		}
	}
	watch := time.AfterFunc(time.Hour, silence(c.Stall))
	watch.Stop()
	limit := int64(maxDocument)
	if isBlob(req) {
		limit = -1
	}
	resp.Body = &receiving{body: resp.Body, ctx: ctx, host: host, cancel: cancel, watch: watch, stall: c.Stall, limit: limit}
	return resp, nil
}

// isBlob reports whether a blob was asked for, wherever redirects have led since.
func isBlob(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return strings.Contains(req.URL.Path, "/blobs/")
}

// sending is what is sent. From when some of it is handed over until more is asked for, it is on its way, and that may
// take no longer than stall; at its end the wait for the answer begins.
type sending struct {
	body            io.ReadCloser
	head            *time.Timer
	headWait, stall time.Duration
}

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	s.head.Stop()
	n, err := s.body.Read(p)
	if err != nil {
		s.head.Reset(s.headWait)
	} else {
		s.head.Reset(s.stall)
	}
	return n, err
}

// Close implements io.Closer.
func (s *sending) Close() error { return s.body.Close() }

// receiving is an answer's body. Nothing may come from it for stall, while it is asked for more.
type receiving struct {
	body   io.ReadCloser
	ctx    context.Context // the request's
	host   string
	cancel context.CancelCauseFunc
	watch  *time.Timer
	stall  time.Duration
	limit  int64 // how many bytes more may come; -1 for any number
}

// Read implements io.Reader.
func (r *receiving) Read(p []byte) (int, error) {
	r.watch.Reset(r.stall)
	n, err := r.body.Read(p)
	r.watch.Stop()
	if r.limit >= 0 {
		if r.limit -= int64(n); r.limit < 0 {
			return 0, plainError{fmt.Errorf("%s sent more than the %d bytes that a manifest or token may have", r.host, maxDocument)}
		}
	}
	if err != nil && (err != io.EOF || r.ctx.Err() != nil) { // a registry that sees the request end may end its answer in turn
		return n, plainError{networkError(r.ctx, r.host, err)}
	}
	return n, err
}

// Close implements io.Closer.
func (r *receiving) Close() error {
	r.watch.Stop()
	err := r.body.Close()
	r.cancel(errors.New("the answer was closed"))
	return err
}
