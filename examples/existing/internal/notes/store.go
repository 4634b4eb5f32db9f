// Package notes keeps notes and serves them over HTTP.
package notes

import (
	"sync"

	"github.com/google/uuid"
)

// A Note is a text and the name by which it is found.
type Note struct {
	ID   uuid.UUID `json:"id"`
	Text string    `json:"text"`
}

// A Store keeps notes in memory. The zero value is ready to use, by many at a time.
type Store struct {
	mu    sync.Mutex
	notes map[uuid.UUID]Note
}

// Add keeps a text as a new note.
func (s *Store) Add(text string) Note {
	note := Note{ID: uuid.New(), Text: text}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.notes == nil {
		s.notes = map[uuid.UUID]Note{}
	}
	s.notes[note.ID] = note
	return note
}

// Get returns a note, if there is one of that name.
func (s *Store) Get(id uuid.UUID) (Note, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	note, ok := s.notes[id]
	return note, ok
}
