package request

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// outDir is an output that is a folder. BuildKit writes a staging folder on
// the same file system; commit moves it into place, over what the folder held.
type outDir struct {
	path   string
	layout bool   // an OCI layout: its index is added to, not replaced
	temp   string // the staging folder, once there
	fresh  bool   // path doesn't exist: the staging folder becomes it
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

// seed lends the index of a layout that is there to the staging folder.
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

// commit moves what was written into place.
func (d *outDir) commit() error {
	if d.temp == "" {
		return nil
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

// discard removes what was written.
func (d *outDir) discard() error { return d.remove() }

func (d *outDir) remove() error {
	if d.temp == "" {
		return nil
	}
	temp := d.temp
	d.temp = ""
	return os.RemoveAll(temp)
}

// explain names the folder that the user knows in an error of the builder's
// that speaks of the staging folder.
func (d *outDir) explain(err error) error {
	if d.temp == "" || !strings.Contains(err.Error(), filepath.Base(d.temp)) {
		return nil
	}
	reason := err.Error()
	if i := strings.LastIndex(reason, ": "); i >= 0 {
		reason = reason[i+2:]
	}
	return fmt.Errorf("write %s: %s", d.path, reason)
}

// moveTree moves the entries of from into the folder to. A folder is merged
// with a folder of its name; anything else replaces what has its name.
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
