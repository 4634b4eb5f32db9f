package scaffold

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/goslice"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A survey is what was found in a tree.
type survey struct {
	*cachedTree
	packages goslice.Cache
	facts    map[string]sourceFacts // of source files
	progress func(text string)      // may be nil

	modules   []goModule
	work      []*modfile.Replace // of go.work
	programs  []Program
	platforms []string          // of .ko.yaml
	private   string            // patterns for GOPRIVATE
	outside   map[string]string // named contexts, and the folders outside of the tree that stand for modules
	notes     []string
}

// A goModule is a module of the tree.
type goModule struct {
	dir, path string
	version   string // of the go line
	work      string // the go.work that counts, or ""
	vendored  bool
	tests     bool // some package has tests
	requires  []*modfile.Require
	replaces  []*modfile.Replace
	tools     map[string]bool // import paths of tool lines
}

// maxDirs bounds the folders that are looked at.
const maxDirs = 10000

func newSurvey(tree fs.FS) *survey {
	return &survey{cachedTree: newTree(tree), facts: map[string]sourceFacts{}}
}

// look finds the modules and their main packages.
func (t *survey) look() error {
	dirs, work, err := t.moduleDirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		m, err := t.readModule(dir, work)
		if err != nil && dir != "." && work == "" {
			t.note("left out: %v", err) // it may be a template, or a test's
			continue
		} else if err != nil {
			return err
		}
		if err := t.findMains(&m); err != nil {
			return err
		}
		t.modules = append(t.modules, m)
	}
	if len(t.modules) == 0 {
		return errNoModule
	}
	return nil
}

var errNoModule = errors.New("there is no go.mod in this folder, nor in one below it: name the folder of a Go module, or make one with 'go mod init'")

// moduleDirs returns the folders of modules, sorted, and the go.work that lists them, if one does.
func (t *survey) moduleDirs() (dirs []string, work string, err error) {
	data, err := fs.ReadFile(t, "go.work")
	switch {
	case err == nil:
		dirs, err = t.workDirs(data)
		return dirs, "go.work", err
	case !errors.Is(err, fs.ErrNotExist):
		return nil, "", err
	}
	err = t.walk(".", func(dir string) error {
		name := path.Join(dir, "go.mod")
		if !t.exists(name) {
			return nil
		}
		switch data, err := fs.ReadFile(t, name); {
		case err == nil && gomod.IsBlank(data):
			t.note("%s says nothing: nothing is built of its folder", name)
		default:
			dirs = append(dirs, dir)
		}
		return nil
	})
	return dirs, "", err
}

func (t *survey) workDirs(data []byte) (dirs []string, err error) {
	work, err := modfile.ParseWork("go.work", data, nil)
	if err != nil {
		return nil, err
	}
	for _, use := range work.Use {
		dir, at := path.Clean(use.Path), fmt.Sprintf("go.work:%d", use.Syntax.Start.Line)
		switch {
		case !fs.ValidPath(dir):
			return nil, fmt.Errorf("%s: use %s is outside of this tree: name the folder that holds all modules", at, use.Path)
		case slices.Contains(dirs, dir):
			return nil, fmt.Errorf("%s: use %s: another line uses that folder, too, and go takes none twice: take one of them out", at, use.Path)
		case !t.exists(path.Join(dir, "go.mod")):
			return nil, fmt.Errorf("%s: use %s: there is no %s: take the line out with 'go work edit -dropuse=%[2]s', or add the module", at, use.Path, path.Join(dir, "go.mod"))
		}
		dirs = append(dirs, dir)
	}
	if len(dirs) == 0 {
		return nil, errors.New("go.work uses no module: add one with 'go work use DIR'")
	}
	slices.Sort(dirs)
	t.work = work.Replace
	return dirs, nil
}

