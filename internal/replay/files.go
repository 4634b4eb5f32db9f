package replay

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Files returns a handler for clients that fetch files from a given address and use no proxy. A request for
// http://ADDRESS/https/HOST/PATH becomes a request for https://HOST/PATH to the handler answers. It follows redirects,
// which would otherwise lead clients to other servers.
func Files(answers http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
		u, err := url.Parse(scheme + "://" + rest)
		if !ok || err != nil || u.Host == "" || scheme != "http" && scheme != "https" {
			http.Error(w, "expected /https/HOST/PATH or /http/HOST/PATH", http.StatusBadRequest)
			return
		}
		u.RawQuery = r.URL.RawQuery
		for range maxRedirects {
			req := r.Clone(r.Context())
			req.URL, req.Host = u, u.Host
			to := &following{w: w, header: http.Header{}}
			answers.ServeHTTP(to, req)
			if to.location == "" {
				to.WriteHeader(http.StatusOK) // unless it was written
				return
			}
			next, err := u.Parse(to.location)
			if err != nil || next.Scheme != "http" && next.Scheme != "https" {
				break
			}
			u = next
		}
		http.Error(w, fmt.Sprintf("larder: %s leads nowhere: too many redirects, or one to what is no URL of a web server", Clean(u)), http.StatusForbidden)
	})
}

// maxRedirects is the number of redirects that are followed, as in BuildKit.
const maxRedirects = 10

// following passes an answer on, unless it is a redirect.
type following struct {
	w        http.ResponseWriter
	header   http.Header
	begun    bool
	location string // of a redirect
}

// Header implements http.ResponseWriter.
func (f *following) Header() http.Header { return f.header }

// WriteHeader implements http.ResponseWriter.
func (f *following) WriteHeader(status int) {
	if f.begun {
		return
	}
	f.begun = true
	if redirects(status) {
		f.location = f.header.Get("Location")
	}
	if f.location != "" {
		return
	}
	for name, values := range f.header {
		f.w.Header()[name] = values
	}
	f.w.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (f *following) Write(p []byte) (int, error) {
	f.WriteHeader(http.StatusOK)
	if f.location != "" {
		return io.Discard.Write(p)
	}
	return f.w.Write(p)
}

// FlushError is for http.ResponseController. It does nothing for a redirect.
func (f *following) FlushError() error {
	if f.location != "" {
		return nil
	}
	return http.NewResponseController(f.w).Flush()
}
