package goslice

import (
	"go/build"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
)

// match returns the folders that match a pattern, by the rules of 'go help packages'.
func (s *slicer) match(pattern string) ([]string, error) {
	clean, recursive := strings.CutSuffix(pattern, "/...")
	if pattern == "..." || strings.Contains(clean, "...") || strings.ContainsAny(pattern, "@$*") || strings.HasSuffix(pattern, ".go") {
		return nil, whole("%s is a pattern that isn't followed", pattern)
	}
	var dir string
	switch {
	case clean == "." || clean == ".." || strings.HasPrefix(clean, "./") || strings.HasPrefix(clean, "../"):
		dir = path.Join(s.Module.Dir, clean)
		if ok, err := s.isDir(dir); err != nil || !ok {
			return nil, orWhole(err, pattern)
		}
	case path.IsAbs(clean) || gomod.IsStandard(clean) && s.local(clean) == "":
		return nil, whole("%s is a pattern that isn't followed", pattern)
	case s.local(clean) == "":
		if recursive {
			return nil, whole("%s is a pattern that isn't followed", pattern)
		}
		s.imports[clean] = true
		return nil, nil
	default:
		found, ok, err := s.resolve(clean)
		if err != nil || !ok {
			return nil, orWhole(err, pattern)
		}
		dir = found
	}
	if !recursive {
		return []string{dir}, nil
	}
	return s.below(dir, nil)
}

func orWhole(err error, pattern string) error {
	if err != nil {
		return err
	}
	return whole("%s isn't there", pattern)
}

// local returns the path of the module of the tree that has an import path, or "".
func (s *slicer) local(importPath string) string {
	for _, m := range s.modules {
		if importPath == m.path || strings.HasPrefix(importPath, m.path+"/") {
			return m.path
		}
	}
	return ""
}

