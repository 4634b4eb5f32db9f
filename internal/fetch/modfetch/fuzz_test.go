package modfetch

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/larder-build/larder/internal/fetch"
)

// An answering is a network in which every request has an answer of the test's.
type answering func(*http.Request) *http.Response

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := a(r)
	resp.Request = r
	return resp, nil
}

// answer makes an answer of a status and lines of a header.
func answer(status int, header string, body []byte) *http.Response {
	h := http.Header{}
	for line := range strings.Lines(header) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			h.Add(name, value)
		}
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Header: h, ContentLength: -1, Body: io.NopCloser(bytes.NewReader(body))}
}

func fuzzedClient(network answering) *fetch.Client {
	return &fetch.Client{Transport: network, Policy: fetch.Policy{Tries: 3, HeadWait: time.Minute, Stall: time.Minute}}
}

// Whatever a proxy answers, and to a second and a third try, a file is no larger than it may be, or refused in one line.
func FuzzAnswers(f *testing.F) {
	f.Add(200, "Etag: \"a\"\n", []byte("module x\n"), 206, "Content-Range: bytes 9-11/12\n", []byte("abc"))
	f.Add(200, "Content-Length: 9999999999\n", []byte("x"), 503, "Retry-After: 0\n", []byte(""))
	f.Add(206, "Content-Range: bytes 0-9223372036854775807/1\n", []byte("x"), 416, "", []byte(""))
	f.Add(302, "Location: http://other.example/\n", []byte(""), 401, "WWW-Authenticate: Basic\n", []byte("no\nentry"))
	f.Add(410, "", []byte("gone: \x1b[31m\nnot here"), 404, "", []byte(""))
	f.Fuzz(func(t *testing.T, status int, header string, body []byte, nextStatus int, nextHeader string, nextBody []byte) {
		n := 0
		c := fuzzedClient(func(*http.Request) *http.Response {
			if n++; n%2 == 1 {
				return answer(status, header, body)
			}
			return answer(nextStatus, nextHeader, nextBody)
		})
		list, err := ParseList("https://a.example|https://b.example,direct")
		require.NoError(t, err)
		var b buffer
		_, err = Fetch(t.Context(), c, list, "x/@v/v1.0.0.mod", &b, 16)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.LessOrEqual(t, len(b.data), 16)
	})
}

// Whatever a zip has, it is checked within its own size, and one that is taken has one hash.
func FuzzZip(f *testing.F) {
	m := module.Version{Path: "a.example/m", Version: "v1.0.0"}
	for _, names := range [][]string{{"go.mod"}, {"../x", "/etc/passwd"}, {"A", "a"}, {"x/go.mod", "go.mod"}, {"go.mod", "go.mod"}} {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		for _, name := range names {
			e, err := w.Create(m.String() + "/" + name)
			require.NoError(f, err)
			_, err = io.WriteString(e, "module a.example/m\n")
			require.NoError(f, err)
		}
		require.NoError(f, w.Close())
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		if CheckZipIn(m, r, r.Size()) != nil {
			return
		}
		first, err := HashZip(r, r.Size())
		if err != nil {
			return
		}
		second, err := HashZip(r, r.Size())
		require.NoError(t, err)
		require.Equal(t, first, second)
	})
}

// Whatever a checksum database answers, a hash is only had of it if it has signed that, and has the record at the place
// that it says. The database here signs whatever tree the fuzzer has it sign.
func FuzzDatabase(f *testing.F) {
	skey, vkey, err := note.GenerateKey(rand.Reader, "sum.example")
	require.NoError(f, err)
	signer, err := note.NewSigner(skey)
	require.NoError(f, err)
	m := module.Version{Path: "a.example/m", Version: "v1.0.0"}
	record := "a.example/m v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\na.example/m v1.0.0/go.mod h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	hash := tlog.RecordHash([]byte(record))
	f.Add(int64(0), record, int64(1), hash[:], hash[:], true)
	f.Add(int64(0), record, int64(1), make([]byte, 32), hash[:], true)
	f.Add(int64(5), record, int64(1), hash[:], hash[:], true)
	f.Add(int64(0), record, int64(1<<62), hash[:], hash[:], true)
	f.Add(int64(-1), "", int64(-1), []byte{}, []byte{}, false)
	proxies, err := ParseList("direct")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, id int64, record string, size int64, root, tile []byte, signed bool) {
		head := fmt.Sprintf("go.sum database tree\n%d\n%s\n", size, base64.StdEncoding.EncodeToString(root))
		tree := []byte(head)
		if signed {
			if tree, err = note.Sign(&note.Note{Text: head}, signer); err != nil {
				return
			}
		}
		c := fuzzedClient(func(r *http.Request) *http.Response {
			switch {
			case strings.Contains(r.URL.Path, "/lookup/"):
				return answer(200, "", fmt.Appendf(nil, "%d\n%s\n%s", id, record, tree))
			case strings.Contains(r.URL.Path, "/latest"):
				return answer(200, "", tree)
			}
			return answer(200, "", tile)
		})
		d, err := NewDatabase(t.Context(), c, vkey, proxies)
		require.NoError(t, err)
		h1, err := d.Lookup(m)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.True(t, signed)
		require.Contains(t, record, m.Path+" "+m.Version+" "+h1+"\n")
		if size == 1 {
			want := tlog.RecordHash([]byte(record))
			require.Equal(t, want[:], root)
		}
		require.Less(t, id, size)
	})
}
