package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gotree"
)

// ErrNoModule is that of a build context without a go.mod, or a go.work, at its root.
var ErrNoModule = errors.New("there is no go.mod at the root of the build context: name the folder that holds it as the context, or make one with 'go mod init'")

// maxNamed bounds how many modules an error names.
const maxNamed = 8

// noRootModule says which folders could be the build context in place of one that has no module at its root.
func (r Request) noRootModule() error {
	others := OtherContexts(r.Tree, r.Again)
	if others == "" || r.Hidden != nil && r.Hidden("go.mod") {
		return ErrNoModule
	}
	return fmt.Errorf("%w: %s", errNoRootModule, others)
}

// OtherContexts lists the folders below the root of a tree that have a module, as again writes them if it isn't nil. It is "" if there
// are none.
func OtherContexts(tree fs.FS, again func(folder string) string) string {
	dirs := slices.DeleteFunc(findModules(tree), func(dir string) bool { return dir == "." })
	var list []string
	for _, dir := range dirs[:min(len(dirs), maxNamed)] {
		if again != nil {
			dir = again(dir)
		}
		list = append(list, dir)
	}
	if len(dirs) > maxNamed {
		list = append(list, fmt.Sprintf("one of %d more", len(dirs)-maxNamed))
	}
	return strings.Join(list, ", or ")
}

// errNoRootModule is ErrNoModule of a tree that has modules in folders of it.
var errNoRootModule = errors.New("there is no go.mod at the root of the build context: name a folder that has one as the context")

// readModule reads a module that can be built, alone if no go.work is to count.
func readModule(tree fs.FS, dir string, alone bool) (gotree.Module, error) {
	m, err := gotree.Tree{FS: tree}.Module(dir, alone)
	if errors.Is(err, gotree.ErrNoModule) {
		return m, ErrNoModule
	} else if err != nil {
		return m, err
	}
	return m, m.CheckSums()
}

// findModules returns the folders of a tree that hold a module, sorted, as far as they can be found by looking at maxDirs
// files and folders. What can't be read is passed over: it is reported where it is named.
func findModules(tree fs.FS) []string {
	found, _ := gotree.Tree{FS: tree}.Find(maxDirs)
	return found.Modules
}

func exists(tree fs.FS, name string) bool {
	_, err := fs.Stat(tree, name)
	return err == nil
}
