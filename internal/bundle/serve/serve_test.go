package serve

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/larder-build/larder/internal/bundle/goproxy"
	"github.com/stretchr/testify/require"
)

const (
	target = "/example.com/m/@v/v1.0.0.zip"
	text   = "the zip"
)

func source(name string, files ...string) goproxy.Source {
	tree := fstest.MapFS{}
	for _, f := range files {
		tree[f] = &fstest.MapFile{Data: []byte(text)}
	}
	return goproxy.Source{Name: name, FS: tree}
}

func oneModule() goproxy.Source { return source("one", strings.TrimPrefix(target, "/")) }

func newServer(t *testing.T, opts Options, sources ...goproxy.Source) *Server {
	s, err := New(opts, sources...)
	require.NoError(t, err)
	return s
}

func get(h http.Handler, path string, prepare func(*http.Request)) (int, string) {
	r := httptest.NewRequest(http.MethodGet, "http://proxy"+path, nil)
	if prepare != nil {
		prepare(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(user, password) }
}

func header(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

func TestAuth(t *testing.T) {
	password, token := Options{User: "dev", Password: "s3cret"}, Options{Token: "t0ken"}
	both := Options{User: "dev", Password: "s3cret", Token: "t0ken"}
	for _, test := range []struct {
		name    string
		opts    Options
		prepare func(*http.Request)
		want    int
	}{
		{"open", Options{}, nil, 200},
		{"open, credentials sent", Options{}, basic("x", "y"), 200},
		{"password", password, basic("dev", "s3cret"), 200},
		{"no password", password, nil, 401},
		{"wrong password", password, basic("dev", "s3cre"), 401},
		{"wrong user", password, basic("root", "s3cret"), 401},
		{"empty password", password, basic("dev", ""), 401},
		{"password as a bearer", password, header("Bearer s3cret"), 401},
		{"password without a user", Options{Password: "s3cret"}, basic("", "s3cret"), 200},
		{"password of any user", Options{Password: "s3cret"}, basic("joe", "s3cret"), 200},
		{"wrong password of any user", Options{Password: "s3cret"}, basic("joe", "other"), 401},
		{"token", token, header("Bearer t0ken"), 200},
		{"token, lower case", token, header("bearer t0ken"), 200},
		{"token as a password", token, basic("whoever", "t0ken"), 200},
		{"wrong token", token, header("Bearer t0kem"), 401},
		{"empty token", token, header("Bearer "), 401},
		{"no token", token, nil, 401},
		{"another scheme", token, header("Digest t0ken"), 401},
		{"broken basic", token, header("Basic t0ken"), 401},
		{"empty password, no user", token, basic("", ""), 401},
		{"either, password", both, basic("dev", "s3cret"), 200},
		{"either, token", both, header("Bearer t0ken"), 200},
		{"either, none", both, basic("dev", "dev"), 401},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newServer(t, test.opts, oneModule()).Handler()
			code, body := get(h, target, test.prepare)
			require.Equal(t, test.want, code)
			require.Equal(t, test.want == 200, body == text)
			for _, path := range []string{"/metrics", "/healthz"} {
				code, _ = get(h, path, nil)
				require.Equal(t, 200, code, "%s is for all", path)
			}
			code, _ = get(h, "/metrics/../example.com/m/@v/v1.0.0.zip", nil)
			require.NotEqual(t, 200, code)
		})
	}
}

func TestMetrics(t *testing.T) {
	s := newServer(t, Options{Token: "t0ken"}, oneModule(), source("two", "example.com/m/@v/v1.0.0.zip", "example.com/m/@v/v1.1.0.zip"))
	h := s.Handler()
	for path, n := range map[string]int{target: 3, "/example.com/m/@v/v1.9.0.zip": 1, "/x": 2, "/sumdb/sum.golang.org/supported": 1} {
		for range n {
			get(h, path, header("Bearer t0ken"))
		}
	}
	get(h, target, nil)
	_, metrics := get(h, "/metrics", nil)
	for _, line := range []string{
		`larder_requests_total{kind="zip",status="200"} 3`,
		`larder_requests_total{kind="zip",status="404"} 1`,
		`larder_requests_total{kind="zip",status="401"} 1`,
		`larder_requests_total{kind="other",status="404"} 2`,
		`larder_requests_total{kind="supported",status="404"} 1`,
		`larder_requests_in_flight 0`,
		`larder_bundles 2`,
		`larder_module_versions 2`,
	} {
		require.Contains(t, metrics, "\n"+line+"\n")
	}
	require.Contains(t, metrics, "go_memstats_heap_alloc_bytes")
	code, body := get(h, "/healthz", nil)
	require.Equal(t, 200, code)
	require.Equal(t, "ok\n", body)
}

