package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	stdlog "log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A Web is a network of hosts with any names that a test wants. Each host answers by http, and by https with
// certificates of the Web's own authority. Clients reach it through an HTTP proxy, since module paths have no ports,
// and no DNS has these names.
type Web struct {
	ProxyURL string // for HTTPS_PROXY and HTTP_PROXY
	CA       []byte // its authority's certificate, as PEM

	listener *oneByOne
	issue    func(host string) (*tls.Certificate, error)

	mu    sync.Mutex
	hosts map[string]http.Handler
	asked []Asked
	guard string // what the header Proxy-Authorization has to be; "" for anything
}

// Asked is a request that a Web received.
type Asked struct {
	URL    string
	Header http.Header
}

// ServeWeb serves a Web that has no hosts yet.
func ServeWeb(t testing.TB) *Web {
	w := &Web{hosts: map[string]http.Handler{}, listener: &oneByOne{conns: make(chan net.Conn), closed: make(chan struct{})}}
	w.CA, w.issue = newAuthority(t)
	inner := &http.Server{
		Handler:   http.HandlerFunc(w.serve),
		ErrorLog:  stdlog.New(io.Discard, "", 0),
		TLSConfig: &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return w.issue(h.ServerName) }},
	}
	go func() { _ = inner.ServeTLS(w.listener, "", "") }()
	outer := httptest.NewServer(http.HandlerFunc(w.proxy))
	w.ProxyURL = outer.URL
	t.Cleanup(func() {
		outer.CloseClientConnections()
		outer.Close()
		_ = inner.Close()
	})
	return w
}

// Handle makes a handler answer for a host, such as git.corp.example.
func (w *Web) Handle(host string, h http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[host] = h
}

// Guard makes the proxy refuse requests without this Proxy-Authorization header. It answers them with 407 and the
// header that they sent.
func (w *Web) Guard(authorization string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.guard = authorization
}

// Asked returns the requests so far, in order.
func (w *Web) Asked() []Asked {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Asked{}, w.asked...)
}

// proxy handles a request to the HTTP proxy, which sends all hosts' requests to the Web.
func (w *Web) proxy(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	guard := w.guard
	w.mu.Unlock()
	if got := r.Header.Get("Proxy-Authorization"); guard != "" && got != guard {
		rw.Header().Set("Proxy-Authenticate", `Basic realm="out"`)
		http.Error(rw, "not with "+got, http.StatusProxyAuthRequired)
		return
	}
	if r.Method != http.MethodConnect {
		w.serve(rw, r)
		return
	}
	conn, buffered, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	_, _ = buffered.WriteString("HTTP/1.1 200 OK\r\n\r\n")
	_ = buffered.Flush()
	select {
	case w.listener.conns <- conn:
	case <-w.listener.closed:
		conn.Close()
	}
}

func (w *Web) serve(rw http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	w.mu.Lock()
	w.asked = append(w.asked, Asked{scheme + "://" + r.Host + r.URL.RequestURI(), r.Header.Clone()})
	if r.URL.IsAbs() {
		w.asked[len(w.asked)-1].URL = r.URL.String()
	}
	h := w.hosts[r.Host]
	w.mu.Unlock()
	if h == nil {
		http.Error(rw, "no such host", http.StatusBadGateway)
		return
	}
	h.ServeHTTP(rw, r)
}

// oneByOne is a listener that accepts the connections of a channel.
type oneByOne struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *oneByOne) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneByOne) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *oneByOne) Addr() net.Addr { return &net.TCPAddr{} }

// newAuthority returns the certificate of a new authority, and a function that makes certificates for hosts.
func newAuthority(t testing.TB) ([]byte, func(host string) (*tls.Certificate, error)) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	require.NoError(t, err)
	issue := func(host string) (*tls.Certificate, error) {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
			NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), issue
}

// Basic returns the Authorization header for a user and a password.
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Bearer returns the Authorization header for a token.
func Bearer(token string) string { return "Bearer " + token }

// Guarded lets in only requests with this Authorization header. It answers others with 401 and the header that they
// sent.
func Guarded(h http.Handler, authorization string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != authorization {
			w.Header().Set("WWW-Authenticate", `Basic realm="private"`)
			http.Error(w, "not with "+got, http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// GoGet answers requests with ?go-get=1 by go-import meta tags. tags maps a path prefix, with the host, to "PREFIX VCS
// REPO". next answers other requests.
func GoGet(tags map[string]string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("go-get") != "1" {
			next.ServeHTTP(w, r)
			return
		}
		asked := path.Join(r.Host, r.URL.Path)
		var prefixes []string
		for prefix := range tags {
			if asked == prefix || strings.HasPrefix(asked, prefix+"/") {
				prefixes = append(prefixes, prefix)
			}
		}
		sort.Strings(prefixes)
		fmt.Fprintln(w, "<!DOCTYPE html><html><head>")
		for _, prefix := range prefixes {
			fmt.Fprintf(w, "<meta name=\"go-import\" content=\"%s\">\n", html.EscapeString(tags[prefix]))
		}
		fmt.Fprintln(w, "</head><body>nothing here</body></html>")
	})
}
