package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// exportMark is in the names of folders of unfinished exports. No user gives a folder such a name.
const exportMark = ".larder-export-"

// An exportFolder is a folder that an export is written to under a temporary name. The process locks it. The kernel ends
// the lock with the process, so an unlocked folder is of an export that was killed.
type exportFolder struct {
	dir, temp string
	lock      *flock.Flock
}

// newExportFolder removes the folders of killed exports to dir, and makes a new one. The caller calls place or drop.
func newExportFolder(dir string) (*exportFolder, error) {
	parent, prefix := filepath.Dir(dir), "."+filepath.Base(dir)+exportMark
	if err := sweepExports(parent, prefix); err != nil {
		return nil, err
	}
	for {
		temp, err := os.MkdirTemp(parent, prefix+"*")
		if err != nil {
			return nil, err
		}
		lock, err := lockFolder(temp)
		if lock != nil || err != nil {
			return &exportFolder{dir, temp, lock}, err
		}
		// Another process removed the folder before it was locked.
	}
}

// lockFolder locks a folder. It returns nil if another process has the lock, or if the folder isn't there any more.
func lockFolder(name string) (*flock.Flock, error) {
	before, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !before.IsDir() {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	l := flock.New(name, flock.SetFlag(os.O_RDONLY))
	ok, err := l.TryLock()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	after, serr := os.Lstat(name)
	if !ok || serr != nil || !os.SameFile(before, after) {
		return nil, l.Close()
	}
	return l, nil
}

// sweepExports removes the folders of killed exports. Folders of other users stay.
func sweepExports(parent, prefix string) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		name := filepath.Join(parent, e.Name())
		lock, err := lockFolder(name)
		if lock == nil {
			if err != nil && !errors.Is(err, fs.ErrPermission) {
				return err
			}
			continue
		}
		if err := errors.Join(os.RemoveAll(name), lock.Close()); err != nil {
			return fmt.Errorf("removing what a killed export has left: %w", err)
		}
	}
	return nil
}

// place renames the folder to its final name. An empty folder of that name is removed.
func (f *exportFolder) place() error {
	if err := os.Chmod(f.temp, 0o755); err != nil {
		return err
	}
	if err := os.Remove(f.dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.Rename(f.temp, f.dir), f.lock.Close())
}

// drop removes the folder.
func (f *exportFolder) drop() error { return errors.Join(os.RemoveAll(f.temp), f.lock.Close()) }
