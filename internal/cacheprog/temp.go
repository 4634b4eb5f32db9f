package cacheprog

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"
)

// A temp is a file on its way into a Dir.
type temp struct {
	file *os.File
	name string // what it will be called
	dir  Dir
	size int64
	// spare, if not nil, makes another file to go on with once this one can't be written, as on a full disk.
	spare func() (*temp, error)
}

// newTemp makes a file next to where it will go. Its name can't be that of an entry, but ends as entries do: the go
// command's own trimming, and ours, thus remove it if its writer was killed.
func (d Dir) newTemp(id []byte, kind string) (*temp, error) {
	folder := d.folder(id)
	f, err := os.CreateTemp(folder, "new-*-"+kind)
	if os.IsNotExist(err) {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
		f, err = os.CreateTemp(folder, "new-*-"+kind)
	}
	if err != nil {
		return nil, err
	}
	return &temp{file: f, name: d.file(id, kind), dir: d}, nil
}

// Write writes to the file, and from the first failure on to the spare one.
func (t *temp) Write(p []byte) (int, error) {
	n, err := t.file.Write(p)
	t.size += int64(n)
	if err == nil || t.spare == nil {
		return n, err
	}
	s, serr := t.spare()
	if serr != nil {
		return n, err
	}
	_, serr = io.Copy(s, io.NewSectionReader(t.file, 0, t.size))
	t.discard()
	*t = *s
	if serr != nil {
		return n, serr
	}
	more, err := t.Write(p[n:])
	return n + more, err
}

// fill writes the body, which must have the size and be what the output ID says.
func (t *temp) fill(output []byte, size int64, body io.Reader) error {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(t, h), io.LimitReader(body, size))
	if err != nil {
		return err
	}
	// Reading to the end shows a body that is too long, and errors that come after the last byte.
	more, err := io.CopyN(io.Discard, body, 1)
	switch {
	case more > 0:
		return fmt.Errorf("%w: they have more than %d bytes", errMismatch, size)
	case err != io.EOF:
		return err
	case n != size:
		return fmt.Errorf("%w: they have %d of %d bytes", errMismatch, n, size)
	case !bytes.Equal(h.Sum(nil), output):
		return fmt.Errorf("%w: their SHA-256 is %x", errMismatch, h.Sum(nil))
	}
	return nil
}

// commit gives the complete file its name, a mode that doesn't depend on the umask, and the time if it isn't zero.
func (t *temp) commit(stamp time.Time) error {
	if err := t.file.Chmod(0o644); err != nil {
		return err
	}
	if err := t.file.Close(); err != nil {
		return err
	}
	if !stamp.IsZero() {
		if err := os.Chtimes(t.file.Name(), stamp, stamp); err != nil {
			return err
		}
	}
	return os.Rename(t.file.Name(), t.name)
}

// discard removes the file if it wasn't committed; if it was, there is nothing of its first name.
func (t *temp) discard() {
	t.file.Close()
	os.Remove(t.file.Name())
}
