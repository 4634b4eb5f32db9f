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

// A NamedFault is a way in which a server fails, with its name in docs/reference/faults.md.
type NamedFault struct {
	Name string
	Do   Fault
}

// Faults returns the ways of failing that every client is tested with. Those that wait or send without end stop when
// the client closes the connection.
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

// Status returns a fault that answers with an HTTP status. header may be the name and value of a header.
func Status(code int, header ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if len(header) == 2 {
			w.Header().Set(header[0], header[1])
		}
		w.WriteHeader(code)
	}
}

// otherBytes answers like the server, but changes one bit in the middle of the body.
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

// endless sends bytes until the client closes the connection.
func endless(w http.ResponseWriter, r *http.Request, _ http.Handler) {
	for chunk := make([]byte, 1<<20); r.Context().Err() == nil; {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Faulty returns a handler that fails with f, or answers by next if f does.
func Faulty(next http.Handler, f Fault) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f(w, r, next) })
}

// Where limits a fault to requests that match, and to the first few of these. If times is 0, it applies to all of them.
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

// CheckFaults tests what a client does with every fault: once with the fault on the first request only, and once on
// all. It checks that the table below a heading of docs/reference/faults.md shows the results. The cases run at the
// same time. try returns nil if the client got everything, and passes times to Where. With UPDATE_FAULTS set,
// CheckFaults rewrites the document.
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
