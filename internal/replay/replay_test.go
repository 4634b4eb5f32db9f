package replay

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

// A server is one that is recorded: what it is asked, with all headers.
type server struct {
	http.ServeMux
	asked atomic.Int64
	seen  sync.Map // "METHOD URI" -> http.Header
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	s.seen.Store(r.Method+" "+r.RequestURI, r.Header.Clone())
	s.ServeMux.ServeHTTP(w, r)
}

// to is a transport to one server, whatever host is asked.
type to string

func (t to) RoundTrip(r *http.Request) (*http.Response, error) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = "http", string(t)
	return (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(out)
}

func newServer(t *testing.T) (*server, http.RoundTripper) {
	s := &server{}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, to(strings.TrimPrefix(h.URL, "http://"))
}

func record(t *testing.T, dir string, upstream http.RoundTripper) *Recorder {
	r, err := NewRecorder(dir, upstream)
	require.NoError(t, err)
	r.bounds.finish = 100 * time.Millisecond
	t.Cleanup(r.stop)
	return r
}

// ask asks a handler as a proxy is asked. Headers are "Name: value".
func ask(t *testing.T, h http.Handler, method, url string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, url, nil)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	defer func() {
		if e := recover(); e != nil {
			require.Equal(t, http.ErrAbortHandler, e)
		}
	}()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, r *http.Response) string {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(data)
}

func finish(t *testing.T, r *Recorder) *Replayer {
	t.Helper()
	_, err := r.Finish([]string{"linux/amd64"})
	require.NoError(t, err)
	return open(t, os.DirFS(r.dir))
}

func open(t *testing.T, fsys fs.FS) *Replayer {
	t.Helper()
	p, err := Open(fsys)
	require.NoError(t, err)
	return p
}

const long = "0123456789abcdefghijklmnopqrstuvwxyz"

