package dialect

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/goslice"
	"golang.org/x/mod/module"
)

// A Package is a main package that an image is made of.
type Package struct {
	Name  string `json:"name"`  // the binary's name, as the go command would call it
	Dir   string `json:"dir"`   // as an argument of go build: . or ./cmd/api
	Stage string `json:"stage"` // the stage that holds its image, for --target

	// Slice is what of the build context it is compiled of; nil for all of it.
	Slice *SourceSlice `json:"-"`
	Deps  *Deps        `json:"-"` // nil for none
}

// maxDirs bounds the folders that are looked at for main packages.
const maxDirs = 10000

// findMains returns the main packages of a module, for an OS and architecture without cgo: the one in its root and those
// in cmd/NAME; where there are none, any in the module. Of a workspace that has no module in its root, it returns those of
// each of its modules.
func findMains(tree fs.FS, mod Module, goos, goarch string) ([]Package, error) {
	members := mod.Members
	if members[0].Dir == mod.Dir {
		members = members[:1]
	}
	ctxt := goslice.WithoutTests(goslice.Context(tree, goos, goarch))
	var mains []Package
	for _, m := range members {
		found, err := memberMains(tree, ctxt, mod.Dir, m)
		if err != nil {
			return nil, err
		}
		mains = append(mains, found...)
	}
	slices.SortFunc(mains, func(a, b Package) int { return strings.Compare(a.Dir, b.Dir) })
	for i, p := range mains {
		if j := slices.IndexFunc(mains[:i], func(q Package) bool { return q.Stage == p.Stage }); j >= 0 {
			return nil, fmt.Errorf("the main packages %s and %s have one name, %s: rename a folder, or write a Dockerfile that names the package", mains[j].Dir, p.Dir, p.Stage)
		}
	}
	return mains, nil
}

func memberMains(tree fs.FS, ctxt *build.Context, root string, m Member) ([]Package, error) {
	dirs, cmd := []string{m.Dir}, path.Join(m.Dir, "cmd")
	entries, err := fs.ReadDir(tree, cmd)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", cmd, err)
	}
	for _, e := range entries {
		if dir := path.Join(cmd, e.Name()); e.IsDir() && !ignoredDir(tree, dir) {
			dirs = append(dirs, dir)
		}
	}
	mains := mainsIn(ctxt, root, m, dirs)
	if len(mains) == 0 {
		if dirs, err = allDirs(tree, m.Dir); err != nil {
			return nil, err
		}
		mains = mainsIn(ctxt, root, m, dirs)
	}
	return mains, nil
}

func mainsIn(ctxt *build.Context, root string, m Member, dirs []string) []Package {
	var mains []Package
	// An error other than "no Go files" is the compiler's to report, at its place: the package counts all the same.
	packages, _ := goslice.ImportDirs(ctxt, dirs)
	for i, dir := range dirs {
		p := packages[i]
		if p == nil || p.Name != "main" {
			continue
		}
		name := path.Base(dir)
		if dir == m.Dir {
			name = binaryName(m.Path)
		}
		arg := "."
		if dir != root {
			arg = "./" + strings.TrimPrefix(dir, root+"/")
		}
		mains = append(mains, Package{Name: name, Dir: arg, Stage: strings.ToLower(name)})
	}
	return mains
}

func allDirs(tree fs.FS, root string) ([]string, error) {
	var dirs []string
	err := fs.WalkDir(tree, root, func(p string, d fs.DirEntry, err error) error {
		switch {
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

// ignoredDir reports whether "./..." would pass a folder over: see 'go help packages'.
func ignoredDir(tree fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

var stageName = regexp.MustCompile(`^[a-z][a-z0-9-_.]*$`)

// pickPackages returns the packages that a build without instructions makes images of, the one asked for last, since a
// Dockerfile's last stage is the one that is built when none is named.
func pickPackages(mains []Package, target string, describe bool) ([]Package, error) {
	if len(mains) == 0 {
		return nil, errors.New("there is no main package in the module: Larder makes an image of the package main in the module's root, or of cmd/NAME; for a library, write a Dockerfile that says what to build")
	}
	for _, p := range mains {
		if !stageName.MatchString(p.Stage) {
			return nil, fmt.Errorf("the main package %s can't be an image of its own: its name is no stage name (letters, digits, - _ .): rename the folder, or write a Dockerfile", p.Dir)
		}
	}
	if target == "" {
		if len(mains) > 1 && !describe {
			return nil, fmt.Errorf("there are several main packages: pick one with --target %s", names(mains))
		}
		return mains, nil
	}
	i := slices.IndexFunc(mains, func(p Package) bool { return p.Stage == strings.ToLower(target) })
	if i < 0 {
		return nil, fmt.Errorf("no main package is called %q: the targets are %s", target, names(mains))
	}
	return append(slices.Delete(slices.Clone(mains), i, i+1), mains[i]), nil
}

func names(mains []Package) string {
	var list []string
	for _, p := range mains {
		list = append(list, p.Stage)
	}
	return strings.Join(list, ", ")
}

// binaryName is the name the go command gives to the command in the root of a module.
func binaryName(modulePath string) string {
	if prefix, _, ok := module.SplitPathVersion(modulePath); ok {
		modulePath = prefix
	}
	return path.Base(modulePath)
}
