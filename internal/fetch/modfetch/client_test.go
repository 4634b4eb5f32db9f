package modfetch

import (
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// impatient returns a client that doesn't wait long between tries.
func impatient(t testing.TB, ca string) *fetch.Client {
	t.Helper()
	c, err := fetch.NewClient(ca, nil, fetch.Remedies{Missing: "use another proxy", CA: "pass it with --ca FILE", Credentials: "pass --netrc"})
	require.NoError(t, err)
	c.Policy.Backoff, c.Policy.MaxWait = time.Millisecond, 100*time.Millisecond
	t.Cleanup(c.Transport.(*http.Transport).CloseIdleConnections)
	return c
}

// getFile gets a file from a server and returns what arrived.
func getFile(t *testing.T, c *fetch.Client, base string) ([]byte, error) {
	t.Helper()
	src, err := parseSource(base)
	require.NoError(t, err)
	w, err := os.Create(filepath.Join(t.TempDir(), "file"))
	require.NoError(t, err)
	defer w.Close()
	err = src.Get(t.Context(), c, "x/@v/v1.0.0.zip", w, 1<<24)
	data, readErr := os.ReadFile(w.Name())
	require.NoError(t, readErr)
	return data, err
}

// fault answers the n-th request, counted from 1, or leaves it to the server that has the file.
type fault func(n int, w http.ResponseWriter, r *http.Request) (done bool)

func faulty(t *testing.T, content []byte, modified time.Time, f fault) *httptest.Server {
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f(int(n.Add(1)), w, r) {
			return
		}
		http.ServeContent(w, r, "", modified, strings.NewReader(string(content)))
	}))
	t.Cleanup(srv.Close)
	return srv
}

// breakOff sends a part of what it promises and closes the connection.
func breakOff(w http.ResponseWriter, content []byte, from, to int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(content[from:to])
	panic(http.ErrAbortHandler)
}

func TestGetAfterFaults(t *testing.T) {
	content := make([]byte, 100_000)
	_, _ = rand.Read(content)
	for name, f := range map[string]fault{
		"none": func(int, http.ResponseWriter, *http.Request) bool { return false },
		"503": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n < 4 {
				http.Error(w, "busy", http.StatusServiceUnavailable)
			}
			return n < 4
		},
		"429 with a date": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				w.Header().Set("Retry-After", time.Now().UTC().Format(http.TimeFormat))
				http.Error(w, "slow down", http.StatusTooManyRequests)
			}
			return n == 1
		},
		"reset before the header": func(n int, _ http.ResponseWriter, _ *http.Request) bool {
			if n < 3 {
				panic(http.ErrAbortHandler)
			}
			return false
		},
		"broken off": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n < 3 {
				breakOff(w, content, 0, 40_000)
			}
			return false
		},
		"broken off, other version after": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 1 {
				w.Header().Set("ETag", `"old"`)
				breakOff(w, make([]byte, len(content)), 0, 40_000)
			}
			w.Header().Set("ETag", `"new"`)
			return false
		},
		"wrong range": func(n int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("ETag", `"x"`)
			switch n {
			case 1:
				breakOff(w, content, 0, 40_000)
			case 2:
				w.Header().Set("Content-Range", "bytes 0-99999/100000")
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write(content)
				return true
			}
			return false
		},
		"no such range": func(n int, w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("ETag", `"x"`)
			switch n {
			case 1:
				breakOff(w, content, 0, 40_000)
			case 2:
				w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
				return true
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := getFile(t, impatient(t, ""), faulty(t, content, time.Time{}, f).URL)
			require.NoError(t, err)
			require.Equal(t, content, got)
		})
	}
}