// What is recorded and then asked again, in other ways too.
func TestReplay(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("Last-Modified", "Sat, 28 Nov 2026 00:00:00 GMT")
		w.Header().Set("Set-Cookie", "session=SECRET")
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(long))
	})
	s.HandleFunc("/same", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, long) })
	s.HandleFunc("/zipped", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "not for us to unzip")
	})
	s.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file?token=SECRET", http.StatusFound)
	})
	s.HandleFunc("/by", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding, Accept")
		fmt.Fprint(w, "as "+r.Header.Get("Accept"))
	})
	s.HandleFunc("/head", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "77") })
	s.HandleFunc("/busy", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "busy", http.StatusServiceUnavailable) })
	s.HandleFunc("/closed", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "who are you", http.StatusUnauthorized) })
	s.HandleFunc("/empty", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	s.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.Query().Get("n")) })

	r := record(t, t.TempDir(), upstream)
	r.Step = func(*http.Request) string { return "Dockerfile:3" }
	for _, url := range []string{"https://a.example/file", "http://a.example/same", "https://a.example/zipped", "https://a.example/moved", "https://a.example/missing", "https://a.example/busy",
		"https://a.example/closed", "https://a.example/empty", "https://a.example/page?n=1", "https://a.example/page?n=2"} {
		ask(t, r, "GET", url, "Accept-Encoding: gzip", "Accept: */*")
	}
	ask(t, r, "HEAD", "https://a.example/head")
	ask(t, r, "GET", "https://a.example/by", "Accept: text/one")
	ask(t, r, "GET", "https://a.example/by", "Accept: text/two")
	part := ask(t, r, "GET", "https://b.example/same", "Range: bytes=2-3")
	require.Equal(t, "23", text(t, part), "a part, though the whole is kept")
	asked := s.asked.Load()
	require.Equal(t, long, text(t, ask(t, r, "GET", "https://a.example/file")), "from what was kept")
	require.Equal(t, asked, s.asked.Load())

	p := finish(t, r)
	bodies, err := filepath.Glob(filepath.Join(r.dir, "sha256", "*"))
	require.NoError(t, err)
	require.Len(t, bodies, 8, "one for three files that are the same")
	left, err := filepath.Glob(filepath.Join(r.dir, ".*"))
	require.NoError(t, err)
	require.Empty(t, left)

	for _, tt := range []struct {
		what, method, url string
		headers           []string
		status            int
		body              string
		has               string // a header of the answer
	}{
		{"the whole", "GET", "https://a.example/file", nil, 200, long, `Etag: "1"`},
		{"by its port", "GET", "https://A.example:443/file", nil, 200, long, "Content-Length: 36"},
		{"the head", "HEAD", "https://a.example/file", nil, 200, "", "Content-Length: 36"},
		{"a part", "GET", "https://a.example/file", []string{"Range: bytes=10-12"}, 206, "abc", "Content-Range: bytes 10-12/36"},
		{"two parts", "GET", "https://a.example/file", []string{"Range: bytes=-2"}, 206, "yz", ""},
		{"a part of no such", "GET", "https://a.example/file", []string{"Range: bytes=99-"}, 416, "invalid range: failed to overlap\n", ""},
		{"what is known", "GET", "https://a.example/file", []string{`If-None-Match: "1"`}, 304, "", ""},
		{"what is as old", "GET", "https://a.example/file", []string{"If-Modified-Since: Sat, 28 Nov 2026 00:00:00 GMT"}, 304, "", ""},
		{"what was other", "GET", "https://a.example/file", []string{`If-None-Match: "2"`}, 200, long, ""},
		{"a part of another", "GET", "https://a.example/file", []string{"Range: bytes=0-1", `If-Range: "2"`}, 200, long, ""},
		{"by another token", "GET", "https://a.example/file?access_token=other", nil, 200, long, ""},
		{"the same body", "GET", "http://a.example/same", nil, 200, long, ""},
		{"of another host", "GET", "https://b.example/same", nil, 200, long, ""},
		{"compressed", "GET", "https://a.example/zipped", nil, 200, "not for us to unzip", "Content-Encoding: gzip"},
		{"moved", "GET", "https://a.example/moved", nil, 302, "", "Location: https://a.example/file"},
		{"what isn't there", "GET", "https://a.example/missing", nil, 404, "404 page not found\n", ""},
		{"nothing", "GET", "https://a.example/empty", nil, 204, "", ""},
		{"by the query", "GET", "https://a.example/page?n=2", nil, 200, "2", ""},
		{"as one", "GET", "https://a.example/by", []string{"Accept: text/one"}, 200, "as text/one", "Vary: Accept-Encoding, Accept"},
		{"as two", "GET", "https://a.example/by", []string{"Accept: text/two"}, 200, "as text/two", ""},
		{"a head alone", "HEAD", "https://a.example/head", nil, 200, "", "Content-Length: 77"},

		{"not of a head", "GET", "https://a.example/head", nil, 403, "larder: GET https://a.example/head: only a HEAD of it was recorded\n", ""},
		{"as three", "GET", "https://a.example/by", []string{"Accept: text/three"}, 403, "larder: GET https://a.example/by: it was recorded for another Accept header than \"text/three\"\n", ""},
		{"never asked", "GET", "https://u:p@a.example/other?x=1&token=t", nil, 403, "larder: GET https://a.example/other?x=1: it was not recorded (what was recorded is for linux/amd64)\n", ""},
		{"another page", "GET", "https://a.example/page?n=3", nil, 403, "larder: GET https://a.example/page?n=3: it was not recorded (what was recorded is for linux/amd64)\n", ""},
		{"busy then", "GET", "https://a.example/busy", nil, 403, "larder: GET https://a.example/busy: it was not recorded (what was recorded is for linux/amd64)\n", ""},
		{"closed then", "GET", "https://a.example/closed", nil, 403, "larder: GET https://a.example/closed: it was not recorded (what was recorded is for linux/amd64)\n", ""},
		{"posted", "POST", "https://a.example/file", nil, 403, "larder: POST https://a.example/file: only GET and HEAD can be recorded and replayed\n", ""},
		{"upgraded", "GET", "https://a.example/file", []string{"Upgrade: websocket"}, 403, "larder: GET https://a.example/file: only HTTP requests can be recorded and replayed, not what starts as one\n", ""},
	} {
		t.Run(tt.what, func(t *testing.T) {
			got := ask(t, p, tt.method, tt.url, tt.headers...)
			require.Equal(t, tt.status, got.StatusCode)
			require.Equal(t, tt.body, text(t, got))
			require.Empty(t, got.Header["Set-Cookie"])
			if name, value, ok := strings.Cut(tt.has, ": "); ok {
				require.Equal(t, value, got.Header.Get(name))
			}
		})
	}
	require.Len(t, p.Missing(), 8)
	ask(t, p, "POST", "https://a.example/file")
	require.Len(t, p.Missing(), 8, "each once")
	require.Equal(t, "GET https://a.example/other?x=1: it was not recorded (what was recorded is for linux/amd64)", p.Missing()[2].String())
	require.Equal(t, []Miss{
		{"GET", "https://a.example/busy", "Dockerfile:3", "the server answered 503 Service Unavailable, which isn't kept"},
		{"GET", "https://a.example/closed", "Dockerfile:3", "the server answered 401 Unauthorized, which isn't kept"},
	}, r.Lost())
	require.Equal(t, "Dockerfile:3", p.Index().Answers[0].Step)

	header, ok := s.seen.Load("GET /file")
	require.True(t, ok)
	require.Empty(t, header.(http.Header).Get("Accept-Encoding"), "what is kept is for all clients")
}