// below appends a folder and its subfolders that "..." matches. It skips folders of other modules, and folders whose
// names "..." skips.
func (s *slicer) below(dir string, dirs []string) ([]string, error) {
	if _, err := s.isDir(dir); err != nil {
		return nil, err
	}
	dirs = append(dirs, dir)
	entries := s.entries(dir)
	for _, name := range sortedNames(entries) {
		if !entries[name].IsDir() || gomod.PassedOver(name) {
			continue
		}
		sub := path.Join(dir, name)
		if s.ignores.Has(sub) {
			continue
		}
		if s.entries(sub)["go.mod"] != nil && !slices.ContainsFunc(s.modules, func(m local) bool { return m.dir == sub }) {
			continue
		}
		var err error
		if dirs, err = s.below(sub, dirs); err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

func sortedNames(entries map[string]fs.DirEntry) []string {
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// addAll adds the packages of some folders to the slice, and all packages that they import. It begins with the packages
// that the command line names: their tests may be needed, and they may have no files for the platform, because a
// pattern with "..." matches such packages too. Each further round adds the packages that the round before imports.
func (s *slicer) addAll(named []string) error {
	added := map[string]bool{}
	for round, first := named, true; len(round) > 0; first = false {
		var dirs []string
		for _, dir := range round {
			if !added[dir] {
				added[dir] = true
				dirs = append(dirs, dir)
			}
		}
		imports, err := s.addRound(dirs, first)
		if err != nil {
			return err
		}
		if round, err = s.resolveAll(imports); err != nil {
			return err
		}
	}
	return nil
}

// addRound adds the packages of some folders to the slice, and returns their imports, each once.
func (s *slicer) addRound(dirs []string, named bool) ([]string, error) {
	packages, errs := s.Cache.ImportDirs(s.ctxt, named && s.Tests, dirs)
	seen := map[string]bool{}
	for i, dir := range dirs {
		if err := errs[i]; err != nil && (!noFiles(err) || !named) {
			return nil, whole("%s: %v", dir, err)
		}
		p, tests := packages[i], named && s.Tests
		if named && p.Name == "main" {
			s.mains = append(s.mains, dir)
		}
		if err := s.addFiles(p, dir, tests); err != nil {
			return nil, err
		}
		lists := [][]string{p.Imports}
		if tests {
			lists = append(lists, p.TestImports, p.XTestImports, testMain)
		}
		for _, importPath := range slices.Concat(lists...) {
			seen[importPath] = true
		}
	}
	return sorted(seen), nil
}

// resolveAll returns the folders of those import paths that belong to modules of the tree. It adds the others to the
// slice's imports.
func (s *slicer) resolveAll(imports []string) ([]string, error) {
	found, errs := make([]string, len(imports)), make([]error, len(imports))
	sideBySide(len(imports), func(i int) { found[i], _, errs[i] = s.resolve(imports[i]) })
	var dirs []string
	for i, importPath := range imports {
		switch {
		case errs[i] != nil:
			return nil, errs[i]
		case found[i] != "":
			dirs = append(dirs, found[i])
		case importPath != "C" && importPath != "unsafe":
			s.imports[importPath] = true
		}
	}
	return dirs, nil
}

// testMain lists the imports of a test binary's main package, which the go command writes.
var testMain = []string{"os", "reflect", "testing", "testing/internal/testdeps"}

// addFiles adds the files of a package.
func (s *slicer) addFiles(p *build.Package, dir string, tests bool) error {
	for _, tag := range p.AllTags {
		if strings.Contains(tag, ".") && (s.Version == "" || !strings.HasPrefix(tag, "go1.")) {
			return whole("what %s has depends on the tag %s", dir, tag)
		}
	}
	lists := [][]string{p.GoFiles, p.CgoFiles, p.SFiles, p.HFiles, p.SysoFiles, p.InvalidGoFiles}
	embeds := p.EmbedPatterns
	s.noteMissing(dir, p.EmbedPatterns, p.EmbedPatternPos)
	if len(p.CgoFiles) > 0 {
		lists = append(lists, p.CFiles, p.CXXFiles, p.MFiles, p.FFiles, p.SwigFiles, p.SwigCXXFiles)
		s.addForeign(dir, cgoFiles)
	} else if len(p.SFiles) > 0 {
		s.addForeign(dir, []string{"h"}) // assembly may include a header of another folder
	}
	if !s.Cgo && slices.Contains(p.AllTags, "cgo") {
		lists = append(lists, p.IgnoredGoFiles) // that cgo is off is told by what go leaves out, if that fails
	}
	if tests {
		lists = append(lists, p.TestGoFiles, p.XTestGoFiles)
		embeds = slices.Concat(embeds, p.TestEmbedPatterns, p.XTestEmbedPatterns)
		s.noteMissing(dir, p.TestEmbedPatterns, p.TestEmbedPatternPos)
		s.noteMissing(dir, p.XTestEmbedPatterns, p.XTestEmbedPatternPos)
		s.globs[path.Join(dir, "testdata")] = true
	}
	for _, name := range slices.Concat(lists...) {
		file := path.Join(dir, name)
		if e := s.entries(dir)[name]; e == nil || !e.Type().IsRegular() {
			return whole("%s is a symbolic link", file)
		}
		s.files[file] = true
	}
	if p.Name == "main" {
		s.keep(path.Join(dir, "default.pgo")) // a profile that the go command looks for
	}
	for _, pattern := range embeds {
		glob := path.Join(dir, strings.TrimPrefix(pattern, "all:"))
		if strings.ContainsAny(pattern, `\!`) || !fs.ValidPath(glob) {
			return whole("%s embeds %s", dir, pattern)
		}
		s.globs[glob] = true
	}
	return nil
}

// cgoFiles are the extensions of files that a C compiler or a linker may read from a folder other than the package's.
var cgoFiles = []string{"h", "hh", "hpp", "hxx", "inc", "def", "c", "cc", "cpp", "cxx", "m", "mm", "s", "S", "sx", "f", "F", "for", "f90", "a", "so", "o", "syso"}

// addForeign adds all files with the given extensions from the module that a folder is in.
func (s *slicer) addForeign(dir string, extensions []string) {
	root := "."
	for _, m := range s.modules {
		if (dir == m.dir || strings.HasPrefix(dir, m.dir+"/")) && len(m.dir) > len(root) {
			root = m.dir
		}
	}
	for _, ext := range extensions {
		s.globs[path.Join(root, "**/*."+ext)] = true
	}
}
