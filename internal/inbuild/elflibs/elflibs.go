// Package elflibs finds the shared libraries that programs need, as the dynamic loader of glibc or musl would find them,
// without running anything: the programs may be hostile, or for another architecture. It exists because a program that
// uses cgo runs only where its loader and its libraries are, and a base such as scratch lacks them.
//
// What is read is described in the ELF specification (generic ABI, chapter 5), ld.so(8), and musl's ldso/dynlink.c. What
// a program opens by name while it runs (dlopen) can't be seen.
package elflibs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// most is the greatest number of libraries of one program: real programs have at most a few hundred.
const most = 1000

// A Program is an executable, or a library that another program loads.
type Program struct {
	Path string // absolute, where it is when it runs: for $ORIGIN and in errors
	File io.ReaderAt
}

// A File is a file that a program needs from a root file system: a regular file, or a symbolic link on the way to one.
type File struct {
	Root int    // the index of the root that has it
	Path string // without a leading slash; no part but the last is a link
	Link string // what a link points to; "" for a regular file
}

// A MissingError says that a program can't run because a file that it needs is missing.
type MissingError struct {
	Program string
	By      string   // the library of the program that needs it; "" if that is the program itself
	Name    string   // the library or, with a leading slash, the loader
	Folders []string // that were looked in; none for a path
}

func (e *MissingError) Error() string {
	text := shown(e.Program) + " needs "
	if e.By != "" {
		text = shown(e.Program) + " needs " + shown(e.By) + ", which needs "
	}
	text += shown(e.Name)
	if len(e.Folders) == 0 {
		return text + ", which is not there"
	}
	return text + ", which is in none of " + shown(strings.Join(e.Folders, ", "))
}

// shown quotes a name from an untrusted file so that it can't control a terminal.
func shown(s string) string {
	if quoted := strconv.Quote(s); quoted != `"`+s+`"` {
		return quoted
	}
	return s
}

// Find returns the loader and the libraries that programs need, and the links that lead to them, sorted by path and each
// once. The parameter roots has root file systems, whose symbolic links are followed as if each were "/". A library is
// taken from the first root that has it in a folder. The error joins a MissingError for each file that no root has. It
// is an error if a program isn't ELF or is damaged. A static program needs nothing.
func Find(roots []fs.FS, programs ...Program) ([]File, error) {
	found := map[File]bool{}
	var errs []error
	for _, p := range programs {
		o, err := read(p.File)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", shown(p.Path), err)
		}
		s := newSearch(roots, p.Path, o)
		if err := s.run(); err != nil {
			errs = append(errs, err)
		}
		for _, f := range s.files {
			found[f] = true
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	files := make([]File, 0, len(found))
	for f := range found {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Root, b.Root), strings.Compare(a.Link, b.Link))
	})
	// Two roots may have one path: the first counts.
	return slices.CompactFunc(files, func(a, b File) bool { return a.Path == b.Path }), nil
}

// A mappedFile is a file that the loader would map.
type mappedFile struct {
	*object
	path   string      // as it was looked up
	real   string      // without links; "" for the program
	root   int         // which has it
	by     *mappedFile // what needs it
	cached bool        // it is in a folder that the loader knows from its configuration alone
}

// A search finds the files that one program needs.
type search struct {
	roots   []fs.FS
	program *mappedFile
	byName  map[string]*mappedFile // nil for what is missing, or is a part of the loader
	queue   []*mappedFile
	files   []File
	musl    string // the architecture in the name of musl's loader, or ""

	configured, defaults []string // folders that are looked in
}

func newSearch(roots []fs.FS, name string, o *object) *search {
	s := &search{roots: roots, program: &mappedFile{object: o, path: name}, byName: map[string]*mappedFile{}}
	loader := path.Base(o.interp)
	if arch, ok := strings.CutPrefix(loader, "ld-musl-"); ok {
		s.musl, _, _ = strings.Cut(arch, ".")
	}
	s.queue = []*mappedFile{s.program}
	s.configured = s.configuration()
	s.defaults = s.ownFolders()
	return s
}

func (s *search) run() error {
	var errs []error
	if s.program.interp != "" {
		loader := s.at(s.program.interp)
		if loader == nil {
			errs = append(errs, &MissingError{Program: s.program.path, Name: s.program.interp})
		}
		s.byName[path.Base(s.program.interp)] = loader
	}
	for len(s.queue) > 0 {
		o := s.queue[0]
		s.queue = s.queue[1:]
		for _, name := range o.needed {
			if err := s.need(o, name); err != nil {
				errs = append(errs, err)
			}
		}
		if len(s.byName) > most {
			return fmt.Errorf("%s needs more than %d libraries", shown(s.program.path), most)
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	s.addNames()
	s.addConfig()
	return nil
}

// need finds a library and adds it, unless it was added already.
func (s *search) need(by *mappedFile, name string) error {
	if _, ok := s.byName[name]; ok || s.musl != "" && isMuslsOwn(name) {
		return nil
	}
	missing := &MissingError{Program: s.program.path, Name: name}
	if by != s.program {
		missing.By = by.path
	}
	var lib *mappedFile
	if strings.Contains(name, "/") {
		lib = s.at(name)
	} else {
		lib, missing.Folders = s.look(by, name)
	}
	s.byName[name] = lib
	if lib == nil {
		return missing
	}
	lib.by = by
	s.queue = append(s.queue, lib)
	return nil
}

// isMuslsOwn reports whether a library is a part of musl's loader, which looks for no file then.
func isMuslsOwn(name string) bool {
	base, ok := strings.CutPrefix(name, "lib")
	base, _, dot := strings.Cut(base, ".")
	return ok && dot && slices.Contains([]string{"c", "pthread", "rt", "m", "dl", "util", "xnet"}, base)
}

// addNames adds the libraries that glibc before 2.34 opens to look up hosts and users, and links for libraries in
// folders that /etc/ld.so.conf lists. The loader doesn't read that file but a cache made from it, which won't be in the
// target: so it needs a link beside the C library.
func (s *search) addNames() {
	libc := s.byName["libc.so.6"]
	if libc == nil {
		return
	}
	for _, name := range []string{"libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"} {
		if s.byName[name] == nil {
			s.at(path.Join(path.Dir(libc.path), name))
		}
	}
	for name, lib := range s.byName {
		link := path.Join(path.Dir(libc.real), name)
		if lib != nil && lib.cached && link != lib.real {
			s.files = append(s.files, File{Root: lib.root, Path: link, Link: "/" + lib.real})
		}
	}
}

// addConfig adds the file that lists the folders for musl's loader.
func (s *search) addConfig() {
	if s.musl == "" {
		return
	}
	for i, root := range s.roots {
		if real, links, err := resolve(root, muslConfig(s.musl)); err == nil {
			s.add(i, real, links)
			return
		}
	}
}

// at returns the library at an absolute path, or nil.
func (s *search) at(name string) *mappedFile {
	if !path.IsAbs(name) {
		return nil // it depends on where the program is started
	}
	for i, root := range s.roots {
		real, links, err := resolve(root, name)
		if err != nil {
			continue
		}
		o, err := readFile(root, real)
		if err != nil || !o.fits(s.program.object) {
			continue // as the loader does with one for another architecture
		}
		s.add(i, real, links)
		return &mappedFile{object: o, path: name, real: real, root: i}
	}
	return nil
}

func (s *search) add(root int, real string, links []File) {
	for _, l := range links {
		l.Root = root
		s.files = append(s.files, l)
	}
	s.files = append(s.files, File{Root: root, Path: real})
}
