package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"golang.org/x/mod/modfile"
)

// A Module is a Go module of a tree, or the workspace that it is in.
type Module struct {
	Dir      string // the folder of go.mod, or of a go.work that has no module beside it; "." is the root of the tree
	Path     string // the main module's path; of a workspace without one at its root, that of its first module
	Set      gomod.Set
	Vendored bool   // vendor/modules.txt is there: the go command takes packages from there
	Work     string // the go.work file that counts, or ""
	Versions []gotoolchain.VersionFile
	Members  []Member // the main modules: this one, and those of the workspace, in the order of go.work

	replaced []*modfile.Replace // by go.work
}

// A Member is one of the main modules of a build.
type Member struct {
	Dir, Path string

	mod *modfile.File
}

// ErrNoModule is returned by ReadModule for a tree without a go.mod, or a go.work, at its root.
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
	dirs, _ := findModules(tree) // those that could be found
	dirs = slices.DeleteFunc(dirs, func(dir string) bool { return dir == "." })
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

// A MissingSumError says that a module needs others and has no go.sum.
type MissingSumError struct {
	GoMod    string // the go.mod file
	Requires string // one of the modules that it requires
}

// Error implements error.
func (e *MissingSumError) Error() string {
	return fmt.Sprintf("%s requires %s, but there is no go.sum: run 'go mod tidy' and commit go.sum", e.GoMod, e.Requires)
}

// A missingUseError says that a go.work names a folder that has no go.mod.
type missingUseError struct {
	at, use, dir string // FILE:LINE, what it says, and what that means in the tree
}

func (e *missingUseError) Error() string {
	return fmt.Sprintf("%s: use %s: there is no %s in the build context: take the line out with 'go work edit -dropuse=%[2]s', or add the module", e.at, e.use, path.Join(e.dir, "go.mod"))
}

// ReadModule reads go.mod and go.sum in a folder of a tree, the go.work and go.work.sum that count there, and the go.mod
// and go.sum of each module that go.work uses. As with the go command, the nearest go.work counts, in the folder or in
// one above it, and the folder that has it needs no go.mod.
func ReadModule(tree fs.FS, dir string) (Module, error) { return readModule(tree, dir, false) }

// readModule reads a module, alone if no go.work is to count.
func readModule(tree fs.FS, dir string, alone bool) (Module, error) {
	m := Module{Dir: dir}
	if !alone {
		m.Work = nearestWork(tree, dir)
	}
	var sums []gomod.File
	err := m.add(tree, dir, &sums)
	if errors.Is(err, fs.ErrNotExist) && m.Work != path.Join(dir, "go.work") {
		return Module{}, ErrNoModule
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Module{}, err
	}
	if m.Work != "" {
		if err := m.readWork(tree, &sums); err != nil {
			return Module{}, err
		}
	}
	if len(m.Members) == 0 {
		return Module{}, fmt.Errorf("%s uses no module: add one with 'go work use DIR'", m.Work)
	}
	m.Path = m.Members[0].Path
	if m.Set, err = gomod.ParseSums(sums...); err != nil {
		return Module{}, err
	}
	m.Vendored = exists(tree, path.Join(dir, "vendor/modules.txt")) || m.Work != "" && exists(tree, path.Join(path.Dir(m.Work), "vendor/modules.txt"))
	if name, requires := m.needsSum(); requires != "" && len(sums) == 0 && !m.Vendored {
		return Module{}, &MissingSumError{name, requires}
	}
	return m, nil
}

// nearestWork returns the go.work in a folder, or in the nearest one above it, or "".
func nearestWork(tree fs.FS, dir string) string {
	for ; ; dir = path.Dir(dir) {
		if name := path.Join(dir, "go.work"); exists(tree, name) {
			return name
		}
		if dir == "." || dir == "/" {
			return ""
		}
	}
}

func exists(tree fs.FS, name string) bool {
	_, err := fs.Stat(tree, name)
	return err == nil
}

// isModule reports whether a folder has a module, or a workspace.
func isModule(tree fs.FS, dir string) bool {
	return exists(tree, path.Join(dir, "go.mod")) || exists(tree, path.Join(dir, "go.work"))
}

