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

// A Module is the Go module, or the workspace, at the root of a build context.
type Module struct {
	Path     string // the main module's path
	Set      gomod.Set
	Vendored bool // vendor/modules.txt is there: the go command takes packages from there
	Work     bool // go.work is there
	Versions []gomod.VersionFile
}

// ErrNoModule is returned by ReadModule for a tree without a go.mod at its root.
var ErrNoModule = errors.New("there is no go.mod at the root of the build context: name the folder that holds it as the context, or make one with 'go mod init'")

// ReadModule reads go.mod, go.sum, go.work and go.work.sum at the root of a tree, and the go.mod and go.sum of each
// module that go.work uses.
func ReadModule(tree fs.FS) (Module, error) {
	mod, err := readGoMod(tree, "go.mod")
	if errors.Is(err, fs.ErrNotExist) {
		return Module{}, ErrNoModule
	} else if err != nil {
		return Module{}, err
	}
	if mod.Module == nil {
		return Module{}, errors.New("go.mod has no module line: add 'module PATH' as its first line")
	}
	m := Module{Path: mod.Module.Mod.Path, Versions: []gomod.VersionFile{gomod.ModVersions("go.mod", mod)}}
	sums, err := readOptional(tree, nil, "go.sum")
	if err != nil {
		return Module{}, err
	}
	if sums, err = m.readWork(tree, sums); err != nil {
		return Module{}, err
	}
	if m.Set, err = gomod.ParseSums(sums...); err != nil {
		return Module{}, err
	}
	_, err = fs.Stat(tree, "vendor/modules.txt")
	m.Vendored = err == nil
	if r := needsSum(mod); r != "" && len(sums) == 0 && !m.Vendored {
		return Module{}, fmt.Errorf("go.mod requires %s, but there is no go.sum: run 'go mod tidy' and commit go.sum", r)
	}
	return m, nil
}

// readWork adds what go.work says, if there is one.
func (m *Module) readWork(tree fs.FS, sums []gomod.File) ([]gomod.File, error) {
	data, err := fs.ReadFile(tree, "go.work")
	if errors.Is(err, fs.ErrNotExist) {
		return sums, nil
	} else if err != nil {
		return nil, fmt.Errorf("reading go.work: %w", err)
	}
	work, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		return nil, err
	}
	m.Work = true
	m.Versions = append(m.Versions, gomod.WorkVersions("go.work", work))
	for _, use := range work.Use {
		dir := path.Clean(use.Path)
		if !fs.ValidPath(dir) {
			return nil, fmt.Errorf("go.work:%d: use %s is outside of the build context: name the folder that holds all modules as the context", use.Syntax.Start.Line, use.Path)
		}
		if dir == "." {
			continue
		}
		mod, err := readGoMod(tree, path.Join(dir, "go.mod"))
		if err != nil {
			return nil, fmt.Errorf("go.work:%d: use %s: %w", use.Syntax.Start.Line, use.Path, err)
		}
		m.Versions = append(m.Versions, gomod.ModVersions(path.Join(dir, "go.mod"), mod))
		if sums, err = readOptional(tree, sums, path.Join(dir, "go.sum")); err != nil {
			return nil, err
		}
	}
	return readOptional(tree, sums, "go.work.sum")
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