// A transfer that breaks off again and again goes on where it was, and isn't given up while it gets on.
func TestGetResumes(t *testing.T) {
	content := make([]byte, 10<<20)
	_, _ = rand.Read(content)
	const chunk = 1 << 20
	var ranges []string
	srv := faulty(t, content, noon, func(n int, w http.ResponseWriter, r *http.Request) bool {
		if n > 1 {
			ranges = append(ranges, r.Header.Get("Range"))
		}
		w.Header().Set("ETag", `"v"`)
		from := (n - 1) * chunk
		if from+chunk < len(content) {
			breakOff(w, content, from, from+chunk)
		}
		return false
	})
	got, err := getFile(t, impatient(t, ""), srv.URL)
	require.NoError(t, err)
	require.Equal(t, content, got)
	require.Len(t, ranges, 9)
	require.Equal(t, "bytes=1048576-", ranges[0])
	require.Equal(t, "bytes=9437184-", ranges[8])
}

func TestGetGivesUp(t *testing.T) {
	content := make([]byte, 4<<20)
	forbid := func(t *testing.T) http.HandlerFunc {
		return func(http.ResponseWriter, *http.Request) { t.Error("asked again") }
	}
	for name, tt := range map[string]struct {
		fault fault
		want  string
	}{
		"503 for ever": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "down for repairs", 503)
			return true
		}, `it answered 503 Service Unavailable ("down for repairs") (tried 5 times)`},
		"long Retry-After": {func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				forbid(t)(w, r)
			}
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(429)
			return true
		}, "it answered 429 Too Many Requests and asks to wait for 1h0m0s: try again then"},
		"always broken off": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			breakOff(w, content, 0, 3<<20)
			return true
		}, "the transfer broke off: unexpected EOF (tried 5 times)"},
		"broken off or reset in turns": {func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n%2 == 0 {
				panic(http.ErrAbortHandler)
			}
			breakOff(w, content, 0, 3<<20)
			return true
		}, "(tried 5 times)"},
		"larger than allowed": {func(n int, w http.ResponseWriter, r *http.Request) bool {
			if n > 1 {
				forbid(t)(w, r)
			}
			w.Header().Set("Content-Length", fmt.Sprint(1<<25))
			return true
		}, "larger than the 16777216 bytes"},
		"larger than allowed, unannounced": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			for range 5 {
				_, _ = w.Write(content)
				w.(http.Flusher).Flush()
			}
			return true
		}, "larger than the 16777216 bytes"},
		"redirects for ever": {func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, "refusing its redirect: more than 10"},
		"not modified": {func(_ int, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(304)
			return true
		}, "it answered 304"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := getFile(t, impatient(t, ""), faulty(t, content, time.Time{}, tt.fault).URL)
			require.ErrorContains(t, err, tt.want)
			require.NotErrorIs(t, err, fs.ErrNotExist)
		})
	}
}

// A server that goes silent, before its answer or within it, is left after the limit, not waited for.
func TestGetStalls(t *testing.T) {
	content := make([]byte, 100_000)
	for name, before := range map[string]int{"before the answer": 0, "within the answer": 50_000} {
		t.Run(name, func(t *testing.T) {
			hang := func(n int, w http.ResponseWriter, r *http.Request) bool {
				if n > 1 {
					return false
				}
				if before > 0 {
					w.Header().Set("Content-Length", fmt.Sprint(len(content)))
					_, _ = w.Write(content[:before])
					w.(http.Flusher).Flush()
				}
				<-r.Context().Done()
				return true
			}
			c := impatient(t, "")
			c.Policy.HeadWait, c.Policy.Stall = 200*time.Millisecond, 200*time.Millisecond
			got, err := getFile(t, c, faulty(t, content, noon, hang).URL)
			require.NoError(t, err)
			require.Equal(t, content, got)

			c.Policy.Tries = 1
			_, err = getFile(t, c, faulty(t, content, noon, hang).URL)
			require.ErrorContains(t, err, "it sent nothing for 200ms")
		})
	}
}

