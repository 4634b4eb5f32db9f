package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotree"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A Tree is a folder with the source of modules. A Tree without FS is a list of modules and toolchains: those of a
// bundle, without a program that uses them, or those that a program of an image has in it.
type Tree struct {
	Name string // how files are named in findings: the folder as the user gave it
	Dir  string // the folder's absolute path, for the go command
	FS   fs.FS  // what is in it

	Modules    []module.Version // of a list
	Toolchains []string         // of a list: go1.26.8

	program *Program // nil for a list of a bundle
	image   *Image   // that has the program
}

// position is a line of a file. The file's name begins with the tree's name. Line 0 stands for a list.
type position struct {
	file string
	line int
}

func (p position) String() string {
	if p.line == 0 {
		return p.file
	}
	return fmt.Sprintf("%s:%d", p.file, p.line)
}

// service is one module of a tree, which has one or several programs.
type service struct {
	tree *Tree
	dir  string // below the tree, "." for its root
	file string // its go.mod, for findings
	mod  *modfile.File
	unit *unit
}

// unit is a set of modules with one build list: a single module, or the modules of a go.work.
type unit struct {
	tree     *Tree
	dir      string
	file     string            // the go.work; empty for a module by itself
	work     *modfile.WorkFile // nil for a module by itself
	services []*service
	sums     gomod.Set
	hasSums  bool // there is a go.sum or a go.work.sum at all
}

// dep is a module that a go.mod requires.
type dep struct {
	service  *service
	path     string // as it is required
	indirect bool
	at       position
	used     module.Version // after replacements; without a version if it is a folder
}

// maxFile bounds the size of a tree's file, in bytes. The go command has the same bound for a go.mod.
const maxFile = 16 << 20

// load finds and reads the go.mod, go.work and go.sum files of all trees.
func load(trees []Tree) ([]*unit, error) {
	var units []*unit
	for i := range trees {
		found, err := loadTree(&trees[i])
		if err != nil {
			return nil, err
		}
		units = append(units, found...)
	}
	return units, nil
}

// list makes a unit with one service for a list. Its go.mod has no lines that a finding could point at.
func (t *Tree) list() ([]*unit, error) {
	s := &service{tree: t, dir: ".", file: t.Name, mod: &modfile.File{}}
	s.unit = &unit{tree: t, dir: ".", services: []*service{s}}
	err := errors.Join(s.mod.AddModuleStmt(""), s.mod.AddGoStmt("1.17")) // since then it lists all
	for _, m := range t.Modules {
		s.mod.AddNewRequire(m.Path, m.Version, false)
	}
	return []*unit{s.unit}, err
}

func loadTree(t *Tree) ([]*unit, error) {
	if t.FS == nil {
		return t.list()
	}
	found, err := t.source().Find(0)
	if err == nil && len(found.Unreadable) > 0 {
		err = fmt.Errorf("%s can't be read: %w", t.file(found.Unreadable[0]), fs.ErrPermission)
	}
	if err != nil {
		return nil, err
	}
	mods, works := found.Modules, found.Works
	if len(mods) == 0 && len(works) == 0 {
		return nil, fmt.Errorf("%s: there is no go.mod in it: name a folder that holds a Go module", t.Name)
	}
	services := map[string]*service{}
	for _, dir := range mods {
		if services[dir], err = t.service(dir); err != nil {
			return nil, err
		}
	}
	var units []*unit
	for _, dir := range works {
		u, err := t.workspace(dir, services)
		if err != nil {
			return nil, err
		}
		units = append(units, u)
	}
	for _, dir := range mods {
		if s := services[dir]; s.unit == nil {
			s.unit = &unit{tree: t, dir: dir, services: []*service{s}}
			units = append(units, s.unit)
		}
	}
	for _, u := range units {
		if err := u.loadSums(); err != nil {
			return nil, err
		}
	}
	return units, nil
}

func (t *Tree) source() gotree.Tree { return gotree.Tree{FS: t.FS, Name: filepath.ToSlash(t.Name)} }

