package spool

import (
	"errors"
	"io/fs"
	"testing"
)

func TestJobsComeOutInOrder(t *testing.T) {
	s := Spool(t.TempDir())
	for _, text := range []string{"one", "two"} {
		if _, err := s.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := s.Waiting(); err != nil || len(names) != 2 {
		t.Fatalf("%d jobs wait, error %v", len(names), err)
	}
	for _, want := range []string{"one", "two"} {
		if got, err := s.Take(); err != nil || got != want {
			t.Errorf("got %q, error %v, want %q", got, err, want)
		}
	}
	if _, err := s.Take(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty queue gives %v", err)
	}
}
