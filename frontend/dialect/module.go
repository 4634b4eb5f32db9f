package dialect

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/larder-build/larder/internal/gomod"
	"golang.org/x/mod/modfile"
)

// A Module is a Go module of a tree, or the workspace that it is in.
type Module struct {
	Dir      string // the folder of go.mod; "." is the root of the tree
	Path     string // the main module's path
	Set      gomod.Set
	Vendored bool   // vendor/modules.txt is there: the go command takes packages from there
	Work     string // the go.work file that counts, or ""
	Versions []gomod.VersionFile
}

// ErrNoModule is returned by ReadModule for a tree without a go.mod at its root.
var ErrNoModule = errors.New("there is no go.mod at the root of the build context: name the folder that holds it as the context, or make one with 'go mod init'")

// A MissingSumError says that a module needs others and has no go.sum.
type MissingSumError struct {
	GoMod    string // the go.mod file
	Requires string // one of the modules that it requires
}

// Error implements error.
func (e *MissingSumError) Error() string {
	return fmt.Sprintf("%s requires %s, but there is no go.sum: run 'go mod tidy' and commit go.sum", e.GoMod, e.Requires)
}

// ReadModule reads go.mod and go.sum in a folder of a tree, the go.work and go.work.sum that count there, and the go.mod
// and go.sum of each module that go.work uses. As with the go command, the nearest go.work counts, in the folder or in
// one above it.
func ReadModule(tree fs.FS, dir string) (Module, error) {
	mod, err := readGoMod(tree, path.Join(dir, "go.mod"))
	if errors.Is(err, fs.ErrNotExist) {
		return Module{}, ErrNoModule
	} else if err != nil {
		return Module{}, err
	}
	name := path.Join(dir, "go.mod")
	if mod.Module == nil {
		return Module{}, fmt.Errorf("%s has no module line: add 'module PATH' as its first line", name)
	}
	m := Module{Dir: dir, Path: mod.Module.Mod.Path, Versions: []gomod.VersionFile{gomod.ModVersions(name, mod)}}
	sums, err := readOptional(tree, nil, path.Join(dir, "go.sum"))
	if err != nil {
		return Module{}, err
	}
	if sums, err = m.readWork(tree, sums); err != nil {
		return Module{}, err
	}
	if m.Set, err = gomod.ParseSums(sums...); err != nil {
		return Module{}, err
	}
	m.Vendored = exists(tree, path.Join(dir, "vendor/modules.txt")) || m.Work != "" && exists(tree, path.Join(path.Dir(m.Work), "vendor/modules.txt"))
	if r := needsSum(mod); r != "" && len(sums) == 0 && !m.Vendored {
		return Module{}, &MissingSumError{name, r}
	}
	return m, nil
}

func exists(tree fs.FS, name string) bool {
	_, err := fs.Stat(tree, name)
	return err == nil
}

// readWork adds what go.work says, if there is one.
func (m *Module) readWork(tree fs.FS, sums []gomod.File) ([]gomod.File, error) {
	root := m.Dir
	for !exists(tree, path.Join(root, "go.work")) {
		if root == "." {
			return sums, nil
		}
		root = path.Dir(root)
	}
	m.Work = path.Join(root, "go.work")
	data, err := fs.ReadFile(tree, m.Work)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", m.Work, err)
	}
	work, err := modfile.ParseWork(m.Work, data, nil)
	if err != nil {
		return nil, err
	}
	m.Versions = append(m.Versions, gomod.WorkVersions(m.Work, work))
	for _, use := range work.Use {
		dir := path.Join(root, use.Path)
		if !fs.ValidPath(dir) || path.IsAbs(use.Path) {
			return nil, fmt.Errorf("%s:%d: use %s is outside of the build context: name the folder that holds all modules as the context", m.Work, use.Syntax.Start.Line, use.Path)
		}
		if dir == m.Dir {
			continue
		}
		mod, err := readGoMod(tree, path.Join(dir, "go.mod"))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: use %s: %w", m.Work, use.Syntax.Start.Line, use.Path, err)
		}
		m.Versions = append(m.Versions, gomod.ModVersions(path.Join(dir, "go.mod"), mod))
		if sums, err = readOptional(tree, sums, path.Join(dir, "go.sum")); err != nil {
			return nil, err
		}
	}
	return readOptional(tree, sums, path.Join(root, "go.work.sum"))
}

func readGoMod(tree fs.FS, name string) (*modfile.File, error) {
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return modfile.Parse(name, data, nil)
}

func readOptional(tree fs.FS, files []gomod.File, name string) ([]gomod.File, error) {
	data, err := fs.ReadFile(tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return append(files, gomod.File{Name: name, Data: data}), nil
}

// needsSum returns a required module that comes from outside of the tree, or "".
func needsSum(mod *modfile.File) string {
	local := map[string]bool{}
	for _, r := range mod.Replace {
		if r.New.Version == "" && strings.HasPrefix(r.New.Path, ".") {
			local[r.Old.Path] = true
		}
	}
	for _, r := range mod.Require {
		if !local[r.Mod.Path] {
			return r.Mod.String()
		}
	}
	return ""
}

// findModules returns the folders of a tree that hold a go.mod, sorted, but for those that belong to others: vendored
// modules and test data.
func findModules(tree fs.FS) ([]string, error) {
	var dirs []string
	seen := 0
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		base := path.Base(p)
		switch seen++; {
		case err != nil:
			return fmt.Errorf("looking for modules: %w", err)
		case !d.IsDir():
			return nil
		case p != "." && (base == "vendor" || base == "testdata" || base == "node_modules" || base[0] == '.' || base[0] == '_'):
			return fs.SkipDir
		case seen > maxDirs:
			return fs.SkipAll
		case exists(tree, path.Join(p, "go.mod")):
			dirs = append(dirs, p)
		}
		return nil
	})
	return dirs, err
}