// add adds the main module in a folder.
func (m *Module) add(tree fs.FS, dir string, sums *[]gomod.File) error {
	name := path.Join(dir, "go.mod")
	mod, err := readGoMod(tree, name)
	if err != nil {
		return err
	}
	if mod.Module == nil {
		return fmt.Errorf("%s has no module line: add 'module PATH' as its first line", name)
	}
	m.Members = append(m.Members, Member{dir, mod.Module.Mod.Path, mod})
	m.Versions = append(m.Versions, gotoolchain.ModVersions(name, mod))
	*sums, err = readOptional(tree, *sums, path.Join(dir, "go.sum"))
	return err
}

// readWork adds what go.work says.
func (m *Module) readWork(tree fs.FS, sums *[]gomod.File) error {
	data, err := fs.ReadFile(tree, m.Work)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.Work, err)
	}
	work, err := modfile.ParseWork(m.Work, data, nil)
	if err != nil {
		return err
	}
	m.Versions = append(m.Versions, gotoolchain.WorkVersions(m.Work, work))
	root := path.Dir(m.Work)
	lines := map[string]int{} // of folders
	for _, use := range work.Use {
		dir, at := path.Join(root, use.Path), fmt.Sprintf("%s:%d", m.Work, use.Syntax.Start.Line)
		if !fs.ValidPath(dir) || path.IsAbs(use.Path) {
			return fmt.Errorf("%s: use %s is outside of the build context: name the folder that holds all modules as the context", at, use.Path)
		}
		if line := lines[dir]; line > 0 {
			return fmt.Errorf("%s: use %s: line %d uses that folder, too, and go takes none twice: take one of the lines out", at, use.Path, line)
		}
		lines[dir] = use.Syntax.Start.Line
		if dir == m.Dir && len(m.Members) > 0 {
			continue
		}
		if err := m.add(tree, dir, sums); errors.Is(err, fs.ErrNotExist) {
			return &missingUseError{at, use.Path, dir}
		} else if err != nil {
			return fmt.Errorf("%s: use %s: %w", at, use.Path, err)
		}
	}
	m.replaced = work.Replace
	*sums, err = readOptional(tree, *sums, path.Join(root, "go.work.sum"))
	return err
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

// needsSum returns a module that comes from outside of the tree, and the go.mod that requires it, or "".
func (m *Module) needsSum() (name, requires string) {
	here, lines := map[string]bool{}, m.replaces()
	for _, member := range m.Members {
		here[member.Path] = true
	}
	for _, member := range m.Members {
		for _, r := range member.mod.Require {
			if by, ok := lines.Of(r.Mod); !here[r.Mod.Path] && (!ok || by.New.Version != "") {
				return path.Join(member.Dir, "go.mod"), r.Mod.String()
			}
		}
	}
	return "", ""
}

// replaces returns the replace lines that count.
func (m *Module) replaces() *gomod.Replaces {
	lines := &gomod.Replaces{}
	lines.AddWork(m.Work, m.replaced)
	for _, member := range m.Members {
		lines.AddMod(path.Join(member.Dir, "go.mod"), member.mod.Replace)
	}
	return lines
}

// findModules returns the folders of a tree that hold a module, sorted, but for those that belong to others: vendored
// modules and test data. What can't be read is passed over.
func findModules(tree fs.FS) ([]string, error) {
	var dirs []string
	seen := 0
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		base := path.Base(p)
		switch seen++; {
		case errors.Is(err, fs.ErrPermission):
			return fs.SkipDir
		case err != nil:
			return fmt.Errorf("looking for modules: %w", err)
		case !d.IsDir():
			return nil
		case p != "." && gomod.HoldsOthers(base):
			return fs.SkipDir
		case seen > maxDirs:
			return fs.SkipAll
		case exists(tree, path.Join(p, "go.mod")) && !keepsOut(tree, p):
			dirs = append(dirs, p)
		}
		return nil
	})
	return dirs, err
}

// keepsOut reports whether the go.mod of a folder says nothing: it is there to keep the folder out of the module above.
func keepsOut(tree fs.FS, dir string) bool {
	data, err := fs.ReadFile(tree, path.Join(dir, "go.mod"))
	return err == nil && gomod.IsBlank(data)
}
