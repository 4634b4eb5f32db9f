package testkit

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A RegistryProxy stands before a registry, and fails as a test wants it to.
type RegistryProxy struct {
	Host   string
	Server *httptest.Server

	done     chan struct{}
	mu       sync.Mutex
	fault    Fault
	fetched  int64
	requests []string
}

// A Fault answers a request itself, or lets next do it.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// ServeRegistryProxy serves a registry on loopback through a proxy, with TLS or without.
func ServeRegistryProxy(t testing.TB, registry string, tls bool) *RegistryProxy {
	p := &RegistryProxy{done: make(chan struct{})}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: registry})
		r.SetXForwarded()
		r.Out.Host = r.In.Host // upload locations are made of it
	}}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		fault := p.fault
		p.requests = append(p.requests, r.Method+" "+r.URL.Path)
		p.mu.Unlock()
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			inner := w
			w = &Intercepted{inner, func(b []byte) (int, error) {
				p.mu.Lock()
				p.fetched += int64(len(b))
				p.mu.Unlock()
				return inner.Write(b)
			}}
		}
		if fault == nil {
			forward.ServeHTTP(w, r)
			return
		}
		fault(w, r, forward)
	})
	if tls {
		p.Server = httptest.NewTLSServer(handler)
	} else {
		p.Server = httptest.NewServer(handler)
	}
	t.Cleanup(func() { close(p.done); p.Server.CloseClientConnections(); p.Server.Close() })
	u, err := url.Parse(p.Server.URL)
	require.NoError(t, err)
	p.Host = u.Host
	return p
}

// Stall waits until the client has gone, or the test has.
func (p *RegistryProxy) Stall(r *http.Request) {
	select {
	case <-r.Context().Done(): // not told of a client that sent more than was read
	case <-p.done:
	}
}

// Fail makes all requests go through f from now on; nil ends that.
func (p *RegistryProxy) Fail(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Fetched returns how many bytes of blobs were sent to clients.
func (p *RegistryProxy) Fetched() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetched
}

// Requests counts the requests so far of a method, for paths with some part.
func (p *RegistryProxy) Requests(method, part string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if strings.HasPrefix(r, method+" ") && strings.Contains(r, part) {
			n++
		}
	}
	return n
}

// Intercepted is a ResponseWriter whose bytes go through a function.
type Intercepted struct {
	http.ResponseWriter
	To func([]byte) (int, error)
}

// Write implements io.Writer.
func (i *Intercepted) Write(b []byte) (int, error) { return i.To(b) }

// Unwrap is for http.ResponseController.
func (i *Intercepted) Unwrap() http.ResponseWriter { return i.ResponseWriter }

// After calls do once n bytes of the body were sent.
func After(w http.ResponseWriter, n int, do func()) http.ResponseWriter {
	return &Intercepted{w, func(b []byte) (int, error) {
		if len(b) < n {
			n -= len(b)
			return w.Write(b)
		}
		_, _ = w.Write(b[:n])
		_ = http.NewResponseController(w).Flush()
		do()
		return n, http.ErrAbortHandler
	}}
}

// Abort closes the connection in the middle of an answer.
func Abort() { panic(http.ErrAbortHandler) }
