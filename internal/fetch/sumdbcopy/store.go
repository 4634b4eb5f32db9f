package sumdbcopy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/larder-build/larder/internal/atomicfile"
)

// readFirst reads a file from the first of the folders that has it.
func readFirst(dirs []fs.FS, name string) ([]byte, error) {
	for _, fsys := range dirs {
		data, err := readFile(fsys, name)
		if !errors.Is(err, fs.ErrNotExist) {
			return data, err
		}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// readFile reads a file of a database. It fails if the file is longer than such files may be.
func readFile(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("reading %s: it has more than %d bytes", name, maxFile)
	}
	return data, nil
}

// write makes a file of the copy, unless it is there already.
func (r *recording) write(name string, data []byte) error {
	r.files[name] = true
	if old, err := readFile(r.known[0], name); err == nil && bytes.Equal(old, data) {
		return nil
	}
	return r.store(name, data)
}

// store makes or replaces a file of Dir's folder of the database. Several goroutines may call it.
func (r *recording) store(name string, data []byte) error {
	file := filepath.Join(r.Dir, "sumdb", filepath.FromSlash(r.name), filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(file, data)
}
