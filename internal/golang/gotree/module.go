package gotree

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"golang.org/x/mod/modfile"
)

// A Module is a Go module of a tree, with the workspace that it belongs to.
type Module struct {
	Dir      string // the folder of go.mod, or of a go.work that has no module beside it; "." is the root of the tree
	Path     string // the main module's path; of a workspace without one at its root, that of its first module
	Set      gomod.Set
	Summed   bool   // there is a go.sum or a go.work.sum
	Vendored bool   // vendor/modules.txt is there: the go command takes packages from there
	Work     string // the go.work file that counts, or ""
	Versions []gotoolchain.VersionFile
	Members  []Member           // the main modules: this one, and those of the workspace, in the order of go.work
	Replaced []*modfile.Replace // by go.work
}

// A Member is one of the main modules of a build.
type Member struct {
	Dir, Path string
	Mod       *modfile.File
}

// ErrNoModule is returned by Tree.Module for a folder without a go.mod or a go.work.
var ErrNoModule = errors.New("there is no go.mod")

// A MissingSumError says that a module needs others and has no go.sum.
type MissingSumError struct {
	GoMod    string // the go.mod file
	Requires string // one of the modules that it requires
}

// Error implements error.
func (e *MissingSumError) Error() string {
	return fmt.Sprintf("%s requires %s, but there is no go.sum: run 'go mod tidy' and commit go.sum", e.GoMod, e.Requires)
}

// A MissingUseError says that a go.work names a folder that has no go.mod.
type MissingUseError struct {
	At, Use string // FILE:LINE, and what that says
	Dir     string // the folder in the tree
}

// Error implements error.
func (e *MissingUseError) Error() string {
	return fmt.Sprintf("%s: use %s: there is no %s: take the line out with 'go work edit -dropuse=%[2]s', or add the module", e.At, e.Use, path.Join(e.Dir, "go.mod"))
}

// Module reads go.mod and go.sum in a folder, the go.work and go.work.sum that apply there, and the go.mod and go.sum
// of each module that go.work uses. As in the go command, the nearest go.work applies, in the folder or in one above
// it, and the folder of a go.work needs no go.mod. If alone is true, no go.work applies, as with GOWORK=off.
func (t Tree) Module(dir string, alone bool) (Module, error) {
	m := Module{Dir: dir}
	if !alone {
		m.Work = t.nearestWork(dir)
	}
	var sums []gomod.File
	err := m.add(t, dir, &sums)
	if errors.Is(err, fs.ErrNotExist) && m.Work != path.Join(dir, "go.work") {
		return Module{}, ErrNoModule
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Module{}, err
	}
	if m.Work != "" {
		if err := m.addWork(t, &sums); err != nil {
			return Module{}, err
		}
	}
	if len(m.Members) == 0 {
		return Module{}, fmt.Errorf("%s uses no module: add one with 'go work use DIR'", t.File(m.Work))
	}
	m.Path, m.Summed = m.Members[0].Path, len(sums) > 0
	if m.Set, err = gomod.ParseSums(sums...); err != nil {
		return Module{}, err
	}
	m.Vendored = t.has(path.Join(dir, "vendor/modules.txt")) || m.Work != "" && t.has(path.Join(path.Dir(m.Work), "vendor/modules.txt"))
	return m, nil
}

// nearestWork returns the path of the go.work in a folder, or in the nearest folder above it, or "".
func (t Tree) nearestWork(dir string) string {
	for ; ; dir = path.Dir(dir) {
		if name := path.Join(dir, "go.work"); t.has(name) {
			return name
		}
		if dir == "." || dir == "/" {
			return ""
		}
	}
}

// add adds the main module in a folder.
func (m *Module) add(t Tree, dir string, sums *[]gomod.File) error {
	mod, err := t.Mod(dir)
	if err != nil {
		return err
	}
	m.Members = append(m.Members, Member{dir, mod.Module.Mod.Path, mod})
	m.Versions = append(m.Versions, gotoolchain.ModVersions(t.File(path.Join(dir, "go.mod")), mod))
	files, err := t.Sums(path.Join(dir, "go.sum"))
	*sums = append(*sums, files...)
	return err
}

// addWork adds the modules and replace lines of go.work.
func (m *Module) addWork(t Tree, sums *[]gomod.File) error {
	root := path.Dir(m.Work)
	work, err := t.Work(root)
	if err != nil {
		return err
	}
	m.Versions = append(m.Versions, gotoolchain.WorkVersions(t.File(m.Work), work))
	lines := map[string]int{} // of folders
	for _, use := range work.Use {
		dir, at := path.Join(root, use.Path), fmt.Sprintf("%s:%d", t.File(m.Work), use.Syntax.Start.Line)
		if !fs.ValidPath(dir) || path.IsAbs(use.Path) {
			return fmt.Errorf("%s: use %s is outside of the tree: name the folder that holds all modules", at, use.Path)
		}
		if line := lines[dir]; line > 0 {
			return fmt.Errorf("%s: use %s: line %d uses that folder, too, and go takes none twice: take one of the lines out", at, use.Path, line)
		}
		lines[dir] = use.Syntax.Start.Line
		if dir == m.Dir && len(m.Members) > 0 {
			continue
		}
		if err := m.add(t, dir, sums); errors.Is(err, fs.ErrNotExist) {
			return &MissingUseError{at, use.Path, dir}
		} else if err != nil {
			return fmt.Errorf("%s: use %s: %w", at, use.Path, err)
		}
	}
	m.Replaced = work.Replace
	files, err := t.Sums(path.Join(root, "go.work.sum"))
	*sums = append(*sums, files...)
	return err
}

// CheckSums returns a MissingSumError if the module requires one from outside the tree and has no go.sum at all.
func (m *Module) CheckSums() error {
	if m.Summed || m.Vendored {
		return nil
	}
	here, lines := map[string]bool{}, m.Replaces()
	for _, member := range m.Members {
		here[member.Path] = true
	}
	for _, member := range m.Members {
		for _, r := range member.Mod.Require {
			if by, ok := lines.Of(r.Mod); !here[r.Mod.Path] && (!ok || by.New.Version != "") {
				return &MissingSumError{path.Join(member.Dir, "go.mod"), r.Mod.String()}
			}
		}
	}
	return nil
}

// Replaces returns the replace lines that apply.
func (m *Module) Replaces() *gomod.Replaces {
	lines := &gomod.Replaces{}
	lines.AddWork(m.Work, m.Replaced)
	for _, member := range m.Members {
		lines.AddMod(path.Join(member.Dir, "go.mod"), member.Mod.Replace)
	}
	return lines
}
