// Package atomicfile writes a file under a temporary name in the same folder and then renames it. So a file is either
// whole or not there.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write writes a file with mode 0644, or replaces one. After an error the file is what it was before.
func Write(name string, data []byte) error { return WriteBy(name, all(data)) }

// WritePrivate is like Write, but with mode 0600: nobody but the user reads the file.
func WritePrivate(name string, data []byte) error { return write(name, 0o600, all(data)) }

func all(data []byte) func(f *os.File) error {
	return func(f *os.File) error {
		_, err := f.Write(data)
		return err
	}
}

// WriteBy is like Write, but calls a function to write the content. If the content has to be on the disk before the
// rename, the function calls f.Sync.
func WriteBy(name string, content func(f *os.File) error) error { return write(name, 0o644, content) }

func write(name string, mode os.FileMode, content func(f *os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	err = errors.Join(content(f), f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
