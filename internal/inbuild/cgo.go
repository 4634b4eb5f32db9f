package inbuild

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/golang/gowords"
)

const (
	// sysroot is the folder from which a C toolchain takes the headers and libraries of the target platform, if it is
	// mounted there.
	sysroot = "/sysroot"

	cgoAdvice = "start the stage from an image that has Go and a C compiler, such as golang (FROM go has none), or set CGO_ENABLED=0"
)

// A cPlatform has the names that C toolchains use for one of Go's platforms.
type cPlatform struct {
	prefixes []string // of cross compilers, in front of -gcc: Debian's, then that of musl toolchains
	clang    string   // for clang --target=
	zig      string   // for zig cc -target; musl, since that is linked statically
	debian   string   // the package that has the compiler in Debian
	dir      string   // below /usr/lib, Debian's folder for libraries
}

// linux returns the platform of an architecture after which all toolchains are named.
func linux(arch, debian string) cPlatform {
	gnu := arch + "-linux-gnu"
	return cPlatform{prefixes: []string{gnu, arch + "-linux-musl"}, clang: gnu, zig: arch + "-linux-musl", debian: "gcc-" + debian + "-linux-gnu", dir: gnu}
}

// arm returns a platform of 32-bit ARM, whose toolchains differ in how they pass floating-point numbers.
func arm(abi string, musl []string, clang, zig string) cPlatform {
	gnu := "arm-linux-" + abi
	return cPlatform{prefixes: append([]string{gnu}, musl...), clang: clang, zig: zig, debian: "gcc-" + gnu, dir: gnu}
}

// cPlatforms has Debian's names (https://wiki.debian.org/Multiarch/Tuples) and those of musl-cross-make. Debian's armhf
// is for ARMv7, so v6 takes armel, whose C does floating point in software. mingw-w64 makes Windows programs.
var cPlatforms = map[string]cPlatform{
	"linux/386":     {[]string{"i686-linux-gnu", "i686-linux-musl"}, "i686-linux-gnu", "x86-linux-musl", "gcc-i686-linux-gnu", "i386-linux-gnu"},
	"linux/amd64":   linux("x86_64", "x86-64"),
	"linux/arm/5":   arm("gnueabi", []string{"arm-linux-musleabi"}, "armv5te-linux-gnueabi", "arm-linux-musleabi"),
	"linux/arm/6":   arm("gnueabi", []string{"arm-linux-musleabihf"}, "armv6-linux-gnueabihf", "arm-linux-musleabihf -mcpu=arm1176jzf_s"),
	"linux/arm/7":   arm("gnueabihf", []string{"armv7l-linux-musleabihf", "arm-linux-musleabihf"}, "armv7-linux-gnueabihf", "arm-linux-musleabihf"),
	"linux/arm64":   linux("aarch64", "aarch64"),
	"linux/loong64": linux("loongarch64", "loongarch64"),
	"linux/ppc64le": linux("powerpc64le", "powerpc64le"),
	"linux/riscv64": linux("riscv64", "riscv64"),
	"linux/s390x":   linux("s390x", "s390x"),
	"windows/amd64": {[]string{"x86_64-w64-mingw32"}, "", "x86_64-windows-gnu", "gcc-mingw-w64-x86-64", ""},
	"windows/386":   {[]string{"i686-w64-mingw32"}, "", "x86-windows-gnu", "gcc-mingw-w64-i686", ""},
}

// platform returns the platform for which an environment makes the go command compile.
func platform(env map[string]string) (name string, native bool) {
	goos, goarch := env["GOOS"], env["GOARCH"]
	if goos == "" {
		goos = runtime.GOOS
	}
	if goarch == "" {
		goarch = runtime.GOARCH
	}
	name = goos + "/" + goarch
	native = name == runtime.GOOS+"/"+runtime.GOARCH
	if goarch == "arm" {
		version, _, _ := strings.Cut(env["GOARM"], ",")
		if version == "" {
			version = "7" // as the go command has it when it cross-compiles
		}
		name += "/" + version
	}
	return name, native
}

// setCgo sets CGO_ENABLED and, if a line compiles with cgo, the C compiler. Values that the user set are kept.
func (l *goLine) setCgo(env map[string]string, subcommand string) error {
	switch l.Cgo {
	case "true":
		env["CGO_ENABLED"] = "1"
	case "false":
		env["CGO_ENABLED"] = "0"
	default:
		setDefault(env, "CGO_ENABLED", "0")
	}
	if env["CGO_ENABLED"] != "1" || !slices.Contains([]string{"build", "install", "run", "test", "vet"}, subcommand) {
		return nil
	}
	if env["CC"] != "" {
		cc, err := gowords.Quoted(env["CC"])
		if err == nil && len(cc) > 0 {
			_, err = exec.LookPath(cc[0])
		}
		if err != nil {
			return fmt.Errorf("CGO_ENABLED=1 and CC=%s, but this stage has no such C compiler: %s", env["CC"], cgoAdvice)
		}
		return nil
	}
	name, native := platform(env)
	chosen, err := chooseCompiler(name, native, hasSysroot(sysroot), hasLibC("/"))
	if err != nil {
		return err
	}
	for _, kv := range chosen {
		setDefault(env, kv[0], kv[1])
	}
	l.compiler = env["CC"] + ", for " + name
	return nil
}

