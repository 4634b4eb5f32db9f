package planner

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/commit"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/golang/gotree"
	"golang.org/x/mod/module"
)

// A Package is a main package, which gets an image of its own.
type Package struct {
	Name  string `json:"name"`  // the binary's name, as the go command would call it
	Dir   string `json:"dir"`   // as an argument of go build: . or ./cmd/api
	Stage string `json:"stage"` // the stage that holds its image

	// Slice is what of the build context it is compiled of; nil for all of it.
	Slice *SourceSlice `json:"-"`
	Deps  *Deps        `json:"-"` // nil for none

	// Compiled is what is linked, compiled without what is stamped, and Commit what is stamped; nil for none.
	Compiled *Compile       `json:"-"`
	Commit   *commit.Commit `json:"-"`

	module string // the folder of its module
	target string // what --target takes for it
}

// maxDirs bounds the folders that are searched for main packages.
const maxDirs = 10000

// programs finds the main packages of a module, or of its workspace.
type programs struct {
	tree fs.FS
	ctxt *build.Context // of the target platform, without cgo
	mod  gotree.Module

	again func(folder string) string // see Request
}

func newPrograms(req Request, mod gotree.Module, goos, goarch string) programs {
	return programs{req.Tree, goslice.WithoutTests(goslice.Context(req.Tree, goos, goarch)), mod, req.Again}
}

// root returns the main packages of the module at the root of the tree. They are the one at its root and those in
// cmd/NAME. If there are none, it searches the whole module. A workspace may have no module at the root.
func (p programs) root() ([]Package, error) { return p.of(p.isRoot, true) }

// others returns the main packages of the workspace's other modules. If anywhere is false, it doesn't search whole
// modules, which reads less.
func (p programs) others(anywhere bool) ([]Package, error) {
	return p.of(func(m gotree.Member) bool { return !p.isRoot(m) }, anywhere)
}

func (p programs) isRoot(m gotree.Member) bool { return m.Dir == p.mod.Dir }

func (p programs) of(wanted func(gotree.Member) bool, anywhere bool) (mains []Package, err error) {
	for _, m := range p.mod.Members {
		if !wanted(m) {
			continue
		}
		found, err := p.ofMember(m, anywhere)
		if err != nil {
			return nil, err
		}
		mains = append(mains, found...)
	}
	slices.SortFunc(mains, func(a, b Package) int { return strings.Compare(a.Dir, b.Dir) })
	return mains, nil
}

func (p programs) ofMember(m gotree.Member, anywhere bool) ([]Package, error) {
	dirs, cmd := []string{m.Dir}, path.Join(m.Dir, "cmd")
	entries, err := fs.ReadDir(p.tree, cmd)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", cmd, err)
	}
	for _, e := range entries {
		if dir := path.Join(cmd, e.Name()); e.IsDir() && !ignoredDir(p.tree, dir) {
			dirs = append(dirs, dir)
		}
	}
	mains := p.in(m, dirs)
	if len(mains) == 0 && anywhere {
		if dirs, err = allDirs(p.tree, m.Dir); err != nil {
			return nil, err
		}
		mains = p.in(m, dirs)
	}
	return mains, nil
}

// in returns the main packages in some folders of a module.
func (p programs) in(m gotree.Member, dirs []string) []Package {
	var mains []Package
	// An error other than "no Go files" is the compiler's to report, at its place: the package counts all the same.
	packages, _ := goslice.ImportDirs(p.ctxt, dirs)
	for i, dir := range dirs {
		if !goslice.IsProgram(p.tree, packages[i]) {
			continue
		}
		name := path.Base(dir)
		if dir == m.Dir {
			name = binaryName(m.Path)
		}
		mains = append(mains, Package{Name: name, Dir: p.argument(dir), module: m.Dir})
	}
	return mains
}

// argument returns a folder of the tree as an argument of go build in the module's folder.
func (p programs) argument(dir string) string {
	if dir == p.mod.Dir {
		return "."
	}
	return "./" + strings.TrimPrefix(dir, p.mod.Dir+"/")
}

// at returns the main package in a folder. The folder is relative to the module's.
func (p programs) at(folder string) (Package, error) {
	dir := path.Join(p.mod.Dir, folder)
	if path.IsAbs(folder) || !fs.ValidPath(dir) {
		return Package{}, fmt.Errorf("--target %s: expected the name of a program, or its folder in the build context, such as ./cmd/api", folder)
	}
	var of *gotree.Member
	for i, m := range p.mod.Members {
		if _, ok := below(m.Dir, dir); (ok || m.Dir == ".") && (of == nil || len(m.Dir) > len(of.Dir) || of.Dir == ".") {
			of = &p.mod.Members[i]
		}
	}
	for above := dir; of != nil && above != of.Dir; above = path.Dir(above) {
		if exists(p.tree, path.Join(above, "go.mod")) {
			return Package{}, p.notHere(folder, above)
		}
	}
	if of == nil {
		return Package{}, p.notHere(folder, "")
	}
	if found := p.in(*of, []string{dir}); len(found) > 0 {
		return found[0], nil
	}
	return Package{}, fmt.Errorf("--target %s: there is no program in that folder: no Go files of package main with a func main for %s/%s", folder, p.ctxt.GOOS, p.ctxt.GOARCH)
}

// notHere returns the error for a folder of another module. module is that module's folder in the tree, or "" if it
// isn't known.
func (p programs) notHere(folder, module string) error {
	as := "name the folder that has its go.mod as the context"
	if module != "" && p.again != nil {
		as += ": " + p.again(strings.TrimPrefix(p.argument(module), "./"))
	}
	return fmt.Errorf("--target %s: that folder isn't in the module at the root of the build context, nor in one that its go.work uses: %s", folder, as)
}

func allDirs(tree fs.FS, root string) ([]string, error) {
	var dirs []string
	err := fs.WalkDir(tree, root, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrPermission):
			return fs.SkipDir // what can't be read can't be built
		case err != nil:
			return fmt.Errorf("looking for main packages: %w", err)
		case !d.IsDir():
			return nil
		case p != root && ignoredDir(tree, p):
			return fs.SkipDir
		case len(dirs) == maxDirs:
			return fmt.Errorf("looking for main packages: more than %d folders: write a Dockerfile that names the package", maxDirs)
		}
		dirs = append(dirs, p)
		return nil
	})
	return dirs, err
}

// ignoredDir reports whether the go command leaves a folder out of "./...": see 'go help packages'.
func ignoredDir(tree fs.FS, dir string) bool {
	base := path.Base(dir)
	if gomod.PassedOver(base) {
		return true
	}
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

// binaryName returns the name that the go command gives to the program at the root of a module.
func binaryName(modulePath string) string {
	if prefix, _, ok := module.SplitPathVersion(modulePath); ok {
		modulePath = prefix
	}
	return path.Base(modulePath)
}