// A credential is in the request, in a URL or in an answer's header: none of them is in a file of the recording.
func TestNoCredentialIsKept(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "id=SECRET")
		w.Header().Set("Www-Authenticate", "Bearer SECRET")
		w.Header().Set("Link", "<https://x/?token=SECRET>")
		if r.URL.Path == "/signed" {
			http.Redirect(w, r, "https://u:SECRET@cdn.example/f?x=1&X-Amz-Signature=SECRET&sig=SECRET", http.StatusTemporaryRedirect)
			w = httptest.NewRecorder()
		}
		fmt.Fprint(w, "body of "+r.URL.Path)
	})
	r := record(t, t.TempDir(), upstream)
	for _, url := range []string{
		"https://user:SECRET@a.example/f", "https://a.example/g?token=SECRET&n=1", "https://a.example/g?n=2&private%5ftoken=SECRET", "https://a.example/h?key=SECRET#SECRET",
		"https://cdn.example/f?x=1&X-Amz-Signature=SECRET&X-Amz-Credential=SECRET", "https://a.example/i?apikey=SECRET", "https://a.example/j?JWT=SECRET&sig=SECRET",
	} {
		require.Contains(t, text(t, ask(t, r, "GET", url, "Authorization: Bearer SECRET", "Cookie: SECRET", "Proxy-Authorization: SECRET", "X-Api-Key: SECRET")), "body of", url)
	}
	signed := ask(t, r, "GET", "https://a.example/signed")
	require.Contains(t, signed.Header.Get("Location"), "X-Amz-Signature=SECRET", "who asks needs it")
	ask(t, r, "POST", "https://u:SECRET@a.example/f?token=SECRET")
	_, err := r.Finish(nil)
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(r.Lost()), "SECRET")
	require.NoError(t, filepath.WalkDir(r.dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		require.NotContains(t, string(data), "SECRET", name)
		require.NotContains(t, name, "SECRET")
		return err
	}))
	header, _ := s.seen.Load("GET /f")
	require.Equal(t, "Bearer SECRET", header.(http.Header).Get("Authorization"), "the server needs it")
	require.Empty(t, header.(http.Header).Get("Proxy-Authorization"), "this is for the proxy")

	p := open(t, os.DirFS(r.dir))
	require.Equal(t, "https://cdn.example/f?x=1", ask(t, p, "GET", "https://a.example/signed").Header.Get("Location"))
	require.Equal(t, "body of /f", text(t, ask(t, p, "GET", "https://cdn.example/f?x=1")))
}

