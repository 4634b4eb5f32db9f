package testkit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A NamedFault is a way in which a server fails, by what docs/reference/faults.md calls it.
type NamedFault struct {
	Name string
	Do   Fault
}

// Faults returns the ways in which a server fails that every client is tried with. Those that wait go on until the client
// has gone.
func Faults() []NamedFault {
	return []NamedFault{
		{"401", Status(401, "WWW-Authenticate", `Basic realm="x"`)},
		{"403", Status(403)},
		{"404", Status(404)},
		{"410", Status(410)},
		{"429, Retry-After: 0", Status(429, "Retry-After", "0")},
		{"429, Retry-After: 3600", Status(429, "Retry-After", "3600")},
		{"500", Status(500)},
		{"503", Status(503)},
		{"closes before an answer", func(http.ResponseWriter, *http.Request, http.Handler) { Abort() }},
		{"closes within an answer", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(After(w, 20, Abort), r)
		}},
		{"silent before an answer", Stalled},
		{"silent within an answer", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(After(w, 20, func() { <-r.Context().Done() }), r)
		}},
		{"other bytes", otherBytes},
		{"bytes without end", endless},
		{"redirects for ever", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}},
		{"redirects out of TLS", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, "http://elsewhere.example"+r.URL.RequestURI(), http.StatusTemporaryRedirect)
		}},
	}
}

// Status answers with an HTTP status, and a header of a name and a value.
func Status(code int, header ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if len(header) == 2 {
			w.Header().Set(header[0], header[1])
		}
		w.WriteHeader(code)
	}
}

// otherBytes answers as the server does, but for one bit in the middle.
func otherBytes(w http.ResponseWriter, r *http.Request, next http.Handler) {
	rec := httptest.NewRecorder()
	r.Header.Del("Range")
	next.ServeHTTP(rec, r)
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	body := rec.Body.Bytes()
	if len(body) > 0 {
		body[len(body)/2] ^= 1
	}
	_, _ = w.Write(body)
}

// endless sends until the client has gone.
func endless(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	for chunk := make([]byte, 1<<20); r.Context().Err() == nil; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Faulty is a handler that fails.
func Faulty(next http.Handler, f Fault) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
}

// Where limits a fault to some requests, and to the first few of these; times is 0 for all.
func Where(match func(*http.Request) bool, times int64, f Fault) Fault {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !match(r) || times > 0 && count.Add(1) > times {
			next.ServeHTTP(w, r)
			return
		}
		f(w, r, next)
	}
}

// CheckFaults tries what a client does with every fault, of the first request and of all, in any number of goroutines, and
// holds that docs/reference/faults.md says below a heading what comes of it. try returns nil if all came that was asked for; times is
// for Where. With UPDATE_FAULTS set, the document is rewritten.
func CheckFaults(t *testing.T, doc, heading string, faults []NamedFault, try func(t *testing.T, f NamedFault, times int64) error) {
	outcomes := make([][2]string, len(faults))
	t.Run("faults", func(t *testing.T) {
		for i, f := range faults {
			for j, times := range []int64{1, 0} {
				t.Run(fmt.Sprintf("%s/%d", f.Name, times), func(t *testing.T) {
					t.Parallel()
					outcomes[i][j] = "works"
					if err := try(t, f, times); err != nil {
						outcomes[i][j] = strings.NewReplacer("|", `\|`, "\n", " ", "<", `\<`).Replace(err.Error())
					}
				})
			}
		}
	})
	var table strings.Builder
	table.WriteString("| fault | once | for ever |\n| --- | --- | --- |\n")
	for i, f := range faults {
		if outcomes[i][1] == outcomes[i][0] {
			outcomes[i][1] = "the same"
		}
		fmt.Fprintf(&table, "| %s | %s | %s |\n", f.Name, outcomes[i][0], outcomes[i][1])
	}
	data, err := os.ReadFile(doc)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(data), "\n## "+heading+"\n")
	require.True(t, ok, "%s has no section %q", doc, heading)
	start := strings.Index(rest, "| fault |")
	require.GreaterOrEqual(t, start, 0, "the section %q has no table", heading)
	end := start
	for end < len(rest) && rest[end] == '|' {
		end += strings.IndexByte(rest[end:], '\n') + 1
	}
	if os.Getenv("UPDATE_FAULTS") != "" {
		text := before + "\n## " + heading + "\n" + rest[:start] + table.String() + rest[end:]
		require.NoError(t, os.WriteFile(doc, []byte(text), 0o644))
		return
	}
	require.Equal(t, rest[start:end], table.String(), "set UPDATE_FAULTS=1 to rewrite %s", doc)
}
