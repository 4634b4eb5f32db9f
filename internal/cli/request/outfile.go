package request

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// defaultMode is the mode of a file that os.Create makes, before the umask.
const defaultMode os.FileMode = 0o666

// outFile is an output that is one file. It is written under a temporary name
// and renamed on commit, so that there is never half a file. Standard output,
// and a destination that is a device or a pipe, are written directly.
type outFile struct {
	path   string // for messages; empty for standard output
	final  string // what commit renames to, links followed; empty to write in place
	stdout io.Writer

	mu   sync.Mutex
	over bool // committed or discarded: nothing comes any more
	tmp  string
	err  error // the first failure of a write
}

func newStdout(w io.Writer) *outFile { return &outFile{stdout: w} }

// newOutFile prepares an output to path. It creates nothing yet.
func newOutFile(path string) (*outFile, error) {
	if parent := filepath.Dir(path); !isDir(parent) {
		return nil, fmt.Errorf("folder %s of the destination file doesn't exist", parent)
	}
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &outFile{path: path, final: path}, nil
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular():
		return &outFile{path: path}, nil
	}
	final, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	return &outFile{path: path, final: final}, nil
}

// open makes the temporary file. BuildKit's client calls it when the image arrives.
func (f *outFile) open(map[string]string) (io.WriteCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stdout != nil {
		return &outWriter{file: f, w: f.stdout, close: func() error { return nil }}, nil
	}
	if f.over || f.tmp != "" {
		return nil, fmt.Errorf("write %s: the builder sent it too late, or twice", f.path)
	}
	name, flags := f.path, os.O_WRONLY
	if f.final != "" {
		name = tempName(f.final)
		flags |= os.O_CREATE | os.O_EXCL
	}
	w, err := os.OpenFile(name, flags, defaultMode)
	if err != nil {
		return nil, f.fail(err)
	}
	if f.final != "" {
		f.tmp = name
	}
	return &outWriter{file: f, w: w, close: w.Close}, nil
}

// fail records and returns the first failure. The error names the user's file,
// not the temporary one. The caller holds the lock.
func (f *outFile) fail(err error) error {
	if f.err == nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		name := f.path
		if name == "" {
			name = "standard output"
		}
		f.err = fmt.Errorf("write %s: %w", name, err)
	}
	return f.err
}

// commit gives the file its name. It does nothing if nothing was written.
func (f *outFile) commit() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.tmp == "" || f.err != nil {
		return f.err
	}
	if fi, err := os.Stat(f.final); err == nil {
		// A file that is replaced keeps its permissions, as if written anew.
		if err := os.Chmod(f.tmp, fi.Mode().Perm()); err != nil {
			return f.fail(err)
		}
	}
	if err := os.Rename(f.tmp, f.final); err != nil {
		return f.fail(err)
	}
	f.tmp = ""
	return nil
}

// discard removes the written file and returns why writing failed, if it did.
func (f *outFile) discard() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	if f.tmp != "" {
		os.Remove(f.tmp)
		f.tmp = ""
	}
	return f.err
}

// outWriter records the errors of a writer in its file, because the error that
// comes back through the builder is only text.
type outWriter struct {
	file  *outFile
	w     io.Writer
	close func() error
}

func (w *outWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	return n, w.check(err)
}

func (w *outWriter) Close() error { return w.check(w.close()) }

func (w *outWriter) check(err error) error {
	if err == nil {
		return nil
	}
	w.file.mu.Lock()
	defer w.file.mu.Unlock()
	return w.file.fail(err)
}

// WriteFile writes data under a temporary name and renames it to path, so that
// path always holds either all of data or its old content.
func WriteFile(path string, data []byte) error {
	f, err := newOutFile(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer f.discard()
	w, err := f.open(nil)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return f.commit()
}

// tempName returns an unused name beside path.
func tempName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+rand.Text()[:8]+".tmp")
}
