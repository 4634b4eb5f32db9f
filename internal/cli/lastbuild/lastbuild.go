// Package lastbuild keeps what the last build of a folder was made of, in one file for each: a builder's cache can't be asked
// why it hasn't what a step makes. Of the files that steps read it keeps digests, and reads a file again only if its size,
// times, inode or mode differ, as git does.
//
// What it reads back is bounded and checked: anybody may have written it.
package lastbuild

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/larder-build/larder/internal/atomicfile"
)

// A Record is what is kept of a build.
type Record struct {
	Version int       `json:"version"` // of the format: see version
	Time    time.Time `json:"time"`    // when its files were looked at
	changes.Memory
	Files []File `json:"files"` // of the build context that its steps read, by name
	// More says that there are more files than are kept: then there is none.
	More bool `json:"more,omitempty"`
}

// A File is a file, or a symbolic link.
type File struct {
	Name   string `json:"n"`
	Digest string `json:"d"`
	Stamp  string `json:"s,omitempty"` // what shows that it is as it was; "" for a file that has just been written
}

// version is that of the format.
const version = 1

// Bounds of what is kept.
const (
	maxRecord     = 32 << 20 // bytes of a record
	maxDockerfile = 1 << 20  // bytes of a Dockerfile
	maxFiles      = 50_000
	maxText       = 4096 // bytes of a name
	maxRecords    = 64
)

// A Store is a folder of records.
type Store struct{ Dir string }

// Key returns the key of the record of a build, of what tells it from other builds.
func Key(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func (s Store) path(key string) string { return filepath.Join(s.Dir, key+".json") }

// Load returns the record with a key, or nil if there is none.
func (s Store) Load(key string) (*Record, error) {
	// To open a pipe would wait for its other end.
	f, err := os.OpenFile(s.path(key), os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s isn't a file", f.Name()))
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err != nil {
		return nil, err
	}
	r, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return r, nil
}

// parse reads a record.
func parse(data []byte) (*Record, error) {
	if len(data) > maxRecord {
		return nil, fmt.Errorf("a record has at most %d MiB", maxRecord>>20)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	switch {
	case r.Version != version:
		return nil, fmt.Errorf("the format has version %d, and this Larder reads %d", r.Version, version)
	case len(r.Build.Dockerfile) > maxDockerfile:
		return nil, fmt.Errorf("a Dockerfile of over %d MiB", maxDockerfile>>20)
	case len(r.Files) > maxFiles:
		return nil, fmt.Errorf("more than %d files", maxFiles)
	}
	for i, f := range r.Files {
		if !fs.ValidPath(f.Name) || len(f.Name) > maxText || len(f.Digest) > maxText || len(f.Stamp) > maxText {
			return nil, fmt.Errorf("file %d: %.100q is none that a record has", i, f.Name)
		}
	}
	if !slices.IsSortedFunc(r.Files, byName) {
		return nil, errors.New("its files aren't sorted")
	}
	return &r, nil
}

func byName(a, b File) int { return strings.Compare(a.Name, b.Name) }

// Save writes a record, for its user alone. It removes the oldest ones if there are too many.
func (s Store) Save(key string, r *Record) error {
	if len(r.Build.Dockerfile) > maxDockerfile {
		return nil
	}
	r.Version = version
	data, err := json.Marshal(r)
	if err != nil || len(data) > maxRecord {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	if err := atomicfile.WritePrivate(s.path(key), data); err != nil {
		return err
	}
	return s.prune()
}

// prune removes the oldest records. Others may do so at the same time.
func (s Store) prune() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil || len(entries) <= maxRecords {
		return err
	}
	written := map[string]time.Time{}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			written[e.Name()] = info.ModTime()
		}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return written[b.Name()].Compare(written[a.Name()]) })
	for _, e := range entries[maxRecords:] {
		if err := os.Remove(filepath.Join(s.Dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