// A source that never had an answer is not tried again for every further file.
func TestGetLeavesDeadSource(t *testing.T) {
	for name, f := range map[string]fault{
		"reset": func(int, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"503":   func(_ int, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(503); return true },
	} {
		t.Run(name, func(t *testing.T) {
			c := impatient(t, "")
			var n atomic.Int64
			srv := faulty(t, nil, noon, func(i int, w http.ResponseWriter, r *http.Request) bool {
				n.Add(1)
				return f(i, w, r)
			})
			src, err := parseSource(srv.URL)
			require.NoError(t, err)
			for range 3 {
				require.ErrorContains(t, src.Get(t.Context(), c, "x", new(buffer), 10), "tried 5 times")
			}
			require.Equal(t, int64(c.Policy.Tries), n.Load())
		})
	}
}

// Credentials go to the host that they were given for, also after a redirect within it, and to no other.
func TestGetCredentials(t *testing.T) {
	got := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- "other " + r.Header.Get("Authorization")
		fmt.Fprint(w, "ok")
	}))
	defer other.Close()
	srv := faulty(t, nil, noon, func(n int, w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		got <- user + ":" + password
		switch n {
		case 1:
			http.Redirect(w, r, "/same"+r.URL.Path, http.StatusFound)
		default:
			http.Redirect(w, r, other.URL+"/file?signature=s", http.StatusFound)
		}
		return true
	})
	data, err := getFile(t, impatient(t, ""), strings.Replace(srv.URL, "://", "://user:p%40ss@", 1))
	require.NoError(t, err)
	require.Equal(t, "ok", string(data))
	require.Equal(t, []string{"user:p@ss", "user:p@ss", "other "}, []string{<-got, <-got, <-got})
}

// No message tells a password, nor the query of a URL that a proxy redirected to.
func TestErrorsHideSecrets(t *testing.T) {
	echo := faulty(t, nil, noon, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		_, password, _ := r.BasicAuth()
		http.Error(w, "wrong password "+password, http.StatusUnauthorized)
		return true
	})
	away := faulty(t, nil, noon, func(_ int, w http.ResponseWriter, r *http.Request) bool {
		http.Redirect(w, r, "http://127.0.0.1:1/?signature=s3cret", http.StatusFound)
		return true
	})
	for _, base := range []string{echo.URL, away.URL, "http://127.0.0.1:1"} {
		u, err := url.Parse(base)
		require.NoError(t, err)
		u.User = url.UserPassword("us3cret", "s3cret")
		list, err := ParseList(u.String())
		require.NoError(t, err)
		_, err = Fetch(t.Context(), impatient(t, ""), list, "x/@v/v1.0.0.zip", new(buffer), 1<<20)
		require.ErrorContains(t, err, "http://127.0.0.1:")
		require.NotContains(t, err.Error(), "s3cret")
	}
}

// given has credentials for some hosts and paths.
type given map[string]http.Header

func (g given) Header(u *url.URL) http.Header { return g[u.Host+u.Path] }
func (given) Proxy(*url.URL) *url.Userinfo    { return nil }
func (g given) Redact(text string) string     { return strings.ReplaceAll(text, "s3cret", "xxxxx") }

// A proxy that refuses is told by its host, and what to do; what it repeats of the credentials isn't.
func TestRefused(t *testing.T) {
	for status, want := range map[int]string{401: "401 Unauthorized", 403: "403 Forbidden"} {
		srv := faulty(t, nil, noon, func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "not with "+r.Header.Get("Private-Token"), status)
			return true
		})
		host := strings.TrimPrefix(srv.URL, "http://")
		c := impatient(t, "")
		_, err := getFile(t, c, srv.URL)
		require.ErrorContains(t, err, "it answered "+want+` ("not with"): `+host+" wants credentials, which aren't sent over http: use https")
		c.Credentials = given{host + "/x/@v/v1.0.0.zip": {"Private-Token": {"s3cret"}}}
		_, err = getFile(t, c, srv.URL)
		require.ErrorContains(t, err, `("not with xxxxx"): `+host+" refuses the credentials that were given for it: check them; pass --netrc")
		var refused *fetch.RefusedError
		require.ErrorAs(t, err, &refused)

		echo := faulty(t, nil, noon, func(_ int, w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "not with "+r.Header.Get("Authorization"), status)
			return true
		})
		_, err = getFile(t, c, strings.Replace(echo.URL, "http://", "http://ci:s3cret@", 1))
		require.ErrorContains(t, err, "it answered "+want+": check the user and password in GOPROXY")
	}
}
