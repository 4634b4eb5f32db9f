package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gotree"
)

// ErrNoModule is the error for a build context that has neither go.mod nor go.work at its root.
var ErrNoModule = errors.New("there is no go.mod at the root of the build context: name the folder that holds it as the context, or make one with 'go mod init'")

// maxNamed bounds how many modules an error names.
const maxNamed = 8

// noRootModule returns the error for a build context without a module at its root. It names folders that could be the
// context.
func (r Request) noRootModule() error {
	others := OtherContexts(r.Tree, r.Again)
	if others == "" || r.Hidden != nil && r.Hidden("go.mod") {
		return ErrNoModule
	}
	return fmt.Errorf("%w: %s", errNoRootModule, others)
}

// OtherContexts lists the folders below the root of a tree that have a module, or returns "". If again isn't nil, it
// makes the text for each folder.
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

// errNoRootModule is the error for a build context whose modules are all in folders below the root.
var errNoRootModule = errors.New("there is no go.mod at the root of the build context: name a folder that has one as the context")

// readModule reads a module that can be built. If alone is set, go.work doesn't count.
func readModule(tree fs.FS, dir string, alone bool) (gotree.Module, error) {
	m, err := gotree.Tree{FS: tree}.Module(dir, alone)
	if errors.Is(err, gotree.ErrNoModule) {
		return m, ErrNoModule
	} else if err != nil {
		return m, err
	}
	return m, m.CheckSums()
}

// findModules returns the folders of a tree that hold a module, sorted. It looks at maxDirs files and folders at most.
// It skips what it can't read: the error comes when the file names that folder.
func findModules(tree fs.FS) []string {
	found, _ := gotree.Tree{FS: tree}.Find(maxDirs)
	return found.Modules
}

func exists(tree fs.FS, name string) bool {
	_, err := fs.Stat(tree, name)
	return err == nil
}
