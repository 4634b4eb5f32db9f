package registry

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/larder-build/larder/internal/fetch"
)

// maxDocument is the greatest size of what a registry sends other than blobs: manifests, tokens, errors.
const maxDocument = 16 << 20

// A transport sends requests and repeats them if another try may succeed. Its errors are plainErrors.
type transport struct {
	client *Client
	base   http.RoundTripper
}

// checkRedirect removes credentials when the host changes. It refuses to send the form of a token request, which has
// the password in it, to another host.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if err := fetch.CheckRedirect(nil)(req, via); err != nil {
		return plainError{named(via[len(via)-1].URL.Host, err)}
	}
	return nil
}

// RoundTrip implements http.RoundTripper. It doesn't repeat an upload, because the registry may have kept a part of it:
// the pusher starts a new one.
func (t *transport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if req.Body != nil {
		defer req.Body.Close() // each try has a body of its own
	}
	if err := t.checkScheme(req); err != nil {
		return nil, plainError{err}
	}
	send := func() (err error) {
		resp, err = t.once(req)
		return err
	}
	if req.Method == http.MethodPut {
		err = send()
	} else {
		err = t.client.Policy.Retry(req.Context(), send)
	}
	if err != nil {
		return nil, plainError{err}
	}
	return resp, nil
}

// checkScheme refuses to change from HTTPS to HTTP, wherever a registry's redirects, upload locations and token servers
// lead.
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

// once makes a request. An error is a fetch.TemporaryError if another try may succeed, and if the answer says that the
// registry is busy.
func (t *transport) once(req *http.Request) (*http.Response, error) {
	host := req.URL.Host
	out := req.Clone(req.Context())
	if req.GetBody != nil {
		var err error
		if out.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	out.Header.Set("Accept-Encoding", "identity") // sizes and ranges are those of the blob
	resp, err := t.client.Policy.Send(out, t.base.RoundTrip)
	if err != nil {
		return nil, named(host, err)
	}
	if err := fetch.Busy(resp, host+" answered "+resp.Status); err != nil {
		_ = resp.Body.Close() // the status says enough
		return nil, err
	}
	limit := int64(maxDocument)
	if isBlob(req) {
		limit = -1
	}
	resp.Body = &receiving{ReadCloser: resp.Body, host: host, limit: limit}
	return resp, nil
}

// isBlob reports whether the first request, before any redirects, was for a blob.
func isBlob(req *http.Request) bool {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return strings.Contains(req.URL.Path, "/blobs/")
}

// receiving is the body of an answer. Its errors name the server.
type receiving struct {
	io.ReadCloser
	host  string
	limit int64 // how many bytes more may come; -1 for any number
}

// Read implements io.Reader.
func (r *receiving) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if r.limit >= 0 {
		if r.limit -= int64(n); r.limit < 0 {
			return 0, plainError{fmt.Errorf("%s sent more than the %d bytes that a manifest or token may have", r.host, maxDocument)}
		}
	}
	if err != nil && err != io.EOF {
		return n, plainError{named(r.host, err)}
	}
	return n, err
}
