// Package stepproxy is an HTTP proxy that connects to no server: a handler answers all requests through it, including
// those over TLS. To clients that trust its certificate authority, the proxy is every server that they ask.
//
// The authority is made anew by each process, and its key leaves it nowhere.
package stepproxy

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// These are the lifetimes of certificates. A build may run on a machine whose clock is a little slow.
const (
	lifetime = 30 * 24 * time.Hour
	backdate = 24 * time.Hour
)

// maxCerts is how many servers' certificates are kept.
const maxCerts = 1024

// helloLimit is how long a client may take to send its first bytes.
const helloLimit = 30 * time.Second

// A Proxy answers requests by a handler, which gets whole URLs.
type Proxy struct {
	handler http.Handler
	ca      *x509.Certificate
	key     *ecdsa.PrivateKey

	mu    sync.Mutex
	certs map[string]*tls.Certificate
}

// New makes a proxy and its certificate authority. If a client speaks neither HTTP nor TLS over the proxy, the handler
// gets a request with the method CONNECT.
func New(handler http.Handler) (*Proxy, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Larder's proxy of build steps"},
		NotBefore: time.Now().Add(-backdate), NotAfter: time.Now().Add(lifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	return &Proxy{handler: handler, ca: ca, key: key, certs: map[string]*tls.Certificate{}}, nil
}

// CA returns the certificate of the proxy's authority, as PEM.
func (p *Proxy) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.ca.Raw})
}

// Server returns an HTTP server for the proxy. Its requests have the context ctx.
func (p *Proxy) Server(ctx context.Context) *http.Server { return server(ctx, p) }

func server(ctx context.Context, h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: helloLimit, ErrorLog: log.New(io.Discard, "", 0),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case !r.URL.IsAbs():
		http.Error(w, "this is a proxy: set http_proxy and https_proxy to its address", http.StatusBadRequest)
	default:
		p.handler.ServeHTTP(w, r)
	}
}

// connect serves a connection that the client takes for one to the server that it named.
func (p *Proxy) connect(w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(helloLimit))
	if _, err := io.WriteString(conn, "HTTP/1.1 200 Connection Established\r\n\r\n"); err != nil {
		return
	}
	first, err := buffered.Peek(1)
	if err != nil { // it waits for the server to begin, as SSH does, or has gone
		p.refuse(r)
		return
	}
	host, port, err := net.SplitHostPort(r.URL.Host)
	if err != nil {
		host, port = r.URL.Host, "443"
	}
	ahead, err := buffered.Peek(buffered.Reader.Buffered())
	if err != nil {
		return
	}
	// Not the reader itself: an error of it, such as a deadline, ends the context.
	over := net.Conn(&peeked{conn, io.MultiReader(bytes.NewReader(ahead), conn)})
	scheme := "http"
	switch {
	case first[0] == 0x16: // a TLS record of a handshake
		secure := tls.Server(over, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return p.cert(host) }, NextProtos: []string{"http/1.1"}})
		if secure.HandshakeContext(r.Context()) != nil {
			return // the client doesn't trust the proxy, and says so
		}
		over, scheme = secure, "https"
	case first[0] < 'A' || first[0] > 'Z': // no method of HTTP
		p.refuse(r)
		return
	}
	_ = conn.SetDeadline(time.Time{})
	p.serve(r.Context(), over, scheme, authority(scheme, host, port))
}

// authority returns host and port, without the port if it is the scheme's default. It must be exact, because servers
// sign requests with the name of the host.
func authority(scheme, host, port string) string {
	full := net.JoinHostPort(host, port)
	if scheme == "https" && port == "443" || scheme == "http" && port == "80" {
		return strings.TrimSuffix(full, ":"+port)
	}
	return full
}

// serve serves one connection until it is closed.
func (p *Proxy) serve(ctx context.Context, conn net.Conn, scheme, authority string) {
	l := &single{conn: make(chan net.Conn, 1), done: make(chan struct{}), addr: conn.LocalAddr()}
	l.conn <- conn
	s := server(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Scheme, r.URL.Host = scheme, authority
		p.handler.ServeHTTP(w, r)
	}))
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			_ = l.Close()
		}
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	_ = s.Serve(l)
}

// refuse calls the handler for a connection that doesn't speak HTTP. Nobody reads the answer, but the handler can
// record the request.
func (p *Proxy) refuse(r *http.Request) {
	to := r.Clone(r.Context())
	to.URL.Scheme = "https"
	p.handler.ServeHTTP(&unread{}, to)
}

// cert returns a certificate of a server.
func (p *Proxy) cert(host string) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.certs[host]; c != nil && time.Now().Before(c.Leaf.NotAfter.Add(-time.Hour)) {
		return c, nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "a server asked through Larder"},
		NotBefore: p.ca.NotBefore, NotAfter: p.ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, p.ca, &p.key.PublicKey, p.key)
	if err != nil {
		return nil, fmt.Errorf("a certificate of %q: %w", host, err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	if len(p.certs) >= maxCerts {
		clear(p.certs)
	}
	p.certs[host] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: p.key, Leaf: leaf}
	return p.certs[host], nil
}

// peeked is a connection from which some bytes were read ahead.
type peeked struct {
	net.Conn
	r io.Reader
}

func (c *peeked) Read(b []byte) (int, error) { return c.r.Read(b) }

// single is a listener that accepts one connection.
type single struct {
	conn chan net.Conn
	done chan struct{}
	once sync.Once
	addr net.Addr
}

func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, errors.New("the one connection is over")
	}
}

func (l *single) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *single) Addr() net.Addr { return l.addr }

// unread is a response writer whose answer nobody reads.
type unread struct{ header http.Header }

func (u *unread) Header() http.Header {
	if u.header == nil {
		u.header = http.Header{}
	}
	return u.header
}

func (u *unread) Write(p []byte) (int, error) { return len(p), nil }
func (u *unread) WriteHeader(int)             {}