// walk calls visit for a folder and those below it, but for what a go command passes over, and others' modules.
func (t *survey) walk(root string, visit func(dir string) error) error {
	seen := 0
	return fs.WalkDir(t, root, func(p string, d fs.DirEntry, err error) error {
		base := path.Base(p)
		switch seen++; {
		case errors.Is(err, fs.ErrPermission):
			t.note("left out: %s can't be read: permission denied", p)
			return fs.SkipDir
		case err != nil:
			return err
		case !d.IsDir():
			return nil
		case p != "." && gomod.HoldsOthers(base):
			return fs.SkipDir
		case seen > maxDirs*100:
			return fmt.Errorf("there are more than %d files and folders: name the folder of one module", maxDirs*100)
		}
		return visit(p)
	})
}

func (t *survey) exists(name string) bool {
	_, err := fs.Stat(t, name)
	return err == nil
}

func (t *survey) readModule(dir, work string) (goModule, error) {
	name := path.Join(dir, "go.mod")
	data, err := fs.ReadFile(t, name)
	if err != nil {
		return goModule{}, err
	}
	mod, err := modfile.Parse(name, data, nil)
	if err != nil {
		return goModule{}, err
	}
	if mod.Module == nil {
		return goModule{}, fmt.Errorf("%s has no module line: add 'module PATH' as its first line", name)
	}
	m := goModule{dir: dir, path: mod.Module.Mod.Path, work: work, requires: mod.Require, replaces: mod.Replace, tools: map[string]bool{}}
	if mod.Go != nil {
		m.version = mod.Go.Version
	}
	for _, tool := range mod.Tool {
		m.tools[tool.Path] = true
	}
	m.vendored = t.exists(path.Join(dir, "vendor/modules.txt")) || work != "" && t.exists("vendor/modules.txt")
	return m, nil
}

// findMains finds the main packages of a module, and whether it has tests.
func (t *survey) findMains(m *goModule) error {
	var dirs []string
	err := t.walk(m.dir, func(dir string) error {
		if dir != m.dir && t.exists(path.Join(dir, "go.mod")) {
			return fs.SkipDir
		}
		if t.hasGo(dir) {
			dirs = append(dirs, dir)
		}
		return nil
	})
	if err != nil {
		return err
	}
	done := 0
	for some := range slices.Chunk(dirs, chunk) {
		t.tell("read %d of the %d folders of %s", done, len(dirs), m.path)
		for i, p := range t.importDirs(some) {
			if p == nil {
				continue
			}
			m.tests = m.tests || len(p.TestGoFiles)+len(p.XTestGoFiles) > 0
			if goslice.IsProgram(t, p) {
				t.addProgram(m, some[i], p)
			}
		}
		done += len(some)
	}
	return nil
}

// hasGo reports whether a folder has files that may be of a package.
func (t *survey) hasGo(dir string) bool {
	entries, _ := fs.ReadDir(t, dir) // what can't be read was told
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return path.Ext(e.Name()) == ".go" })
}

// chunk is how many folders are read between two words about it.
const chunk = 200

func (t *survey) tell(format string, args ...any) {
	if t.progress != nil {
		t.progress(fmt.Sprintf(format, args...))
	}
}

// importDirs reads packages, with cgo or, where that has none, without. An error other than "no Go files" is the compiler's
// to report.
func (t *survey) importDirs(dirs []string) []*build.Package {
	with, without := goslice.Context(t, "linux", "amd64"), goslice.Context(t, "linux", "amd64")
	with.CgoEnabled = true
	packages, _ := t.packages.ImportDirs(with, true, dirs)
	for i, p := range packages {
		if p == nil || p.Name == "" {
			other, _ := t.packages.ImportDirs(without, true, dirs[i:i+1])
			packages[i] = other[0]
		}
	}
	return packages
}

func (t *survey) addProgram(m *goModule, dir string, p *build.Package) {
	if program := t.program(m, dir, p); module.CheckImportPath(program.Import) == nil { // else go can't build it
		t.tell("found the program %s", dir)
		t.programs = append(t.programs, program)
	}
}