// Two that differ in their credentials alone aren't taken for one.
func TestTwoAnswersUnderOneURL(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "for "+r.Header.Get("Authorization")+r.URL.Query().Get("key"))
	})
	r := record(t, t.TempDir(), upstream)
	require.Equal(t, "for one", text(t, ask(t, r, "GET", "https://a.example/?key=one")))
	require.Equal(t, "for two", text(t, ask(t, r, "GET", "https://a.example/?key=two")))
	require.Equal(t, "for three", text(t, ask(t, r, "GET", "https://a.example/", "Authorization: three")))
	require.Len(t, r.Lost(), 1)
	require.Contains(t, r.Lost()[0].String(), "GET https://a.example/: it was answered in two ways")
	require.Equal(t, "for one", text(t, ask(t, finish(t, r), "GET", "https://a.example/")))
}

// What was gone and came back is there, and what was there and failed later, too.
func TestBetterAnswersStay(t *testing.T) {
	s, upstream := newServer(t)
	up := false
	s.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if !up {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, "there")
	})
	r := record(t, t.TempDir(), upstream)
	ask(t, r, "GET", "https://a.example/x")
	up = true
	ask(t, r, "GET", "https://a.example/x")
	ask(t, r, "GET", "https://a.example/y?token=1")
	up = false
	ask(t, r, "GET", "https://a.example/y?token=2")
	ask(t, r, "HEAD", "https://a.example/y?token=3")
	p := finish(t, r)
	require.Equal(t, "there", text(t, ask(t, p, "GET", "https://a.example/x")))
	require.Equal(t, "there", text(t, ask(t, p, "GET", "https://a.example/y")))
}

// A server that sends for ever, one that falls silent, and one that hangs up.
func TestServersThatNeverEnd(t *testing.T) {
	s, upstream := newServer(t)
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	s.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 1<<16))
		}
	})
	s.HandleFunc("/silent", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "begun")
		w.(http.Flusher).Flush()
		<-hung
	})
	s.HandleFunc("/mute", func(http.ResponseWriter, *http.Request) { <-hung })
	s.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "less")
	})
	s.HandleFunc("/good", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "good") })
	r := record(t, t.TempDir(), upstream)
	r.bounds.body, r.bounds.stall = 1<<20, 300*time.Millisecond
	for _, name := range []string{"endless", "silent", "mute", "short", "good"} {
		ask(t, r, "GET", "https://a.example/"+name)
	}
	p := finish(t, r)
	require.Len(t, p.Index().Answers, 1)
	require.Equal(t, "good", text(t, ask(t, p, "GET", "https://a.example/good")))
	require.Equal(t, []Miss{
		{"GET", "https://a.example/endless", "", "the answer has more than 1048576 bytes, or never ends"},
		{"GET", "https://a.example/silent", "", "the server was silent for 300ms"},
		{"GET", "https://a.example/mute", "", "the server was silent for 300ms"},
		{"GET", "https://a.example/short", "", "unexpected EOF"},
	}, r.Lost())
}

// gone is a client that has gone when it is answered.
type gone struct{ unread }

func (gone) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

type unread struct{ header http.Header }

func (u unread) Header() http.Header { return u.header }
func (unread) WriteHeader(int)       {}
func (unread) Write(p []byte) (int, error) {
	return len(p), nil
}

// Of what a client reads the beginning alone all is kept, as it may ask for more the next time, but not for ever.
func TestClientsThatGo(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/long", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3<<20)) })
	s.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write([]byte{1})
			w.(http.Flusher).Flush()
		}
	})
	r := record(t, t.TempDir(), upstream)
	for _, name := range []string{"long", "endless"} {
		started := make(chan struct{})
		go func() {
			ctx, cancel := context.WithCancel(context.Background())
			req := httptest.NewRequestWithContext(ctx, "GET", "https://a.example/"+name, nil)
			cancel()
			close(started)
			defer func() { _ = recover() }()
			r.ServeHTTP(gone{unread{http.Header{}}}, req)
		}()
		<-started
	}
	require.Eventually(t, func() bool { return s.asked.Load() == 2 && len(r.known()) == 1 }, 10*time.Second, time.Millisecond)
	p := finish(t, r)
	require.Equal(t, int64(3<<20), p.Index().Answers[0].Size)
	require.Equal(t, []Miss{{"GET", "https://a.example/endless", "", "the build was over before the answer was"}}, r.Lost())
}

