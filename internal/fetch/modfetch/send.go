package modfetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Credentials know what a request to a URL is sent so that the server lets it in.
type Credentials interface {
	Header(u *url.URL) http.Header  // nil for nothing
	Proxy(u *url.URL) *url.Userinfo // what lets a request through the HTTP proxy at u; nil for nothing
	Redact(text string) string      // text without what is secret
}

type none struct{}

func (none) Header(*url.URL) http.Header  { return nil }
func (none) Proxy(*url.URL) *url.Userinfo { return nil }
func (none) Redact(text string) string    { return text }

// Do sends one request, with the credentials for its URL unless it has its own, and follows redirects. What the server is
// silent about for too long fails, also while the body is read; the body must be closed. Errors that another try may
// mend are retry.TemporaryErrors. They don't tell the URL: after a redirect that may be a signed one.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	watch := time.AfterFunc(c.headWait, func() { cancel(silence(c.headWait)) })
	req = req.WithContext(ctx)
	if req.Header.Get("Authorization") == "" {
		setHeader(req, c.creds.Header(req.URL))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		err = c.networkError(ctx, err)
		watch.Stop()
		cancel(nil)
		return nil, err
	}
	watch.Stop()
	watch = time.AfterFunc(c.stall, func() { cancel(silence(c.stall)) })
	resp.Body = &watchedBody{ReadCloser: resp.Body, client: c, ctx: ctx, watch: watch, cancel: cancel}
	return resp, nil
}

func setHeader(req *http.Request, header http.Header) {
	for name, values := range header {
		req.Header[name] = values
	}
}

// A watchedBody is a body that must not be silent for too long.
type watchedBody struct {
	io.ReadCloser
	client *Client
	ctx    context.Context
	watch  *time.Timer
	cancel context.CancelCauseFunc
}

func (w *watchedBody) Read(p []byte) (int, error) {
	n, err := w.ReadCloser.Read(p)
	if n > 0 {
		w.watch.Reset(w.client.stall)
	}
	// A server that sees the request end may end its answer in turn: then EOF isn't the end of what it has.
	if err != nil && (!errors.Is(err, io.EOF) || w.ctx.Err() != nil) {
		err = w.client.networkError(w.ctx, err)
	}
	return n, err
}

func (w *watchedBody) Close() error {
	w.watch.Stop()
	w.cancel(nil)
	return w.ReadCloser.Close()
}

var errRedirect = errors.New("refusing its redirect")

// redirects are followed, but not out of TLS, and credentials stay behind where they lead to another host: net/http would
// take them along to subdomains and other ports, and what it doesn't know as a credential to anywhere.
type redirects struct{ creds Credentials }

func (r *redirects) check(req *http.Request, via []*http.Request) error {
	first, last := via[0], via[len(via)-1].URL
	if len(via) >= 10 {
		return fmt.Errorf("%w: more than 10", errRedirect)
	}
	if last.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("%w: from https to %s", errRedirect, req.URL.Scheme)
	}
	given := r.creds.Header(first.URL)
	if !slices.Equal(first.Header["Authorization"], given["Authorization"]) {
		given = nil // the request has its own
	}
	for name := range given {
		req.Header.Del(name)
	}
	for _, hop := range append(via, req) {
		if hop.URL.Host != first.URL.Host || hop.URL.Scheme != first.URL.Scheme {
			req.Header.Del("Authorization")
			return nil
		}
	}
	if len(given) > 0 {
		setHeader(req, r.creds.Header(req.URL)) // which may be none: they may be for one path alone
	}
	return nil
}

// Anonymous returns a client that sends no credentials: for a place that another server named.
func (c *Client) Anonymous() *Client {
	anonymous, follow := *c, *c.http
	follow.CheckRedirect = (&redirects{none{}}).check
	anonymous.http, anonymous.creds = &follow, none{}
	return &anonymous
}

// StatusError returns what an answer's status says is wrong: nil for 2xx, an error that is fs.ErrNotExist for 404 and 410,
// a RefusedError where credentials are wanted, a retry.TemporaryError where another try may mend it.
func (c *Client) StatusError(resp *http.Response) error {
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusNotFound, resp.StatusCode == http.StatusGone:
		return notFoundError{resp.Status}
	}
	return c.statusError(resp, nil)
}

// Retry calls do until it returns another error than a retry.TemporaryError, or was called often enough.
func (c *Client) Retry(ctx context.Context, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil {
			return nil
		}
		if err = c.policy.Next(ctx, try, err); err != nil {
			return err
		}
	}
}