// hasSysroot reports whether a folder holds a root file system for a C compiler.
func hasSysroot(dir string) bool {
	for _, sub := range []string{"usr", "lib", "include"} {
		if info, err := os.Stat(filepath.Join(dir, sub)); err == nil && info.IsDir() {
			return true
		}
	}
	return false
}

// hasLibC reports whether a root file system has the loader of glibc or musl.
func hasLibC(root string) bool {
	for _, dir := range []string{"lib", "lib64", "lib/*"} {
		if found, _ := filepath.Glob(filepath.Join(root, dir, "ld-*.so*")); len(found) > 0 {
			return true
		}
	}
	return false
}

// chooseCompiler returns variables of the go command for a platform's C compiler, as names and values. For the
// builder's own platform it chooses gcc or clang, as go does, else cc. For other platforms it chooses a cross compiler,
// or clang with a sysroot. It takes zig for any platform if it finds no other. For the builder's platform zig links
// with the C library of the stage, if there is one, otherwise with its own musl.
func chooseCompiler(name string, native, withSysroot, withLibC bool) (vars [][2]string, err error) {
	p, root := cPlatforms[name], ""
	if withSysroot {
		root = " --sysroot=" + sysroot
		vars = pkgConfig(p, sysroot)
	} else if !native {
		vars = pkgConfig(p, "")
	}
	set := func(cc, cxx, flags string) [][2]string {
		if flags != "" {
			// The linker tries which flags the compiler knows, with those of CGO_LDFLAGS but without those of CC.
			vars = append(vars, [2]string{"CGO_LDFLAGS", "-O2 -g" + flags})
		}
		return append([][2]string{{"CC", cc + flags}, {"CXX", cxx + flags}}, vars...)
	}
	if native {
		for _, cc := range [][2]string{{"gcc", "g++"}, {"clang", "clang++"}, {"cc", "c++"}} {
			if onPath(cc[0]) {
				return set(cc[0], cc[1], root), nil
			}
		}
	}
	for _, prefix := range p.prefixes {
		for _, cc := range [][2]string{{"gcc", "g++"}, {"clang", "clang++"}} {
			if onPath(prefix + "-" + cc[0]) {
				vars = append(vars, tool("AR", prefix+"-ar")...)
				vars = append(vars, tool("PKG_CONFIG", prefix+"-pkg-config")...)
				return set(prefix+"-"+cc[0], prefix+"-"+cc[1], root), nil
			}
		}
	}
	if !native && withSysroot && p.clang != "" && onPath("clang") {
		vars = append(vars, tool("AR", "llvm-ar")...)
		flags := root + " --target=" + p.clang
		if onPath("ld.lld") { // the builder's own linker knows its own platform alone
			flags += " -fuse-ld=lld -Wno-unused-command-line-argument"
		}
		return set("clang", "clang++", flags), nil
	}
	if onPath("zig") && native && withLibC {
		return set("zig cc", "zig c++", ""), nil // without the sysroot: zig doesn't look there
	}
	if onPath("zig") && p.zig != "" {
		return set("zig cc -target "+p.zig, "zig c++ -target "+p.zig, ""), nil
	}
	return nil, noCompiler(name, native, p)
}

func noCompiler(name string, native bool, p cPlatform) error {
	switch {
	case native:
		return fmt.Errorf("CGO_ENABLED=1, but this stage has no C compiler: %s", cgoAdvice)
	case len(p.prefixes) == 0:
		return fmt.Errorf("CGO_ENABLED=1, but which C compiler makes programs for %s isn't known: set CC in the stage, or CGO_ENABLED=0", name)
	}
	return fmt.Errorf("CGO_ENABLED=1, but this stage has no C compiler for %s: install %s-gcc (Debian's package %s), or clang and mount a root file system of that platform at %s, or zig; or set CC, or CGO_ENABLED=0",
		name, p.prefixes[0], p.debian, sysroot)
}

// pkgConfig returns variables with which pkg-config finds the libraries of the target platform, and none of the
// builder's.
func pkgConfig(p cPlatform, root string) [][2]string {
	if p.dir == "" {
		return nil
	}
	dirs := []string{root + "/usr/lib/" + p.dir + "/pkgconfig", root + "/usr/share/pkgconfig"}
	if root == "" {
		return [][2]string{{"PKG_CONFIG_LIBDIR", strings.Join(dirs, ":")}}
	}
	dirs = slices.Insert(dirs, 1, root+"/usr/lib64/pkgconfig", root+"/usr/lib/pkgconfig")
	return [][2]string{{"PKG_CONFIG_LIBDIR", strings.Join(dirs, ":")}, {"PKG_CONFIG_SYSROOT_DIR", root}}
}

// tool returns a variable set to a program, if the program exists.
func tool(key, program string) [][2]string {
	if !onPath(program) {
		return nil
	}
	return [][2]string{{key, program}}
}

func onPath(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
