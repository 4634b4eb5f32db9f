package builder

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/larder-build/larder/internal/atomicfile"
)

// unsyncedName is a file that lies in a state folder while the databases there
// are written without waiting for the disk. It holds the id of the boot.
const unsyncedName = "unsynced"

// bootIDFile is the kernel's own, another after each start of the machine.
const bootIDFile = "/proc/sys/kernel/random/boot_id"

// beginUnsynced allows databases in the state folder to be written without
// waiting for the disk, which BuildKit would do hundreds of times in a build.
// What a killed process wrote is whole all the same, for the kernel has it. What
// was written when the machine itself stopped may have reached the disk in any
// order: then the state goes, and the user is told. Only the owner may call it,
// with no mount left in the folder and before the first database is opened.
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

// endUnsynced waits until the disk has the databases, which are closed.
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

// removeState empties the folder, but for the locks, which are held, and for
// the mark, since to remove the rest may be broken off.
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

// syncToDisk waits until the disk has a file.
func syncToDisk(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
