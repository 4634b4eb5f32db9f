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

// A RegistryProxy is a proxy in front of a registry that fails as a test wants.
type RegistryProxy struct {
	Host   string
	Server *httptest.Server

	done     chan struct{}
	mu       sync.Mutex
	fault    Fault
	fetched  int64
	requests []string
}

// A Fault answers a request itself, or calls next to answer it.
type Fault func(w http.ResponseWriter, r *http.Request, next http.Handler)

// ServeRegistryProxy serves a proxy on loopback, in front of a registry. tls says whether the proxy has TLS.
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

// Stall waits until the client closes the connection, or the test ends.
func (p *RegistryProxy) Stall(r *http.Request) {
	select {
	case <-r.Context().Done(): // not told of a client that sent more than was read
	case <-p.done:
	}
}

// Fail makes all requests go through f, until it is called with nil.
func (p *RegistryProxy) Fail(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Fetched returns how many bytes of blobs the proxy has sent.
func (p *RegistryProxy) Fetched() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fetched
}

// Requests counts the requests so far with a method, whose paths contain part.
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

// Intercepted is a ResponseWriter that passes its bytes to a function.
type Intercepted struct {
	http.ResponseWriter
	To func([]byte) (int, error)
}

// Write implements io.Writer.
func (i *Intercepted) Write(b []byte) (int, error) { return i.To(b) }

// Unwrap returns the wrapped ResponseWriter, for http.ResponseController.
func (i *Intercepted) Unwrap() http.ResponseWriter { return i.ResponseWriter }

// After returns a ResponseWriter that calls do after n bytes of the body.
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

// Abort is for handlers: it closes the connection before the answer is complete.
func Abort() { panic(http.ErrAbortHandler) }
