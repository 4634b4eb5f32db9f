package inbuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// epoch is the time of every file and folder that a step writes, so that equal input gives equal layers.
var epoch = time.Unix(0, 0)

// fill makes dir if it is missing, and calls write to fill it. It fails if dir isn't empty before, and empties it if
// write fails: a step leaves its whole output, or nothing. New folders on the way to dir get the fixed mode and time
// too.
func fill(dir string, write func(out *os.Root) error) (err error) {
	made, err := makeParents(dir)
	if err != nil {
		return fmt.Errorf("making the output folder: %w", err)
	}
	out, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the output folder: %w", err)
	}
	defer out.Close()
	entries, err := fs.ReadDir(out.FS(), ".")
	if err != nil {
		return fmt.Errorf("reading the output folder: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("the output folder %s is not empty (it holds %s): give an empty one", dir, entries[0].Name())
	}
	done := false
	defer func() {
		if !done {
			err = errors.Join(err, empty(out))
		}
	}()
	if err := write(out); err != nil {
		return err
	}
	for _, parent := range made {
		if err := os.Chtimes(parent, epoch, epoch); err != nil {
			return fmt.Errorf("finishing the output folder: %w", err)
		}
	}
	done = true
	return nil
}

// fillWith is like fill, for a folder that gets one file.
func fillWith(dir, name string, data []byte) error {
	return fillWithFiles(dir, map[string][]byte{name: data})
}

func fillWithFiles(dir string, files map[string][]byte) error {
	return fill(dir, func(out *os.Root) error {
		for name, data := range files {
			if err := writeFile(out, name, data, 0o644); err != nil {
				return err
			}
		}
		return seal(out)
	})
}

// makeParents makes dir and returns the folders above it that were missing.
func makeParents(dir string) (made []string, err error) {
	dir = filepath.Clean(dir)
	parent := filepath.Dir(dir)
	if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
		if made, err = makeParents(parent); err != nil {
			return nil, err
		}
		made = append(made, parent)
	}
	switch err := os.Mkdir(dir, 0o755); {
	case errors.Is(err, fs.ErrExist):
		return made, nil
	case err != nil:
		return nil, err
	}
	return made, os.Chmod(dir, 0o755)
}

func empty(out *os.Root) error {
	entries, err := fs.ReadDir(out.FS(), ".")
	for _, e := range entries {
		err = errors.Join(err, out.RemoveAll(e.Name()))
	}
	return err
}

// seal gives every folder below out mode 0755, whatever the umask, and everything below it the same time. It must be
// called last, because each new file in a folder changes the folder's time.
func seal(out *os.Root) error { return sealBut(out, "") }

// sealBut does the same as seal for everything except a folder that is sealed already.
func sealBut(out *os.Root, sealed string) error {
	return fs.WalkDir(out.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name == sealed:
			return fs.SkipDir
		case d.IsDir():
			err = out.Chmod(name, 0o755)
		}
		return errors.Join(err, out.Chtimes(name, epoch, epoch))
	})
}

// writeFile writes a new file and the folders that it needs; mode is exact, whatever the umask.
func writeFile(out *os.Root, name string, data []byte, mode fs.FileMode) error {
	if err := out.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := out.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Chmod(mode), f.Close())
}
