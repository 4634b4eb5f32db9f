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
	"github.com/larder-build/larder/internal/golang/gotree"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A survey is the result of reading a tree.
type survey struct {
	*cachedTree
	packages goslice.Cache
	facts    map[string]sourceFacts // of source files
	progress func(text string)      // may be nil

	modules   []goModule
	programs  []Program
	platforms []string          // of .ko.yaml
	private   string            // patterns for GOPRIVATE
	outside   map[string]string // named contexts, and the folders outside of the tree that stand for modules
	notes     []string
}

// A goModule is a module of the tree.
type goModule struct {
	gotree.Module
	mod   *modfile.File
	tests bool // some package has tests
}

// maxDirs is the greatest number of folders that are read.
const maxDirs = 10000

func newSurvey(tree fs.FS) *survey {
	return &survey{cachedTree: newTree(tree), facts: map[string]sourceFacts{}}
}

// look finds the modules and their main packages.
func (t *survey) look() error {
	if err := t.readModules(); err != nil {
		return err
	}
	for i := range t.modules {
		if err := t.findMains(&t.modules[i]); err != nil {
			return err
		}
	}
	if len(t.modules) == 0 {
		return errNoModule
	}
	return nil
}

var errNoModule = errors.New("there is no go.mod in this folder, nor in one below it: name the folder of a Go module, or make one with 'go mod init'")

// readModules reads the modules that go.work lists or, without a go.work, all modules in the tree, in the order of
// their folders.
func (t *survey) readModules() error {
	tree := gotree.Tree{FS: t}
	if t.exists("go.work") {
		return t.readWorkspace(tree)
	}
	found, err := tree.Find(maxDirs * 100)
	if err != nil {
		return err
	}
	for _, dir := range found.Unreadable {
		t.noteUnreadable(dir)
	}
	for _, dir := range found.Blank {
		t.note("%s says nothing: nothing is built of its folder", path.Join(dir, "go.mod"))
	}
	for _, dir := range found.Modules {
		m, err := tree.Module(dir, true)
		if err != nil && dir != "." {
			t.note("left out: %v", err) // it may be a template, or a test's
			continue
		} else if err != nil {
			return err
		}
		t.modules = append(t.modules, goModule{Module: m, mod: m.Members[0].Mod})
	}
	return nil
}

// readWorkspace reads the modules that the go.work at the root uses.
func (t *survey) readWorkspace(tree gotree.Tree) error {
	work, err := tree.Work(".")
	if err != nil {
		return err
	}
	m, err := tree.Module(".", false)
	if err != nil {
		return err
	}
	for _, member := range m.Members {
		m.Dir, m.Path = member.Dir, member.Path
		// The module at the root is there, too, if go.work doesn't use it.
		if slices.ContainsFunc(work.Use, func(use *modfile.Use) bool { return path.Clean(use.Path) == m.Dir }) {
			t.modules = append(t.modules, goModule{Module: m, mod: member.Mod})
		}
	}
	if len(t.modules) == 0 {
		return errors.New("go.work uses no module: add one with 'go work use DIR'")
	}
	slices.SortFunc(t.modules, func(a, b goModule) int { return strings.Compare(a.Dir, b.Dir) })
	return nil
}

func (t *survey) noteUnreadable(name string) {
	t.note("left out: %s can't be read: permission denied", name)
}

// walk calls visit for a folder and those below it, without folders that the go command ignores and without other
// modules.
func (t *survey) walk(root string, visit func(dir string) error) error {
	seen := 0
	return fs.WalkDir(t, root, func(p string, d fs.DirEntry, err error) error {
		base := path.Base(p)
		switch seen++; {
		case errors.Is(err, fs.ErrPermission):
			t.noteUnreadable(p)
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

// findMains finds the main packages of a module, and whether it has tests.
func (t *survey) findMains(m *goModule) error {
	var dirs []string
	err := t.walk(m.Dir, func(dir string) error {
		if dir != m.Dir && t.exists(path.Join(dir, "go.mod")) {
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
		t.tell("read %d of the %d folders of %s", done, len(dirs), m.Path)
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

// hasGo reports whether a folder has Go files.
func (t *survey) hasGo(dir string) bool {
	entries, _ := fs.ReadDir(t, dir) // what can't be read was told
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return path.Ext(e.Name()) == ".go" })
}

// chunk is the number of folders that are read between two progress messages.
const chunk = 200

func (t *survey) tell(format string, args ...any) {
	if t.progress != nil {
		t.progress(fmt.Sprintf(format, args...))
	}
}

// importDirs reads packages with cgo, and those that have no files with cgo without it. The compiler will report errors
// other than "no Go files".
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

// hasTool reports whether a tool line of the module names a package.
func (m *goModule) hasTool(importPath string) bool {
	return slices.ContainsFunc(m.mod.Tool, func(tool *modfile.Tool) bool { return tool.Path == importPath })
}

func (t *survey) program(m *goModule, dir string, p *build.Package) Program {
	out := Program{Module: m.Dir, Dir: dir, Package: ".", Import: m.Path}
	if rel := strings.TrimPrefix(strings.TrimPrefix(dir, m.Dir), "/"); dir != m.Dir {
		if m.Dir == "." {
			rel = dir
		}
		out.Package, out.Import = "./"+rel, m.Path+"/"+rel
	}
	out.Name = binaryName(out.Import)
	out.tool = m.hasTool(out.Import) || isToolDir(dir)
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

// noteLinks notes the symbolic links in a folder of static files, which ko follows and COPY doesn't.
func (t *survey) noteLinks(dir string) {
	// What isn't there, or can't be read, has none.
	_ = fs.WalkDir(t, dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type() == fs.ModeSymlink {
			t.note("%s is a symbolic link, and is copied as one: ko copies what it leads to", p)
		}
		return err
	})
}

// binaryName returns the name that the go command gives to the binary of an import path.
func binaryName(importPath string) string {
	if prefix, _, ok := module.SplitPathVersion(importPath); ok && prefix != "" {
		importPath = prefix
	}
	return path.Base(importPath)
}

// isToolDir reports whether a main package in a folder is a tool for the tree's developers, judged by the usual names
// of such folders.
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

// pick keeps the programs that get an image, and names their stages.
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

// tellApart renames programs that share their name with others.
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

// stageName turns a program's name into a valid name of a stage.
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
