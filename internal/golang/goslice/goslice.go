// Package goslice finds the files of a tree that a go command reads: the files that its packages, and the packages that
// they import, compile or embed on one platform. It exists so that a build step gets these files and nothing else: then
// an edit of another file doesn't run the step again.
//
// It is pure: a read-only view of a tree in, names out. What it can't follow with certainty it refuses with a WholeError,
// and the step is given the whole tree.
package goslice

import (
	"errors"
	"fmt"
	"go/build"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotree"
	"golang.org/x/mod/modfile"
)

// A Request describes the go command whose files are wanted. Paths are relative to the root of Tree, with slashes.
type Request struct {
	Tree     fs.FS
	Module   gotree.Module // as read from Tree: the command runs in its folder
	Patterns []string      // of packages, as the go command takes them; none means the package in Dir
	Tests    bool          // the named packages' tests are compiled, too

	GOOS, GOARCH string
	Cgo          bool
	Tags         []string
	Version      string // of the toolchain, such as go1.26.8; "" if it isn't known
	Profile      string // of -pgo: auto (or ""), off, or a file, relative to the module's folder

	Cache *Cache // of Tree; nil for one of this request alone
}

// A Slice is the part of a tree that a go command reads.
type Slice struct {
	Files   []string // files, sorted
	Globs   []string // patterns, as in .dockerignore, of files and whole folders besides these: what is embedded, say; sorted
	Imports []string // packages of other modules and of the standard library that those of the slice import, sorted
	Profile string   // the one profile that all is compiled with, those imports too; or ""
	Missing []Embed  // what packages of the slice embed, and the tree hasn't
}

// A WholeError says why a go command needs the whole tree.
type WholeError struct{ Why string }

// Error implements error.
func (e *WholeError) Error() string { return "it needs the whole tree: " + e.Why }

func whole(format string, args ...any) error { return &WholeError{fmt.Sprintf(format, args...)} }

// Of returns the slice that a request needs, or a WholeError.
func Of(req Request) (Slice, error) {
	if req.Cache == nil {
		req.Cache = new(Cache)
	}
	s := &slicer{Request: req, ctxt: req.context(),
		files: map[string]bool{}, globs: map[string]bool{}, imports: map[string]bool{}}
	if err := s.addModules(); err != nil {
		return Slice{}, err
	}
	patterns := req.Patterns
	if len(patterns) == 0 {
		patterns = []string{"."}
	}
	var named []string
	for _, p := range patterns {
		dirs, err := s.match(p)
		if err != nil {
			return Slice{}, err
		}
		named = append(named, dirs...)
	}
	if err := s.addAll(named); err != nil {
		return Slice{}, err
	}
	profile, err := s.profile()
	return Slice{Files: sorted(s.files), Globs: sorted(s.globs), Imports: sorted(s.imports), Profile: profile, Missing: s.missing}, err
}

// profile returns the profile with which all packages are compiled. It is the file of -pgo, or that of the main package
// if only one is named. If there are several main packages, each has its own default.pgo or none.
func (s *slicer) profile() (string, error) {
	switch s.Request.Profile {
	case "", "auto":
		if len(s.mains) != 1 || s.Tests {
			return "", nil
		}
		if file := path.Join(s.mains[0], "default.pgo"); s.files[file] {
			return file, nil
		}
		return "", nil
	case "off":
		return "", nil
	}
	file := path.Join(s.Module.Dir, s.Request.Profile)
	if path.IsAbs(s.Request.Profile) || !fs.ValidPath(file) {
		return "", whole("-pgo=%s is not a file of the tree", s.Request.Profile)
	}
	if s.keep(file); !s.files[file] {
		return "", whole("-pgo=%s isn't there", s.Request.Profile)
	}
	return file, nil
}

// context returns the request's context for go/build.
func (r Request) context() *build.Context {
	ctxt := Context(r.Tree, r.GOOS, r.GOARCH)
	ctxt.CgoEnabled, ctxt.BuildTags = r.Cgo, r.Tags
	if r.Version != "" {
		ctxt.ReleaseTags = releaseTags(r.Version)
	}
	return ctxt
}