func (r *Recorder) known() (urls []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.answers {
		urls = append(urls, k.url)
	}
	return urls
}

// More than there is room for: the recording fails, and who asked isn't given a part for the whole.
func TestNoRoom(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) })
	r := record(t, t.TempDir(), upstream)
	r.bounds.total = 2 << 20
	ask(t, r, "GET", "https://a.example/1")
	ask(t, r, "GET", "https://a.example/2?n=same-body")
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.URL.Scheme, req.URL.Host = "https", "a.example"
		r.bounds.total = 1 << 20
		r.ServeHTTP(w, req)
	}))
	defer h.Close()
	resp, err := http.Get(h.URL + "/3")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
	}
	require.Error(t, err)
	_, err = r.Finish(nil)
	require.ErrorContains(t, err, "recording: all that was asked for has more than 1048576 bytes")
	require.NoFileExists(t, filepath.Join(r.dir, IndexName))

	r = record(t, t.TempDir(), upstream)
	r.bounds.answers = 1
	ask(t, r, "GET", "https://a.example/1")
	ask(t, r, "GET", "https://a.example/2")
	_, err = r.Finish(nil)
	require.ErrorContains(t, err, "more than 1 URLs were asked for")
}

// A folder that can't be written to is the recording's fault, and not a server's.
func TestFolderIsGone(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") })
	r := record(t, filepath.Join(t.TempDir(), "x"), upstream)
	require.NoError(t, os.RemoveAll(r.dir))
	ask(t, r, "GET", "https://a.example/1")
	_, err := r.Finish(nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A body that is another than the index says is never given.
func TestDamagedRecordings(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, long) })
	for what, tt := range map[string]struct {
		damage func(name string) error
		want   string
	}{
		"another":  {func(name string) error { return os.WriteFile(name, []byte(strings.ToUpper(long)), 0o600) }, "the body in the recording is another than its index says: don't use it"},
		"shorter":  {func(name string) error { return os.Truncate(name, 3) }, "the body in the recording is another than its index says: don't use it"},
		"longer":   {func(name string) error { return os.WriteFile(name, []byte(long+"x"), 0o600) }, "the body in the recording is another than its index says: don't use it"},
		"missing":  {os.Remove, "the recording lacks its body: it is damaged"},
		"a folder": {func(name string) error { _ = os.Remove(name); return os.Mkdir(name, 0o755) }, "read "},
	} {
		t.Run(what, func(t *testing.T) {
			r := record(t, t.TempDir(), upstream)
			ask(t, r, "GET", "https://a.example/x")
			p := finish(t, r)
			require.NoError(t, tt.damage(filepath.Join(r.dir, BodyName(digest.FromString(long)))))
			for range 2 {
				got := ask(t, p, "GET", "https://a.example/x")
				require.Equal(t, 403, got.StatusCode)
				require.Contains(t, text(t, got), tt.want)
			}
			require.Len(t, p.Missing(), 1)
		})
	}
}

// Whoever was killed leaves no index, and so no recording.
func TestUnfinished(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, long) })
	r := record(t, t.TempDir(), upstream)
	ask(t, r, "GET", "https://a.example/x")
	_, err := Open(os.DirFS(r.dir))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example":                              "https://a.example/",
		"HTTP://A.Example:80/X?b=2&a=1#f":                "http://a.example/X?b=2&a=1",
		"https://[::1]:443/":                             "https://[::1]/",
		"https://[::1]:80/":                              "https://[::1]:80/",
		"https://u:p@a.example/%2f?":                     "https://a.example/%2f",
		"https://a.example/?keyring=1&key=s&k=&monkey=2": "https://a.example/?keyring=1&k=&monkey=2",
		"https://a.example/?Auth%54oken=s&a=token":       "https://a.example/?a=token",
		"https://a.example/?a=1;token=s;b=2":             "https://a.example/?a=1&b=2",
	} {
		u, err := url.Parse(in)
		require.NoError(t, err)
		require.Equal(t, want, Clean(u), in)
		again, err := url.Parse(want)
		require.NoError(t, err)
		require.Equal(t, want, Clean(again))
	}
}

