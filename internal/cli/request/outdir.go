package request

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// outDir is an output that is a folder. The build writes into a staging folder
// on the same file system. Then commit moves its files over what the folder
// held.
type outDir struct {
	path   string
	layout bool   // an OCI layout: its index is added to, not replaced
	temp   string // the staging folder, once there
	fresh  bool   // path doesn't exist: the staging folder becomes it

	mu     sync.Mutex
	over   bool           // committed or discarded: nothing comes any more
	unpack *io.PipeReader // what is being unpacked
	done   chan struct{}  // closed when unpacking has ended
	err    error          // why it failed on this machine
	result error          // how it ended
}

func newOutDir(path string, layout bool) (*outDir, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return &outDir{path: abs, layout: layout, fresh: !exists(abs)}, nil
}

// stage makes the staging folder and returns its path.
func (d *outDir) stage() (string, error) {
	if d.temp != "" {
		return d.temp, nil
	}
	temp := tempName(filepath.Join(d.path, "output"))
	if d.fresh {
		if err := os.MkdirAll(filepath.Dir(d.path), 0o777); err != nil {
			return "", fmt.Errorf("write %s: %w", d.path, err)
		}
		temp = tempName(d.path)
	}
	if err := os.Mkdir(temp, 0o777); err != nil {
		return "", fmt.Errorf("write %s: %w", d.path, err)
	}
	d.temp = temp
	if d.fresh {
		return temp, nil
	}
	return temp, d.seed()
}

// seed copies the index of an existing layout into the staging folder.
func (d *outDir) seed() error {
	if !d.layout {
		return nil
	}
	data, err := os.ReadFile(filepath.Join(d.path, "index.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(d.temp, "index.json"), data, defaultMode)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", d.path, err)
	}
	return nil
}

// commit moves the written files into place.
func (d *outDir) commit() error {
	d.end()
	if d.temp == "" || d.err != nil {
		return d.err
	}
	os.Remove(filepath.Join(d.temp, "ingest")) // an empty folder of the content store
	var err error
	if d.fresh {
		err = os.Rename(d.temp, d.path)
	} else {
		err = moveTree(d.temp, d.path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", d.path, err)
	}
	return d.remove()
}

// open unpacks the output, which it receives as a tar archive. BuildKit's own
// receiver of folders hangs on a full disk, or reports it as an end of file.
func (d *outDir) open(map[string]string) (io.WriteCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || d.unpack != nil {
		return nil, fmt.Errorf("write %s: the builder sent it too late, or twice", d.path)
	}
	dir, err := d.stage()
	if err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	d.unpack, d.done = pr, make(chan struct{})
	go func() {
		defer close(d.done)
		err := untar(pr, dir)
		if err == nil {
			_, err = io.Copy(io.Discard, pr) // what pads the archive
		}
		d.result = d.local(err)
		pr.CloseWithError(d.result)
	}()
	return &dirWriter{pw, d}, nil
}

// end stops unpacking and waits until it has stopped. A session can outlive its
// build, and must not write into files that are being moved or removed.
func (d *outDir) end() {
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	if d.unpack != nil {
		d.unpack.CloseWithError(errors.New("the build has ended"))
		<-d.done
	}
}

// local records and returns err, with the path in the output, if the cause is
// on this machine. An archive that ends early has another cause, which the
// builder reports.
func (d *outDir) local(err error) error {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe):
		d.err = fmt.Errorf("write %s: %w", d.name(pe.Path), pe.Err)
	case errors.As(err, &le):
		d.err = fmt.Errorf("write %s: %w", d.name(le.New), le.Err)
	default:
		return err
	}
	return d.err
}

// name returns the final name of a path in the staging folder.
func (d *outDir) name(path string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(path, d.temp), "/")
	if !filepath.IsLocal(rel) {
		return fmt.Sprintf("%s: %q", d.path, path)
	}
	return filepath.Join(d.path, rel)
}

// dirWriter is the end of the pipe that the archive goes into.
type dirWriter struct {
	*io.PipeWriter
	dir *outDir
}

// Close waits until all is unpacked.
func (w *dirWriter) Close() error {
	w.PipeWriter.Close()
	<-w.dir.done
	return w.dir.result
}

// discard removes the written files and returns why writing failed. It returns
// the recorded error, or an error made of the builder's, cause, if that names
// the staging folder.
func (d *outDir) discard(cause error) error {
	d.end()
	err := d.err
	if err == nil && d.temp != "" && strings.Contains(cause.Error(), filepath.Base(d.temp)) {
		reason := cause.Error()
		if i := strings.LastIndex(reason, ": "); i >= 0 {
			reason = reason[i+2:]
		}
		err = fmt.Errorf("write %s: %s", d.path, reason)
	}
	d.remove()
	return err
}

func (d *outDir) remove() error {
	if d.temp == "" {
		return nil
	}
	temp := d.temp
	d.temp = ""
	return os.RemoveAll(temp)
}

// moveTree moves the entries of from into the folder to. A folder is merged
// with a folder of the same name; any other entry replaces the one of its name.
func moveTree(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		src, dst := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		old, err := os.Lstat(dst)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && e.IsDir() && old.IsDir() {
			if err := mergeDir(src, dst, e); err != nil {
				return err
			}
			continue
		}
		if err == nil && e.IsDir() != old.IsDir() {
			if err := os.RemoveAll(dst); err != nil {
				return err
			}
		}
		if err := os.Rename(src, dst); err != nil {
			return err
		}
	}
	return nil
}

// mergeDir moves the entries of the folder src into dst, and gives dst the
// mode and time of src.
func mergeDir(src, dst string, e fs.DirEntry) error {
	fi, err := e.Info()
	if err != nil {
		return err
	}
	// Without these a folder that isn't writable couldn't be changed.
	if err := os.Chmod(src, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(dst, 0o700); err != nil {
		return err
	}
	if err := moveTree(src, dst); err != nil {
		return err
	}
	if err := os.Chtimes(dst, time.Time{}, fi.ModTime()); err != nil {
		return err
	}
	return os.Chmod(dst, fi.Mode())
}
