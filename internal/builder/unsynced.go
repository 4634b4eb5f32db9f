package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/larder-build/larder/internal/atomicfile"
)

// unsyncedName is a file in a state folder that marks it while its databases
// are written without waiting for the disk. It holds the id of the machine's
// boot.
const unsyncedName = "unsynced"

// bootIDFile is the kernel's file with the id of the machine's boot.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// beginUnsynced allows databases in the state folder to be written without
// waiting for the disk, which BuildKit would do hundreds of times in a build. If
// the process is killed, nothing is lost, because the kernel has what was
// written. If the machine stops, the writes may have reached the disk in any
// order. Then beginUnsynced removes the state and tells the user. Only the owner
// may call it, when no mount is left in the folder, and before the first
// database is opened.
func (f *folder) beginUnsynced(o Options) error {
	boot, err := os.ReadFile(bootIDFile)
	if err != nil {
		return err
	}
	mark := filepath.Join(f.path, unsyncedName)
	left, err := os.ReadFile(mark)
	switch {
	case err == nil && string(left) == string(boot):
		return nil
	case err == nil:
		o.notify("the machine stopped while larder was building: removing the builder's cache in %s, which may be damaged", f.path)
		if err := f.removeState(); err != nil {
			return err
		}
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	err = atomicfile.WriteBy(mark, func(file *os.File) error {
		_, err := file.Write(boot)
		return errors.Join(err, file.Sync())
	})
	return errors.Join(err, f.dir.Sync())
}

// endUnsynced waits until the closed databases are on the disk, and removes the mark.
func (f *folder) endUnsynced() error {
	for _, pattern := range []string{"*.db", "*/*.db", "*/*/*.db"} {
		names, err := filepath.Glob(filepath.Join(globEscape(f.path), pattern))
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := syncToDisk(name); err != nil {
				return err
			}
		}
	}
	return os.Remove(filepath.Join(f.path, unsyncedName))
}

// removeState empties the folder. It keeps the locks, which are held, and the
// mark, since it may be interrupted before everything is removed.
func (f *folder) removeState() error {
	entries, err := os.ReadDir(f.path)
	if err != nil {
		return err
	}
	keep := []string{unsyncedName, filepath.Base(f.owner.Path()), filepath.Base(f.users.Path())}
	for _, e := range entries {
		if slices.Contains(keep, e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(f.path, e.Name())); err != nil {
			return fmt.Errorf("a damaged cache can't be removed: %w", err)
		}
	}
	return nil
}

// syncToDisk waits until a file is on the disk.
func syncToDisk(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