const oneAnswer = `{"url":"https://a.example/","status":200,"digest":"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","size":1,"time":"2026-11-28T00:00:00Z"}`

// What no Recorder writes isn't read.
func TestHostileIndexes(t *testing.T) {
	line := func(old, now string) string { return strings.Replace(oneAnswer, old, now, 1) }
	for what, tt := range map[string]struct{ lines, want string }{
		"nothing":                  {"", "it is empty"},
		"no head":                  {oneAnswer, `line 1: json: unknown field "url"`},
		"a format to come":         {`{"format":2,"platforms":[]}`, "format 2, and this larder reads format 1"},
		"a bell in a platform":     {`{"format":1,"platforms":["\u0007"]}`, "control character in the platform"},
		"no answer":                {"HEAD\n{}", "line 2: the URL"},
		"a list":                   {"HEAD\n[]", "line 2: json: cannot unmarshal array"},
		"two in a line":            {"HEAD\n" + oneAnswer + oneAnswer, "more than one value"},
		"twice":                    {"HEAD\n" + oneAnswer + "\n" + oneAnswer, "line 3: answers are out of order, or come twice"},
		"out of order":             {"HEAD\n" + line("a.example/", "b.example/") + "\n" + oneAnswer, "line 3: answers are out of order"},
		"another scheme":           {"HEAD\n" + line("https:", "file:"), "isn't one of a web server"},
		"no host":                  {"HEAD\n" + line("a.example", ""), "isn't one of a web server"},
		"a password":               {"HEAD\n" + line("a.example", "u:p@a.example"), "isn't one of a web server as a recording has it"},
		"a token":                  {"HEAD\n" + line("a.example/", "a.example/?token=x"), "isn't one of a web server as a recording has it"},
		"a URL that isn't":         {"HEAD\n" + line("a.example", "a b%"), "a URL that can't be read"},
		"a redirect's body":        {"HEAD\n" + line("200", "302"), "a redirect with a body, which isn't kept"},
		"a status of a moment":     {"HEAD\n" + line("200", "503"), "the status 503, which isn't kept"},
		"a status of none":         {"HEAD\n" + line("200", "99"), "the status 99"},
		"a size below nothing":     {"HEAD\n" + line(`"size":1`, `"size":-1`), "a body of -1 bytes"},
		"a digest of another kind": {"HEAD\n" + line("sha256:a", "sha512:a"), "is no digest"},
		"a digest that leads out":  {"HEAD\n" + line("aaaa", "../."), "is no digest"},
		"a cookie":                 {"HEAD\n" + line(`"digest"`, `"header":{"Set-Cookie":"x"},"digest"`), `the header "Set-Cookie", which isn't kept`},
		"two headers in one":       {"HEAD\n" + line(`"digest"`, `"header":{"Etag":"x\r\nX: y"},"digest"`), "the header Etag has a control character"},
		"a step that rings":        {"HEAD\n" + line(`"digest"`, `"step":"\u0007","digest"`), "a control character in"},
		"a long line":              {"HEAD\n" + line("a.example/", "a.example/"+strings.Repeat("x", maxLine)), "line 2: bufio.Scanner: token too long"},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := ReadIndex(strings.NewReader(strings.Replace(tt.lines, "HEAD", `{"format":1,"platforms":["linux/amd64"]}`, 1)))
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "record it anew")
		})
	}
}

