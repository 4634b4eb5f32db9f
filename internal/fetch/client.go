// Package fetch is the HTTP client of everything that Larder fetches: modules, repositories, checksum databases, images.
// All these servers fail in the same ways. So this package alone decides what is tried again, how long a server may be
// silent, which redirects are followed, which certificates are trusted and where credentials may go.
package fetch

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// A Client sends requests. Several goroutines may use it; its fields may be changed only before the first use.
type Client struct {
	Transport   http.RoundTripper // sends one request: one that NewTransport made
	Policy      Policy
	Credentials Credentials // nil for none
	Remedies    Remedies
}

// Credentials knows the credentials for a request to a URL.
type Credentials interface {
	Header(u *url.URL) http.Header  // nil for nothing
	Proxy(u *url.URL) *url.Userinfo // what lets a request through the HTTP proxy at u; nil for nothing
	Redact(text string) string      // text without what is secret
}

type none struct{}

func (none) Header(*url.URL) http.Header  { return nil }
func (none) Proxy(*url.URL) *url.Userinfo { return nil }
func (none) Redact(text string) string    { return text }

// Remedies are the advice that errors end in. It depends on who fetches.
type Remedies struct {
	Missing     string // a file that no server has: "use a proxy that serves it"
	CA          string // a server whose certificate authority isn't trusted
	Credentials string // a server that lets nobody in without, or not with those that it was sent
}

// NewClient returns a client that trusts the roots of Roots, with those in the file ca, and uses the HTTP proxies that the
// usual variables name. Requests get the credentials that creds has for them; a nil creds has none. Errors end in the
// advice of say.
func NewClient(ca string, creds Credentials, say Remedies) (*Client, error) {
	transport, err := NewTransport(ca, creds)
	if err != nil {
		return nil, err
	}
	return &Client{Transport: transport, Policy: DefaultPolicy(), Credentials: creds, Remedies: say}, nil
}

// maxIdle is how many connections to a host are kept for the next file.
const maxIdle = 16

// NewTransport returns the transport that sends a client's requests: see NewClient. HTTP proxies get the credentials
// that creds has for them.
func NewTransport(ca string, creds Credentials) (*http.Transport, error) {
	roots, err := Roots(ca)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 15 * time.Second}).DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		TLSHandshakeTimeout: 15 * time.Second,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true, // sizes and ranges are those of the file
		ForceAttemptHTTP2:   true,
	}
	throughProxies(transport, orNone(creds))
	return transport, nil
}

func orNone(creds Credentials) Credentials {
	if creds == nil {
		return none{}
	}
	return creds
}

// Do sends one request, with the credentials for its URL, and follows redirects. Its errors are those of Policy.Send,
// followed by advice.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	creds := orNone(c.Credentials)
	req = req.Clone(req.Context())
	setHeader(req, creds.Header(req.URL))
	client := &http.Client{Transport: c.Transport, CheckRedirect: CheckRedirect(creds)}
	resp, err := c.Policy.Send(req, client.Do)
	if err != nil {
		return nil, c.Remedies.add(err)
	}
	return resp, nil
}

func setHeader(req *http.Request, header http.Header) {
	for name, values := range header {
		req.Header[name] = values
	}
}

// With returns a client that sends other credentials, or none if creds is nil. It is for a URL that another server
// named.
func (c *Client) With(creds Credentials) *Client {
	other := *c
	other.Credentials = creds
	return &other
}

// A RedirectError is the error of a redirect that isn't followed.
type RedirectError struct {
	Why  string
	Loop bool // there were too many
}

// Error implements error.
func (e *RedirectError) Error() string { return "refusing its redirect: " + e.Why }

// CheckRedirect returns a function for http.Client's CheckRedirect. It doesn't follow redirects from HTTPS to HTTP, nor
// redirects of a request with a body to another host. If a redirect leads to another host, it removes the credentials
// in creds and in the header Authorization: net/http would send these to subdomains and other ports, and headers that
// it doesn't know as credentials to any host.
func CheckRedirect(creds Credentials) func(req *http.Request, via []*http.Request) error {
	creds = orNone(creds)
	return func(req *http.Request, via []*http.Request) error {
		first, last := via[0].URL, via[len(via)-1].URL
		moved := slices.ContainsFunc(append(via, req), func(hop *http.Request) bool {
			return hop.URL.Host != first.Host || hop.URL.Scheme != first.Scheme
		})
		switch {
		case len(via) >= 10:
			return &RedirectError{Why: "more than 10", Loop: true}
		case last.Scheme == "https" && req.URL.Scheme != "https":
			return &RedirectError{Why: "from https to " + req.URL.Scheme}
		case moved && req.Body != nil && req.Body != http.NoBody:
			return &RedirectError{Why: fmt.Sprintf("to %s, but what is sent is for %s alone", req.URL.Host, first.Host)}
		}
		given := creds.Header(first)
		for name := range given {
			req.Header.Del(name)
		}
		switch {
		case moved:
			req.Header.Del("Authorization")
		case len(given) > 0:
			setHeader(req, creds.Header(req.URL)) // which may be none: they may be for one path alone
		}
		return nil
	}
}