func (t *survey) program(m *goModule, dir string, p *build.Package) Program {
	out := Program{Module: m.dir, Dir: dir, Package: ".", Import: m.path}
	if rel := strings.TrimPrefix(strings.TrimPrefix(dir, m.dir), "/"); dir != m.dir {
		if m.dir == "." {
			rel = dir
		}
		out.Package, out.Import = "./"+rel, m.path+"/"+rel
	}
	out.Name = binaryName(out.Import)
	out.tool = m.tools[out.Import] || isToolDir(dir)
	out.Data = t.isDir(path.Join(dir, "kodata"))
	t.noteLinks(path.Join(dir, "kodata"))
	out.Version = t.versionVariable(dir, append(slices.Clone(p.GoFiles), p.CgoFiles...))
	t.inspect(m, &out)
	return out
}

func (t *survey) isDir(name string) bool {
	fi, err := fs.Stat(t, name)
	return err == nil && fi.IsDir()
}

// noteLinks names the symbolic links of a folder of static files, which ko follows and COPY doesn't.
func (t *survey) noteLinks(dir string) {
	// What isn't there, or can't be read, has none.
	_ = fs.WalkDir(t, dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSymlink {
			t.note("%s is a symbolic link, and is copied as one: ko copies what it leads to", p)
		}
		return err
	})
}

// binaryName is the name that the go command gives to the command of an import path.
func binaryName(importPath string) string {
	if prefix, _, ok := module.SplitPathVersion(importPath); ok && prefix != "" {
		importPath = prefix
	}
	return path.Base(importPath)
}

// isToolDir reports whether a main package in a folder is for those who work on the tree, as the names of folders say by
// custom.
func isToolDir(dir string) bool {
	if parent := path.Dir(dir); path.Base(parent) == "cmd" {
		dir = parent // whatever its name, it is a command
	}
	return slices.ContainsFunc(strings.Split(dir, "/"), func(element string) bool {
		switch element {
		case "tools", "tool", "hack", "script", "scripts", "example", "examples", "_examples", "internal",
			"test", "tests", "e2e", "testing", "magefiles", "bench", "benchmarks", "docs":
			return true
		}
		return false
	})
}

// pick leaves the programs that get an image, and names their stages.
func (t *survey) pick() error {
	if len(t.programs) == 0 {
		return errors.New("there is no main package in this tree: Larder makes images of programs; a library needs no image")
	}
	var tools []string
	images := slices.DeleteFunc(slices.Clone(t.programs), func(p Program) bool {
		if p.tool {
			tools = append(tools, p.Dir)
		}
		return p.tool
	})
	if len(images) == 0 {
		images, tools = t.programs, nil
	}
	if len(tools) > 0 {
		t.note("tools, without an image: %s", strings.Join(tools, ", "))
	}
	t.programs = images
	t.nameStages()
	return nil
}

// nameStages gives each program a name and a stage of its own.
func (t *survey) nameStages() {
	seen := map[string]bool{}
	for _, reserved := range []string{"base", "build", "default", "go", "image", "roots", "scratch", "static", "test"} {
		seen[reserved] = true
	}
	t.tellApart(func(p *Program) string { return path.Base(p.Module) })
	t.tellApart(func(p *Program) string { return strings.ReplaceAll(p.Dir, "/", "-") })
	for i := range t.programs {
		p := &t.programs[i]
		stage := stageName(p.Name)
		for seen[stage] {
			stage += "-image"
		}
		seen[stage] = true
		p.Stage = stage
	}
}

// tellApart renames the programs whose name others have, too.
func (t *survey) tellApart(rename func(*Program) string) {
	names := map[string]int{}
	for _, p := range t.programs {
		names[p.Name]++
	}
	for i := range t.programs {
		if p := &t.programs[i]; names[p.Name] > 1 && p.Dir != "." {
			if name := rename(p); name != "." {
				p.Name = name
			}
		}
	}
}

// stageName makes a stage's name of a program's.
func stageName(name string) string {
	stage := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, strings.ToLower(name))
	if stage = strings.TrimLeft(stage, "0123456789-_"); stage == "" {
		return "app"
	}
	return stage
}