// What is read is what is written, and what is written is read again.
func FuzzReadIndex(f *testing.F) {
	f.Add([]byte(`{"format":1,"platforms":["linux/amd64"]}` + "\n" + oneAnswer + "\n"))
	f.Add([]byte(`{"format":1,"platforms":[]}` + "\n" + `{"url":"http://a/?x","accept":"a/b","status":302,"header":{"Location":"http://b/"},"size":0,"time":"2026-11-28T00:00:00Z"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := ReadIndex(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		require.NoError(t, x.Write(&out))
		again, err := ReadIndex(&out)
		require.NoError(t, err)
		require.Equal(t, len(x.Answers), len(again.Answers))
		for i := range x.Answers {
			require.Equal(t, x.Answers[i].URL, again.Answers[i].URL)
		}
	})
}

// What Clean returns is a URL that it leaves as it is: else an answer would be recorded under a key that nobody finds.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"https://u:p@A.example:443/a%2Fb?x=1&token=2#f", "http://[::1]:80", "http:x", "//a", "https://a/?%74oken=1&&a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return
		}
		once := Clean(u)
		again, err := url.Parse(once)
		require.NoError(t, err, once)
		require.Equal(t, once, Clean(again))
	})
}

// No more memory than the index takes, however many bodies there are.
func TestManyURLs(t *testing.T) {
	debug.FreeOSMemory()
	require.NoError(t, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // the peak begins anew, without that of other tests
	var asked [sha256.Size]byte
	r := record(t, t.TempDir(), nil)
	var bodies []Answer
	for i := range 1000 {
		d, size, err := r.body(strings.NewReader(fmt.Sprint(i)))
		require.NoError(t, err)
		bodies = append(bodies, Answer{Digest: d, Size: size})
	}
	for i := range 100_000 {
		a := Answer{URL: fmt.Sprintf("https://a.example/packages/%d.apk", i), Status: 200, Digest: bodies[i%1000].Digest, Size: bodies[i%1000].Size, Header: map[string]string{"Etag": fmt.Sprint(i)}, Time: time.Unix(0, 0).UTC()}
		require.NoError(t, r.put(a, asked))
	}
	p := finish(t, r)
	require.Len(t, p.Index().Answers, 100_000)
	require.Equal(t, "999", text(t, ask(t, p, "GET", "https://a.example/packages/99999.apk")))
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kb int
			_, err := fmt.Sscan(rest, &kb)
			require.NoError(t, err)
			require.Less(t, kb, 200<<10, "kB of memory at most")
		}
	}
}

// Who knows no proxy gets the same, recorded and replayed, at the end of redirects.
func TestFiles(t *testing.T) {
	s, upstream := newServer(t)
	s.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://cdn.example/f?x=1&token=SECRET", http.StatusFound)
	})
	s.HandleFunc("/f", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "file "+r.URL.RawQuery) })
	s.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	r := record(t, t.TempDir(), upstream)
	recorded := Files(r)
	require.Equal(t, "file x=1&token=SECRET", text(t, ask(t, recorded, "GET", "http://127.0.0.1/https/a.example/moved")))
	require.Equal(t, "file a=%2F", text(t, ask(t, recorded, "GET", "http://127.0.0.1/http/a.example:81/f?a=%2F")))
	require.Contains(t, text(t, ask(t, recorded, "GET", "http://127.0.0.1/https/a.example/loop")), "larder: https://a.example/loop leads nowhere")
	h := httptest.NewServer(recorded)
	defer h.Close()
	resp, err := http.Get(h.URL + "/https/a.example/moved?n=2") // a real server, where what was flushed is gone
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "file x=1&token=SECRET", text(t, resp))
	p := finish(t, r)
	replayed := Files(p)
	require.Equal(t, "file x=1&token=SECRET", text(t, ask(t, replayed, "GET", "http://127.0.0.1/https/a.example/moved")))
	require.Equal(t, "file a=%2F", text(t, ask(t, replayed, "GET", "http://127.0.0.1/http/a.example:81/f?a=%2F")))
	other := ask(t, replayed, "GET", "http://127.0.0.1/https/a.example/other")
	require.Equal(t, 403, other.StatusCode)
	require.Equal(t, "https://a.example/other", p.Missing()[0].URL)
	for _, url := range []string{"http://127.0.0.1/", "http://127.0.0.1/https", "http://127.0.0.1/ftp/a.example/x", "http://127.0.0.1/https//x"} {
		require.Equal(t, 400, ask(t, replayed, "GET", url).StatusCode, url)
	}
}
