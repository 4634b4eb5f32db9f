// Package serve is the web server around the module proxy of bundles. It decides who may ask, counts requests, stops in
// an orderly way, and switches to other bundles while it runs.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-build/larder/internal/bundle/goproxy"
)

// Options say how a Server serves. The zero value is plain HTTP for everyone.
type Options struct {
	CertFile, KeyFile string // PEM; with them it is HTTPS. Reload reads them anew.

	// If Password or Token is set, only clients that send it get modules; everyone gets metrics and health. The go command
	// sends either from netrc, as the password, and over HTTPS alone.
	User, Password string // for basic authentication; without User any name will do, as netrc has to have one
	Token          string // as a bearer, or as the password of any user

	Grace    time.Duration // how long requests may take to end when the server stops
	ErrorLog io.Writer     // gets what net/http has to say, such as failed handshakes

	Answered func(Answer) // is called, by several goroutines, after each request for modules; nil for none
}

// An Answer is how a request for modules was answered.
type Answer struct {
	Path   string // as the client sent it
	Status int    // of HTTP
	Bytes  int64  // of the body that were sent
}

const (
	headerTimeout = 10 * time.Second // for a client to send its request
	stallTimeout  = time.Minute      // for a client to take the next piece of an answer
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10 // bytes
)

// A Server serves bundles.
type Server struct {
	opts    Options
	metrics *metrics
	cert    atomic.Pointer[tls.Certificate]

	mu      sync.RWMutex // held for reading only to take hold of current
	current *generation
}

// A generation is the set of sources that is served between two reloads.
type generation struct {
	proxy *goproxy.Proxy
	users sync.WaitGroup // requests
}

// New returns a server of sources, newest first.
func New(opts Options, sources ...goproxy.Source) (*Server, error) {
	if (opts.CertFile == "") != (opts.KeyFile == "") {
		return nil, errors.New("HTTPS takes two files: give both the certificate and its key, or neither")
	}
	if opts.User != "" && opts.Password == "" {
		return nil, fmt.Errorf("the user %s has no password: give both, or neither", opts.User)
	}
	s := &Server{opts: opts, metrics: newMetrics(), current: &generation{proxy: goproxy.New()}}
	if _, err := s.Reload(sources...); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload makes the server serve other sources, and reads its certificate anew. Requests under way end with the sources
// that they began with; released is closed when no request uses these any more and the caller can close them. After an
// error, such as a bundle that can't be read, the server goes on as before.
func (s *Server) Reload(sources ...goproxy.Source) (released <-chan struct{}, err error) {
	next := &generation{proxy: goproxy.New(sources...)}
	versions, err := next.proxy.Count()
	if err != nil {
		return nil, err
	}
	if s.opts.CertFile != "" {
		cert, err := loadCert(s.opts.CertFile, s.opts.KeyFile)
		if err != nil {
			return nil, err
		}
		s.cert.Store(cert)
	}
	s.mu.Lock()
	last := s.current
	s.current = next
	s.mu.Unlock()
	s.metrics.bundles.Set(float64(len(sources)))
	s.metrics.versions.Set(float64(versions))

	done := make(chan struct{})
	go func() {
		last.users.Wait()
		close(done)
	}()
	return done, nil
}

// hold returns the current generation. The caller must call users.Done on it at the end.
func (s *Server) hold() *generation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.current.users.Add(1)
	return s.current
}

// Handler returns the server's handler: /metrics and /healthz, and the module proxy at every other path.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", s.metrics.handler())
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	modules := s.metrics.count(s.opts.Answered, s.guard(http.HandlerFunc(s.serveModules)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w) // a writer without deadlines is a test's
		_ = control.SetWriteDeadline(time.Now().Add(stallTimeout))
		if r.ContentLength != 0 { // nobody reads the body, but net/http waits for its end; http.Server.ReadTimeout would cut long answers too
			_ = control.SetReadDeadline(time.Now().Add(headerTimeout))
		}
		// The mux sees no modules: it would redirect what it finds unclean.
		if r.URL.Path == "/metrics" || r.URL.Path == "/healthz" {
			mux.ServeHTTP(w, r)
			return
		}
		modules.ServeHTTP(w, r)
	})
}

func (s *Server) serveModules(w http.ResponseWriter, r *http.Request) {
	g := s.hold()
	defer g.users.Done()
	g.proxy.ServeHTTP(w, r)
}

// Serve answers requests on a listener, which it closes, until ctx ends. Then it accepts no more requests, and gives
// those under way the grace time to end: it returns an error if this wasn't enough, or if the listener failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	errorLog := s.opts.ErrorLog
	if errorLog == nil {
		errorLog = io.Discard
	}
	srv := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(errorLog, "", 0),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { stopped <- s.shutdown(context.WithoutCancel(ctx), srv) })
	var err error
	if s.opts.CertFile == "" {
		err = srv.Serve(ln)
	} else {
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.cert.Load(), nil
		}}
		err = srv.ServeTLS(ln, "", "")
	}
	if stop() { // ctx hasn't ended
		_ = srv.Close()
		return fmt.Errorf("serving on %s: %w", ln.Addr(), err)
	}
	return <-stopped
}

func (s *Server) shutdown(ctx context.Context, srv *http.Server) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Grace)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		_ = srv.Close()
		return fmt.Errorf("stopping: requests that had not ended %v later were cut off", s.opts.Grace)
	}
	return nil
}