func (t *Tree) service(dir string) (*service, error) {
	mod, err := t.source().Mod(dir)
	return &service{tree: t, dir: dir, file: t.file(path.Join(dir, "go.mod")), mod: mod}, oneError(err)
}

// workspace reads a go.work. A module belongs to the first go.work that uses it.
func (t *Tree) workspace(dir string, services map[string]*service) (*unit, error) {
	u := &unit{tree: t, dir: dir, file: t.file(path.Join(dir, "go.work"))}
	work, err := t.source().Work(dir)
	if err != nil {
		return nil, oneError(err)
	}
	u.work = work
	for _, use := range u.work.Use {
		if leaves(dir, use.Path) {
			continue // replacements tells of it
		}
		member := path.Join(dir, filepath.ToSlash(use.Path))
		s := services[member]
		if s == nil { // in a folder that isn't looked into
			if s, err = t.service(member); err != nil {
				return nil, fmt.Errorf("%s:%d: use %s: %w", u.file, use.Syntax.Start.Line, use.Path, err)
			}
		}
		if s.unit == nil {
			s.unit = u
			u.services = append(u.services, s)
		}
	}
	return u, nil
}

// loadSums reads all files in which the go command looks for a checksum.
func (u *unit) loadSums() error {
	names := []string{}
	if u.work != nil {
		names = append(names, path.Join(u.dir, "go.work.sum"))
	}
	for _, s := range u.services {
		names = append(names, path.Join(s.dir, "go.sum"))
	}
	files, err := u.tree.source().Sums(names...)
	if err != nil {
		return err
	}
	u.hasSums = len(files) > 0
	u.sums, err = gomod.ParseSums(files...)
	return err
}

// file returns a file's name for messages.
func (t *Tree) file(name string) string {
	return t.source().File(name)
}

// readFile reads a file. It fails if the file is larger than limit bytes.
func readFile(fsys fs.FS, name string, limit int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return buf.Bytes(), nil
}

// oneError returns the first error of a file, with its line. Later errors often follow from the first one.
func oneError(err error) error {
	var list modfile.ErrorList
	if errors.As(err, &list) && len(list) > 0 {
		return &list[0]
	}
	return err
}

// leaves reports whether a path in a file of the folder dir leads out of the tree.
func leaves(dir, folder string) bool {
	return filepath.IsAbs(folder) || !filepath.IsLocal(filepath.Join(filepath.FromSlash(dir), filepath.FromSlash(folder)))
}

// dependencies lists the modules that all go.mod files require.
func dependencies(units []*unit) []dep {
	var deps []dep
	for _, u := range units {
		deps = append(deps, u.dependencies()...)
	}
	return deps
}

func (u *unit) dependencies() []dep {
	var deps []dep
	for _, s := range u.services {
		lines := s.replaces()
		for _, r := range s.mod.Require {
			if u.member(r.Mod.Path) {
				continue
			}
			deps = append(deps, dep{
				service: s, path: r.Mod.Path, indirect: r.Indirect,
				at: position{s.file, r.Syntax.Start.Line}, used: lines.Used(r.Mod),
			})
		}
	}
	return deps
}

// member reports whether a module is one of the workspace's own.
func (u *unit) member(path string) bool {
	return slices.ContainsFunc(u.services, func(s *service) bool { return s.mod.Module.Mod.Path == path })
}

// replaces returns the replace lines that apply to a service.
func (s *service) replaces() *gomod.Replaces {
	lines := &gomod.Replaces{}
	if s.unit.work != nil {
		lines.AddWork(s.unit.file, s.unit.work.Replace)
	}
	lines.AddMod(s.file, s.mod.Replace)
	return lines
}

// modLine returns the position of a service's module line. It is for findings that belong to no other line.
func (s *service) modLine() position { return position{s.file, s.mod.Module.Syntax.Start.Line} }

// finding starts a finding about a required module.
func (d dep) finding(rule string, severity Severity) Finding {
	return Finding{Rule: rule, Severity: severity, File: d.at.file, Line: d.at.line, Module: d.used.Path, Version: d.used.Version}
}