func sorted(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// A slicer collects a slice.
type slicer struct {
	Request
	ctxt    *build.Context
	modules []local
	ignores gomod.Ignores // folders that "..." passes over
	mains   []string      // folders of main packages that are named
	missing []Embed

	files, globs, imports map[string]bool
}

// A local is a module of the tree, with the path by which its packages are imported.
type local struct{ path, dir string }

// addModules adds the main module, the modules of the workspace, and the folders that replace other modules.
func (s *slicer) addModules() error {
	root := s.Module.Dir
	if s.Module.Work != "" {
		root = path.Dir(s.Module.Work)
		s.keep(s.Module.Work, path.Join(root, "go.work.sum"))
		if err := s.addReplaced(root, s.Module.Replaced); err != nil {
			return err
		}
	}
	if s.Module.Vendored {
		s.globs[path.Join(root, "vendor")] = true
	}
	for _, m := range s.Module.Members {
		s.keep(path.Join(m.Dir, "go.mod"), path.Join(m.Dir, "go.sum"))
		s.modules = append(s.modules, local{path: m.Path, dir: m.Dir})
		s.ignores.Add(m.Dir, m.Mod.Ignore)
		if err := s.addReplaced(m.Dir, m.Mod.Replace); err != nil {
			return err
		}
	}
	return nil
}

// addReplaced adds the folders that replace other modules. They are added whole, because modules outside the tree may
// import their packages.
func (s *slicer) addReplaced(root string, replaces []*modfile.Replace) error {
	for _, r := range replaces {
		if r.New.Version != "" || !modfile.IsDirectoryPath(r.New.Path) {
			continue
		}
		dir := path.Join(root, r.New.Path)
		if path.IsAbs(r.New.Path) || !fs.ValidPath(dir) || dir == "." {
			return whole("replace %s => %s leads to a folder that has more in it, or that isn't in the tree", r.Old.Path, r.New.Path)
		}
		s.globs[dir] = true
		s.keep(path.Join(dir, "go.mod"))
		s.modules = append(s.modules, local{path: r.Old.Path, dir: dir})
	}
	return nil
}

// keep adds files if they are there.
func (s *slicer) keep(names ...string) {
	for _, name := range names {
		if e := s.entries(path.Dir(name))[path.Base(name)]; e != nil && e.Type().IsRegular() {
			s.files[name] = true
		}
	}
}

// entries returns the entries of a folder, which is read once.
func (s *slicer) entries(dir string) map[string]fs.DirEntry { return s.Cache.entries(s.Tree, dir) }

// isDir reports whether a folder exists. It refuses a folder behind a symbolic link, because the link would have to be
// in the slice.
func (s *slicer) isDir(dir string) (bool, error) {
	if dir == "." {
		return true, nil
	}
	if !fs.ValidPath(dir) {
		return false, whole("%s is outside of the tree", dir)
	}
	parent, err := s.isDir(path.Dir(dir))
	if !parent || err != nil {
		return false, err
	}
	e := s.entries(path.Dir(dir))[path.Base(dir)]
	if e != nil && e.Type()&fs.ModeSymlink != 0 {
		return false, whole("%s is a symbolic link", dir)
	}
	return e != nil && e.IsDir(), nil
}

// resolve returns the folder of a package that a module of the tree has.
func (s *slicer) resolve(importPath string) (dir string, ok bool, err error) {
	best := -1
	for i, m := range s.modules {
		if (importPath == m.path || strings.HasPrefix(importPath, m.path+"/")) && (best < 0 || len(m.path) > len(s.modules[best].path)) {
			best = i
		}
	}
	if best < 0 {
		return "", false, nil
	}
	m := s.modules[best]
	dir = path.Join(m.dir, strings.TrimPrefix(importPath, m.path))
	ok, err = s.isDir(dir)
	if err != nil || !ok {
		return "", false, err
	}
	for above := dir; above != m.dir; above = path.Dir(above) {
		if s.entries(above)["go.mod"] != nil {
			return "", false, nil // another module's
		}
	}
	return dir, true, nil
}

// releaseTags returns go1.1 to go1.N for a toolchain of that release.
func releaseTags(version string) []string {
	_, minor, _ := strings.Cut(strings.TrimPrefix(version, "go"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	if i := strings.IndexFunc(minor, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		minor = minor[:i] // of 1.27rc1
	}
	n, err := strconv.Atoi(minor)
	if err != nil {
		return nil
	}
	var tags []string
	for i := 1; i <= min(n, 1000); i++ {
		tags = append(tags, "go1."+strconv.Itoa(i))
	}
	return tags
}

// ModFiles returns the slice's files that determine which modules there are.
func (s Slice) ModFiles() []string {
	var files []string
	for _, f := range s.Files {
		switch path.Base(f) {
		case "go.mod", "go.sum", "go.work", "go.work.sum":
			files = append(files, f)
		}
	}
	return files
}

// noFiles reports whether a folder has no Go files for the platform.
func noFiles(err error) bool {
	var none *build.NoGoError
	return errors.As(err, &none)
}
