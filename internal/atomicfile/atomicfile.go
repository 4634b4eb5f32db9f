// Package atomicfile writes files that are whole under their names, or not there: under another name beside it, which
// is then changed, as rename(2) does at once.
package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write writes a file with mode 0644, or replaces one. After an error the file is what it was before.
func Write(name string, data []byte) error {
	return WriteBy(name, func(f *os.File) error {
		_, err := f.Write(data)
		return err
	})
}

// WriteBy is Write of what a function writes. That it is on the disk, too, is the function's to see to, by f.Sync.
func WriteBy(name string, write func(f *os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
