package elflibs

import (
	"bufio"
	"debug/elf"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// multiarch maps an architecture to the folders below /lib in which Debian and similar systems keep libraries.
var multiarch = map[elf.Machine][]string{
	elf.EM_386:       {"i386-linux-gnu"},
	elf.EM_X86_64:    {"x86_64-linux-gnu"},
	elf.EM_ARM:       {"arm-linux-gnueabihf", "arm-linux-gnueabi"},
	elf.EM_AARCH64:   {"aarch64-linux-gnu"},
	elf.EM_PPC64:     {"powerpc64le-linux-gnu", "powerpc64-linux-gnu"},
	elf.EM_S390:      {"s390x-linux-gnu"},
	elf.EM_RISCV:     {"riscv64-linux-gnu"},
	elf.EM_LOONGARCH: {"loongarch64-linux-gnu"},
	elf.EM_MIPS:      {"mips64el-linux-gnuabi64", "mipsel-linux-gnu", "mips-linux-gnu", "mips64-linux-gnuabi64"},
}

// look looks for a library in the folders that the loader would search, and returns these too.
func (s *search) look(by *mappedFile, name string) (*mappedFile, []string) {
	named := s.rpaths(by)
	dirs := slices.Concat(named, s.configured)
	if !by.noDefault {
		dirs = append(dirs, s.defaults...)
	}
	for i, dir := range dirs {
		if lib := s.at(path.Join(dir, name)); lib != nil {
			lib.cached = i >= len(named) && !slices.Contains(s.defaults, dir)
			return lib, nil
		}
	}
	slices.Sort(dirs)
	return nil, slices.Compact(dirs)
}

// rpaths returns the folders in an object's rpath and runpath, and those in the rpaths of the objects that loaded it.
func (s *search) rpaths(o *mappedFile) (dirs []string) {
	if s.musl != "" { // which makes no difference between the two
		for up := o; up != nil; up = up.by {
			dirs = append(dirs, s.expand(up, up.runpath)...)
			dirs = append(dirs, s.expand(up, up.rpath)...)
		}
		return dirs
	}
	if len(o.runpath) > 0 {
		return s.expand(o, o.runpath)
	}
	for up := o; up != nil; up = up.by {
		if len(up.runpath) == 0 {
			dirs = append(dirs, s.expand(up, up.rpath)...)
		}
	}
	return dirs
}

// expand replaces $ORIGIN and $LIB. It leaves out folders that depend on where the program is started.
func (s *search) expand(o *mappedFile, dirs []string) (all []string) {
	for _, dir := range dirs {
		dir = strings.NewReplacer("${ORIGIN}", path.Dir(o.path), "$ORIGIN", path.Dir(o.path), "${LIB}", "$LIB").Replace(dir)
		libs := []string{""}
		if strings.Contains(dir, "$LIB") {
			libs = []string{"lib", "lib64"}
			for _, sub := range multiarch[o.machine] {
				libs = append(libs, "lib/"+sub)
			}
		}
		for _, lib := range libs {
			if d := strings.ReplaceAll(dir, "$LIB", lib); path.IsAbs(d) {
				all = append(all, path.Clean(d))
			}
		}
	}
	return all
}

// ownFolders returns the folders that are built into the loader. It leaves out /lib where that is a link to /usr/lib,
// as on most systems, so that files have the same paths as there.
func (s *search) ownFolders() (dirs []string) {
	if s.musl != "" {
		if len(s.configured) > 0 {
			return nil // they stand in place of its own
		}
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	for _, sub := range multiarch[s.program.machine] {
		dirs = append(dirs, "/usr/lib/"+sub, "/lib/"+sub)
	}
	if s.program.class == elf.ELFCLASS64 {
		dirs = append(dirs, "/usr/lib64", "/lib64")
		if s.program.machine == elf.EM_RISCV {
			dirs = append(dirs, "/usr/lib64/lp64d", "/lib64/lp64d")
		}
	}
	return append(dirs, "/usr/lib", "/lib")
}

// These are bounds on a loader's configuration.
const (
	maxConfig   = 1 << 20 // bytes of a file
	maxIncludes = 100     // files in all
)

func muslConfig(arch string) string { return "/etc/ld-musl-" + arch + ".path" }

// configuration returns the folders of the loader's configuration: /etc/ld.so.conf, or musl's own file.
func (s *search) configuration() (dirs []string) {
	for _, root := range s.roots {
		if s.musl != "" {
			for line := range configLines(root, muslConfig(s.musl)) {
				dirs = append(dirs, strings.Split(line, ":")...)
			}
			continue
		}
		left := maxIncludes
		dirs = append(dirs, ldConfig(root, "/etc/ld.so.conf", &left)...)
	}
	return slices.DeleteFunc(dirs, func(dir string) bool { return !path.IsAbs(dir) })
}

// ldConfig reads a configuration file of ldconfig: a folder on each line, comments, and "include PATTERN".
func ldConfig(root fs.FS, name string, left *int) (dirs []string) {
	if *left--; *left < 0 {
		return nil
	}
	for line := range configLines(root, name) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] != "include" {
			dirs = append(dirs, strings.TrimSuffix(words[0], "/"))
			continue
		}
		for _, pattern := range words[1:] {
			if !path.IsAbs(pattern) {
				pattern = path.Join(path.Dir(name), pattern)
			}
			files, _ := fs.Glob(root, strings.TrimPrefix(pattern, "/")) // a bad pattern names nothing
			for _, file := range files {
				dirs = append(dirs, ldConfig(root, "/"+file, left)...)
			}
		}
	}
	return dirs
}

// configLines yields the lines of a file, or none if the file is missing.
func configLines(root fs.FS, name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		real, _, err := resolve(root, name)
		if err != nil {
			return
		}
		f, err := root.Open(real)
		if err != nil {
			return
		}
		defer f.Close()
		lines := bufio.NewScanner(io.LimitReader(f, maxConfig))
		for lines.Scan() && yield(strings.TrimSpace(lines.Text())) {
		}
	}
}
