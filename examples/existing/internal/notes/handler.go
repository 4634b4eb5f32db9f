package notes

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/google/uuid"
)

// maxNote bounds what is read of a request.
const maxNote = 64 << 10

// Handler serves the notes of a store.
func Handler(s *Store, version string) http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.Recoverer)
	r.Get("/version", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, version) })
	r.Post("/notes", s.post)
	r.Get("/notes/{id}", s.get)
	return r
}

func (s *Store) post(w http.ResponseWriter, req *http.Request) {
	var note Note
	if err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxNote)).Decode(&note); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply(w, http.StatusCreated, s.Add(note.Text))
}

func (s *Store) get(w http.ResponseWriter, req *http.Request) {
	id, err := uuid.Parse(chi.URLParam(req, "id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	note, ok := s.Get(id)
	if !ok {
		http.NotFound(w, req)
		return
	}
	reply(w, http.StatusOK, note)
}

func reply(w http.ResponseWriter, status int, note Note) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(note) // the client has gone away, if that fails
}
