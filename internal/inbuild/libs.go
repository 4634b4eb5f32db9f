package inbuild

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/inbuild/elflibs"
)

// takeLibraries copies the loader and the libraries of the programs that a GO line wrote into the folder --libs, at
// their own paths. If the folder is laid over an empty root file system, the programs run there.
func (l *goLine) takeLibraries(words, env []string, stderr io.Writer) error {
	programs, closeAll, err := l.programs(words)
	defer closeAll()
	if err != nil {
		return fmt.Errorf("--libs=%s: %w", l.Libs, err)
	}
	roots, closeRoots, err := libraryRoots(env)
	defer closeRoots()
	if err != nil {
		return fmt.Errorf("--libs=%s: %w", l.Libs, err)
	}
	files, err := elflibs.Find(roots, programs...)
	if err != nil {
		return fmt.Errorf("--libs=%s: %w\ninstall what is missing in this stage, or link statically with -ldflags='-linkmode external -extldflags -static'", l.Libs, err)
	}
	if err := os.MkdirAll(l.Libs, 0o755); err != nil {
		return fmt.Errorf("--libs=%s: %w", l.Libs, err)
	}
	out, err := os.OpenRoot(l.Libs)
	if err != nil {
		return fmt.Errorf("--libs=%s: %w", l.Libs, err)
	}
	defer out.Close()
	var copied []string
	for _, f := range files {
		if err := takeFile(out, roots[f.Root], f); err != nil {
			return fmt.Errorf("--libs=%s: copying /%s: %w", l.Libs, f.Path, err)
		}
		if f.Link == "" {
			copied = append(copied, f.Path)
		}
	}
	if len(copied) == 0 {
		fmt.Fprintf(stderr, "larder: --libs=%s: nothing is needed: what was built is linked statically\n", l.Libs)
		return nil
	}
	fmt.Fprintf(stderr, "larder: --libs=%s: copied %s\n", l.Libs, strings.Join(copied, ", "))
	return nil
}

// programs opens the files that -o names: a program, or a folder of programs.
func (l *goLine) programs(words []string) (programs []elflibs.Program, closeAll func(), err error) {
	closeAll = func() {
		for _, p := range programs {
			p.File.(*os.File).Close()
		}
	}
	out := outputOf(words)
	if out == "" {
		return nil, closeAll, errors.New("the line has no -o, so what it builds isn't known: write -o with an absolute path")
	}
	if !filepath.IsAbs(out) {
		out = filepath.Join(l.Dir, out)
	}
	names := []string{out}
	if entries, err := os.ReadDir(out); err == nil {
		names = nil
		for _, e := range entries {
			names = append(names, filepath.Join(out, e.Name()))
		}
	}
	for _, name := range names {
		if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return programs, closeAll, err
		}
		if !isELF(f) {
			f.Close()
			continue
		}
		programs = append(programs, elflibs.Program{Path: name, File: f})
	}
	if len(programs) == 0 {
		return nil, closeAll, fmt.Errorf("there is no ELF program at %s, where -o has it", out)
	}
	return programs, closeAll, nil
}

// outputOf returns the value of the flag -o.
func outputOf(words []string) string {
	for i, w := range words[1:] {
		w = oneDash(w)
		if value, ok := strings.CutPrefix(w, "-o="); ok {
			return value
		}
		if w == "-o" && i+2 < len(words) {
			return words[i+2]
		}
	}
	return ""
}

func isELF(r io.ReaderAt) bool {
	magic := make([]byte, len(elf.ELFMAG))
	_, err := r.ReadAt(magic, 0)
	return err == nil && string(magic) == elf.ELFMAG
}

// libraryRoots returns the root file systems with the target platform's libraries. They are the sysroot if there is
// one, else the stage itself, followed by the folders of Debian's cross compiler there.
func libraryRoots(env []string) (roots []fs.FS, closeAll func(), err error) {
	var opened []*os.Root
	closeAll = func() {
		for _, r := range opened {
			r.Close()
		}
	}
	base := "/"
	if hasSysroot(sysroot) {
		base = sysroot
	}
	dirs, vars := []string{base}, map[string]string{}
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	if name, native := platform(vars); !native {
		for _, prefix := range cPlatforms[name].prefixes {
			if dir := filepath.Join(base, "usr", prefix); hasSysroot(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	for _, dir := range dirs {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, closeAll, err
		}
		opened = append(opened, root)
		roots = append(roots, root.FS())
	}
	return roots, closeAll, nil
}

// takeFile copies a file, or makes a link, into out.
func takeFile(out *os.Root, root fs.FS, f elflibs.File) error {
	if err := out.MkdirAll(path.Dir(f.Path), 0o755); err != nil {
		return err
	}
	if f.Link != "" {
		if target, err := out.Readlink(f.Path); err == nil && target == f.Link {
			return nil
		}
		if err := out.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return out.Symlink(f.Link, f.Path)
	}
	in, err := root.Open(f.Path)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	temp := path.Join(path.Dir(f.Path), ".larder-"+path.Base(f.Path))
	to, err := out.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, in)
	if err = errors.Join(err, to.Chmod(info.Mode().Perm()), to.Close()); err != nil {
		return errors.Join(err, out.Remove(temp))
	}
	return out.Rename(temp, f.Path)
}