func TestNewRefuses(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.pem"), []byte("no PEM"), 0o600))
	for want, opts := range map[string]Options{
		"give both the certificate and its key": {CertFile: "x.pem"},
		"reading the certificate":               {CertFile: filepath.Join(dir, "x.pem"), KeyFile: filepath.Join(dir, "x.pem")},
		"the user dev has no password":          {User: "dev"},
	} {
		_, err := New(opts)
		require.ErrorContains(t, err, want)
	}
}

// A gate is a file system whose files can be read only when the test says so.
type gate struct {
	fs.FS
	reading chan struct{} // gets a value when a read begins
	open    chan struct{} // closed to let them go on
}

func newGate() gate { return gate{oneModule().FS, make(chan struct{}, 1), make(chan struct{})} }

type gatedFile struct {
	fs.File
	gate gate
}

func (g gate) Open(name string) (fs.File, error) {
	f, err := g.FS.Open(name)
	if err != nil || !strings.HasSuffix(name, ".zip") {
		return f, err
	}
	return gatedFile{f, g}, nil
}

func (f gatedFile) Read(p []byte) (int, error) {
	select {
	case f.gate.reading <- struct{}{}:
	default:
	}
	<-f.gate.open
	return f.File.Read(p)
}

func TestReload(t *testing.T) {
	g := newGate()
	s := newServer(t, Options{}, goproxy.Source{Name: "first", FS: g})
	h := s.Handler()
	answer := make(chan string)
	go func() {
		_, body := get(h, target, nil)
		answer <- body
	}()
	<-g.reading

	released, err := s.Reload(source("second", "example.com/m/@v/v2.0.0+incompatible.zip"))
	require.NoError(t, err)
	code, body := get(h, target, nil)
	require.Equal(t, 404, code)
	require.Contains(t, body, "bundle second")
	select {
	case <-released:
		t.Fatal("a request still reads the first bundle")
	default:
	}
	close(g.open)
	require.Equal(t, text, <-answer)
	<-released

	_, err = s.Reload(goproxy.Source{Name: "broken", FS: brokenFS{}})
	require.ErrorContains(t, err, "reading bundle broken")
	code, _ = get(h, "/example.com/m/@v/v2.0.0+incompatible.zip", nil)
	require.Equal(t, 200, code, "it goes on as before")
}

type brokenFS struct{}

func (brokenFS) Open(string) (fs.File, error) { return nil, errors.New("input/output error") }

// start serves on loopback until stop is called, which returns what Serve says.
func start(t *testing.T, s *Server) (addr string, stop func() error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	return ln.Addr().String(), func() error { cancel(); return <-done }
}

func TestGracefulStop(t *testing.T) {
	g := newGate()
	addr, stop := start(t, newServer(t, Options{Grace: time.Hour}, goproxy.Source{Name: "one", FS: g}))
	answer := make(chan string)
	go func() {
		resp, err := http.Get("http://" + addr + target)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-g.reading
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	for { // until the listener is closed
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(g.open)
	require.Equal(t, text, <-answer, "what is under way ends")
	require.NoError(t, <-stopped)
}

func TestStopCutsOff(t *testing.T) {
	g := newGate()
	addr, stop := start(t, newServer(t, Options{Grace: time.Millisecond}, goproxy.Source{Name: "one", FS: g}))
	answer := make(chan error)
	go func() {
		resp, err := http.Get("http://" + addr + target)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		answer <- err
	}()
	<-g.reading
	require.ErrorContains(t, stop(), "cut off")
	require.Error(t, <-answer)
	close(g.open)
}

// pipes is a listener whose connections are in memory, so that synctest's clock moves on while they wait.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func TestSlowClients(t *testing.T) {
	for name, test := range map[string]struct {
		send string
		read bool // the answer
		want time.Duration
	}{
		"half a request":    {"GET " + target + " HT", true, headerTimeout},
		"no request":        {"", true, headerTimeout},
		"takes no answer":   {"GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", false, stallTimeout},
		"sends half a body": {"GET " + target + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123", true, headerTimeout},
		"asks no more":      {"GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", true, idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				ln := pipes{make(chan net.Conn), make(chan struct{})}
				s := newServer(t, Options{Grace: time.Hour}, oneModule())
				done := make(chan error, 1)
				go func() { done <- s.Serve(ctx, ln) }()

				client, server := net.Pipe()
				ln.conns <- server
				begin := time.Now()
				_, err := io.WriteString(client, test.send)
				require.NoError(t, err)
				if !test.read {
					time.Sleep(test.want + time.Second) // on synctest's clock
					_, err = client.Read(make([]byte, 1))
					require.Error(t, err, "it gave the client up")
				} else {
					_, err = io.Copy(io.Discard, client)
					require.NoError(t, err)
					require.GreaterOrEqual(t, time.Since(begin), test.want)
					require.Less(t, time.Since(begin), test.want+5*time.Second)
				}
				client.Close()
				cancel()
				require.NoError(t, <-done)
			})
		})
	}
}
