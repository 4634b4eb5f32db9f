package gotree

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/larder-build/larder/internal/golang/gomod"
)

// Folders are the folders of a tree that matter to the go command, each list sorted.
type Folders struct {
	Modules    []string // with a go.mod
	Blank      []string // with a go.mod that says nothing, which keeps the folder out of the module above
	Works      []string // with a go.work
	Unreadable []string // that couldn't be looked into for want of permission
}

// A TooManyError says that a tree has more files and folders than a search may look at.
type TooManyError struct{ Limit int }

// Error implements error.
func (e *TooManyError) Error() string {
	return fmt.Sprintf("there are more than %d files and folders: name the folder of one module", e.Limit)
}

// Find looks for modules in a tree. It leaves out vendored modules and test data, which belong to others. It reads at
// most limit files and folders; if there are more, it returns what it has found and a TooManyError. Zero means no
// limit.
func (t Tree) Find(limit int) (Folders, error) {
	var found Folders
	seen := 0
	err := fs.WalkDir(t.FS, ".", func(name string, d fs.DirEntry, err error) error {
		dir, base := path.Split(name)
		dir = path.Clean(dir)
		switch seen++; {
		case errors.Is(err, fs.ErrPermission):
			found.Unreadable = append(found.Unreadable, name)
			return fs.SkipDir
		case err != nil:
			return fmt.Errorf("looking for modules in %s: %w", t.File(name), err)
		case limit > 0 && seen > limit:
			return &TooManyError{limit}
		case d.IsDir() && name != "." && gomod.HoldsOthers(base):
			return fs.SkipDir
		case d.IsDir() || base != "go.mod" && base != "go.work":
		case d.Type() == fs.ModeSymlink && t.leadsNowhere(name):
		case base == "go.mod" && t.Blank(name):
			found.Blank = append(found.Blank, dir)
		case base == "go.mod":
			found.Modules = append(found.Modules, dir)
		default:
			found.Works = append(found.Works, dir)
		}
		return nil
	})
	for _, list := range [][]string{found.Modules, found.Blank, found.Works} {
		slices.Sort(list)
	}
	return found, err
}

func (t Tree) leadsNowhere(link string) bool {
	_, err := fs.Stat(t.FS, link)
	return errors.Is(err, fs.ErrNotExist)
}

// Blank reports whether a go.mod has no statement. If it can't be read, Blank returns false, and the caller that reads
// it gets the error.
func (t Tree) Blank(name string) bool {
	data, err := t.Read(name)
	return err == nil && gomod.IsBlank(data)
}
