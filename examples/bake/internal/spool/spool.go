// Package spool is a queue of jobs in a folder, which several programs share.
package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// suffix ends the names of jobs that wait. Other files are jobs that are being written or worked on.
const suffix = ".job"

// A Spool is a folder with jobs.
type Spool string

// Add puts a job into the queue and returns its name. Names are in the order of time.
func (s Spool) Add(text string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	// A job appears as a whole: a worker sees none that is half written.
	file := s.file(id.String())
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return "", err
	}
	return id.String(), os.Rename(file+".new", file)
}

// Waiting returns the names of the jobs that wait, the oldest first.
func (s Spool) Waiting() ([]string, error) {
	files, err := filepath.Glob(s.file("*"))
	for i, file := range files {
		files[i] = strings.TrimSuffix(filepath.Base(file), suffix)
	}
	return files, err
}

// Take takes the oldest job out of the queue and returns its text, or fs.ErrNotExist if none waits. No other worker
// gets the same one.
func (s Spool) Take() (string, error) {
	names, err := s.Waiting()
	if err != nil {
		return "", err
	}
	for _, name := range names {
		mine := s.file(name) + ".taken"
		if err := os.Rename(s.file(name), mine); errors.Is(err, fs.ErrNotExist) {
			continue // another worker was first
		} else if err != nil {
			return "", err
		}
		text, err := os.ReadFile(mine)
		return string(text), errors.Join(err, os.Remove(mine))
	}
	return "", fs.ErrNotExist
}

func (s Spool) file(name string) string { return filepath.Join(string(s), name+suffix) }
