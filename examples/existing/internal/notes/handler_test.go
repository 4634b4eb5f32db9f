package notes

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(t *testing.T, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return w
}

func TestNotesAreKept(t *testing.T) {
	h := Handler(&Store{}, "v1.2.0")
	posted := ask(t, h, http.MethodPost, "/notes", `{"text":"buy flour"}`)
	if posted.Code != http.StatusCreated {
		t.Fatalf("POST answers %d %s", posted.Code, posted.Body)
	}
	var note Note
	if err := json.Unmarshal(posted.Body.Bytes(), &note); err != nil {
		t.Fatal(err)
	}
	got := ask(t, h, http.MethodGet, "/notes/"+note.ID.String(), "")
	if want := `{"id":"` + note.ID.String() + `","text":"buy flour"}` + "\n"; got.Body.String() != want {
		t.Errorf("GET answers %q, want %q", got.Body, want)
	}
}

func TestRefused(t *testing.T) {
	h := Handler(&Store{}, "v1.2.0")
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{http.MethodPost, "/notes", "no JSON", http.StatusBadRequest},
		{http.MethodGet, "/notes/1", "", http.StatusBadRequest},
		{http.MethodGet, "/notes/00000000-0000-0000-0000-000000000000", "", http.StatusNotFound},
	} {
		if w := ask(t, h, tt.method, tt.path, tt.body); w.Code != tt.status {
			t.Errorf("%s %s answers %d, want %d", tt.method, tt.path, w.Code, tt.status)
		}
	}
}
