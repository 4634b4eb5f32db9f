package verify

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/larder-build/larder/internal/proof/sbom"
)

// A Keep is a folder for the binaries of Go that images have, each once. It bounds how many there may be.
type Keep struct {
	dir   string
	bytes int64 // that may be added
	files int   // that may be added
}

// What a Keep holds: several times what images have.
const (
	maxKept      = 1000
	maxKeptBytes = 16 << 30
)

// NewKeep returns a Keep of an empty folder, which the caller removes.
func NewKeep(dir string) *Keep { return &Keep{dir: dir, bytes: maxKeptBytes, files: maxKept} }

// File returns the name of the file that holds a binary.
func (k *Keep) File(b sbom.Binary) string { return filepath.Join(k.dir, b.SHA256) }

// folder is where a file is written that may be kept; "" without a Keep.
func (k *Keep) folder() string {
	if k == nil {
		return ""
	}
	return k.dir
}

// settle keeps a file of the folder under its binary's name, or removes it: if it has no binary of Go, or one that is kept.
func (k *Keep) settle(file string, b *sbom.Binary, size int64) error {
	if b == nil {
		return os.Remove(file)
	}
	if _, err := os.Lstat(k.File(*b)); err == nil {
		return os.Remove(file)
	}
	k.files, k.bytes = k.files-1, k.bytes-size
	if k.files < 0 || k.bytes < 0 {
		return fmt.Errorf("%s is one too many: expected at most %d programs of Go, of %d bytes altogether", b.Path, maxKept, int64(maxKeptBytes))
	}
	return os.Rename(file, k.File(*b))
}
