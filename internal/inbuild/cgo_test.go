package inbuild

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withPrograms has PATH hold programs of these names and nothing else.
func withPrograms(t *testing.T, names string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for name := range strings.FieldsSeq(names) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o755))
	}
}

func TestChooseCompiler(t *testing.T) {
	for _, tt := range []struct {
		programs, platform string
		native, sysroot    bool
		want               string // KEY=VALUE, sorted by how they are tried; % is a space
	}{
		{"cc clang gcc zig", "linux/amd64", true, false, "CC=gcc CXX=g++"},
		{"cc clang zig", "linux/amd64", true, false, "CC=clang CXX=clang++"},
		{"cc zig", "linux/amd64", true, false, "CC=cc CXX=c++"},
		{"x86_64-linux-musl-gcc x86_64-linux-musl-ar zig", "linux/amd64", true, false, "CC=x86_64-linux-musl-gcc CXX=x86_64-linux-musl-g++ AR=x86_64-linux-musl-ar"},
		{"zig", "linux/amd64", true, false, "CC=zig%cc CXX=zig%c++"},
		{"gcc", "linux/amd64", true, true, "CC=gcc%--sysroot=/sysroot CXX=g++%--sysroot=/sysroot PKG_CONFIG_SYSROOT_DIR=/sysroot " +
			"PKG_CONFIG_LIBDIR=/sysroot/usr/lib/x86_64-linux-gnu/pkgconfig:/sysroot/usr/lib64/pkgconfig:/sysroot/usr/lib/pkgconfig:/sysroot/usr/share/pkgconfig"},

		{"gcc zig aarch64-linux-gnu-gcc aarch64-linux-gnu-ar aarch64-linux-gnu-pkg-config", "linux/arm64", false, false,
			"CC=aarch64-linux-gnu-gcc CXX=aarch64-linux-gnu-g++ AR=aarch64-linux-gnu-ar PKG_CONFIG=aarch64-linux-gnu-pkg-config PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig"},
		{"aarch64-linux-gnu-gcc", "linux/arm64", false, true, "CC=aarch64-linux-gnu-gcc%--sysroot=/sysroot"},
		{"aarch64-linux-musl-gcc", "linux/arm64", false, false, "CC=aarch64-linux-musl-gcc"},
		{"arm-linux-gnueabihf-gcc arm-linux-gnueabi-gcc", "linux/arm/7", false, false, "CC=arm-linux-gnueabihf-gcc"},
		{"arm-linux-gnueabihf-gcc arm-linux-gnueabi-gcc", "linux/arm/6", false, false, "CC=arm-linux-gnueabi-gcc"},
		{"arm-linux-gnueabi-gcc", "linux/arm/5", false, false, "CC=arm-linux-gnueabi-gcc"},
		{"i686-linux-gnu-gcc", "linux/386", false, false, "CC=i686-linux-gnu-gcc PKG_CONFIG_LIBDIR=/usr/lib/i386-linux-gnu/pkgconfig:/usr/share/pkgconfig"},
		{"x86_64-w64-mingw32-gcc", "windows/amd64", false, false, "CC=x86_64-w64-mingw32-gcc"},

		{"clang llvm-ar", "linux/s390x", false, true, "CC=clang%--sysroot=/sysroot%--target=s390x-linux-gnu CXX=clang++%--sysroot=/sysroot%--target=s390x-linux-gnu AR=llvm-ar"},
		{"clang ld.lld", "linux/arm/6", false, true, "CC=clang%--sysroot=/sysroot%--target=armv6-linux-gnueabihf%-fuse-ld=lld%-Wno-unused-command-line-argument CGO_LDFLAGS=-O2%-g%--sysroot=/sysroot%--target=armv6-linux-gnueabihf%-fuse-ld=lld%-Wno-unused-command-line-argument"},
		{"clang zig", "linux/riscv64", false, false, "CC=zig%cc%-target%riscv64-linux-musl CXX=zig%c++%-target%riscv64-linux-musl"},
		{"zig", "linux/arm/6", false, true, "CC=zig%cc%-target%arm-linux-musleabihf%-mcpu=arm1176jzf_s"},
	} {
		withPrograms(t, tt.programs)
		vars, err := chooseCompiler(tt.platform, tt.native, tt.sysroot, true)
		require.NoError(t, err, tt)
		got := map[string]string{}
		for _, kv := range vars {
			got[kv[0]] = kv[1]
		}
		for kv := range strings.FieldsSeq(tt.want) {
			key, value, _ := strings.Cut(kv, "=")
			require.Equal(t, strings.ReplaceAll(value, "%", " "), got[key], "%s of %v", key, tt)
		}
	}
}

// In a stage without a C library, such as FROM go, zig links with its own.
func TestZigWithoutLibC(t *testing.T) {
	withPrograms(t, "zig")
	vars, err := chooseCompiler("linux/amd64", true, false, false)
	require.NoError(t, err)
	require.Equal(t, [2]string{"CC", "zig cc -target x86_64-linux-musl"}, vars[0])

	root := t.TempDir()
	require.False(t, hasLibC(root))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "lib", "aarch64-linux-gnu"), 0o755))
	require.False(t, hasLibC(root))
	require.NoError(t, os.WriteFile(filepath.Join(root, "lib", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"), nil, 0o755))
	require.True(t, hasLibC(root))
}

func TestNoCompiler(t *testing.T) {
	withPrograms(t, "clang")
	for _, tt := range []struct {
		platform, want string
		native         bool
	}{
		{"linux/riscv64", "CGO_ENABLED=1, but this stage has no C compiler for linux/riscv64: install riscv64-linux-gnu-gcc (Debian's package gcc-riscv64-linux-gnu), or clang and mount a root file system of that platform at /sysroot, or zig; or set CC, or CGO_ENABLED=0", false},
		{"darwin/arm64", "CGO_ENABLED=1, but which C compiler makes programs for darwin/arm64 isn't known: set CC in the stage, or CGO_ENABLED=0", false},
	} {
		_, err := chooseCompiler(tt.platform, tt.native, false, false)
		require.EqualError(t, err, tt.want)
	}
	withPrograms(t, "")
	_, err := compose(t, "--cgo=true", "", "test")
	require.EqualError(t, err, "CGO_ENABLED=1, but this stage has no C compiler: start the stage from an image that has Go and a C compiler, such as golang (FROM go has none), or set CGO_ENABLED=0")
	_, err = compose(t, "--cgo=true", "GOARCH=s390x", "build")
	require.ErrorContains(t, err, "no C compiler for linux/s390x")
}

// The stage's own settings win, and what runs is compiled for the builder.
func TestGoLineCompiler(t *testing.T) {
	withPrograms(t, "gcc own-cc s390x-linux-gnu-gcc arm-linux-gnueabihf-gcc")
	target := targetFile(t, "GOOS=linux\nGOARCH=s390x\n")
	for _, tt := range []struct{ flags, stage, line, want string }{
		{"", "", "build", "CC=gcc CXX=g++ PKG_CONFIG_LIBDIR=-"},
		{"", "GOARCH=arm", "build", "CC=arm-linux-gnueabihf-gcc"},
		{"--target " + target, "", "build", "CC=s390x-linux-gnu-gcc CXX=s390x-linux-gnu-g++"},
		{"--target " + target, "CC=own-cc -x|CXX=own", "build", "CC=own-cc%-x CXX=own PKG_CONFIG_LIBDIR=-"},
		{"--target " + target, "CXX=own|PKG_CONFIG_LIBDIR=/own", "build", "CC=s390x-linux-gnu-gcc CXX=own PKG_CONFIG_LIBDIR=/own"},
		{"--target " + target, "", "test", "CC=gcc"},
		{"--target " + target, "", "version", "CC=-"},
	} {
		env, err := compose(t, "--cgo=true "+tt.flags, tt.stage, tt.line)
		require.NoError(t, err, tt)
		for want := range strings.FieldsSeq(tt.want) {
			key, value, _ := strings.Cut(want, "=")
			require.Equal(t, strings.ReplaceAll(value, "%", " "), env(key), "%s of %v", key, tt)
		}
	}
}

const (
	cgoMain = "package main\n\n// int one() { return 1; }\nimport \"C\"\n\nfunc main() { println(int(C.one())) }\n"
	halfC   = "package half\n\nimport \"C\"\n\nfunc hidden() {}\n"
)

func TestCgoHints(t *testing.T) {
	for _, tt := range []struct {
		files []string
		want  string // in stderr; "" for no advice of Larder's
	}{
		{[]string{"main.go", cgoMain}, "larder: the package in %s needs cgo, which is off here (CGO_ENABLED=0): write GO --cgo in a stage that has a C compiler"},
		{[]string{"main.go", "package main\n\nimport _ \"x.example/y/c\"\n\nfunc main() {}\n", "c/c.go", strings.Replace(cgoMain, "main", "c", 1)}, "larder: the package in %s/c needs cgo"},
		{[]string{"main.go", "package main\n\nimport _ \"x.example/y/c\"\n\nfunc main() {}\n", "c/c.go", halfC, "c/half.go", "package half\n\nfunc Seen() { hidden() }\n"}, "larder: the package in %s/c needs cgo"},
		{[]string{"main.go", "package main\n\nfunc main() { nothing() }\n"}, ""},
		{[]string{"main.go", "//go:build windows\n\npackage main\n\nfunc main() {}\n"}, ""},
	} {
		dir := makeTree(t, tt.files...)
		code, _, stderr := goLineIn(t, dir, "build -o "+t.TempDir()+"/ .")
		require.Equal(t, 1, code)
		if tt.want == "" {
			require.NotContains(t, stderr, "larder:")
		} else {
			require.Contains(t, stderr, strings.ReplaceAll(tt.want, "%s", dir))
		}
	}
	l := &listener{}
	for line, want := range map[string]string{
		`cgo: C compiler "own-cc" not found: exec: "own-cc": executable file not found in $PATH`:             "this stage has no C compiler own-cc: start",
		"./db.go:5:11: fatal error: sqlite3.h: No such file or directory":                                    "the C header sqlite3.h is not in this stage",
		"./db.go:5:11: fatal error: 'sqlite3.h' file not found":                                              "the C header sqlite3.h is not in this stage",
		"/usr/bin/ld: cannot find -lsqlite3: No such file or directory":                                      "the C library sqlite3 is not in this stage, or not for the target platform: install the package that has it; -static needs the archive libsqlite3.a",
		"ld.lld: error: unable to find library -lz":                                                          "the C library z is not in this stage",
		`# pkg-config --cflags  -- zlib: exec: "pkg-config": executable file not found in $PATH: pkg-config`: "install pkg-config in this stage",
	} {
		l.hints = nil
		l.hear(line)
		require.Len(t, l.hints, 1, line)
		require.Contains(t, l.hints[0], want)
	}
}

// Libraries for what is built without a C compiler: a program that asks for a loader because it is told to.
func TestTakeLibraries(t *testing.T) {
	src, out, libs := makeTree(t, "main.go", versionMain), t.TempDir(), t.TempDir()
	code, _, stderr := goLineIn(t, src, "build -buildmode=pie -o "+out+"/ .", "--libs="+libs)
	require.Zero(t, code, stderr)
	program, err := elf.Open(filepath.Join(out, "y"))
	require.NoError(t, err)
	defer program.Close()
	var loader string
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			data := make([]byte, p.Filesz)
			_, err := p.ReadAt(data, 0)
			require.NoError(t, err)
			loader = strings.TrimSuffix(string(data), "\x00")
		}
	}
	require.NotEmpty(t, loader)
	root, err := os.OpenRoot(libs)
	require.NoError(t, err)
	defer root.Close()
	require.FileExists(t, filepath.Join(libs, loader), "the links that lead to the loader, and itself")
	require.Contains(t, stderr, "larder: --libs="+libs+": copied ")

	// What is copied is all that the image needs.
	require.NoError(t, os.Mkdir(filepath.Join(libs, "bin"), 0o755))
	require.NoError(t, os.Rename(filepath.Join(out, "y"), filepath.Join(libs, "bin", "y")))
	code, stdout, stderr := runStep(t, "check-libs", "--root", libs, "/bin/y", "/gone")
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "1 Go programs have all")
	bare := t.TempDir()
	require.NoError(t, os.Rename(filepath.Join(libs, "bin"), filepath.Join(bare, "bin")))
	require.NoError(t, os.WriteFile(filepath.Join(bare, "bin", "other"), []byte(elf.ELFMAG+" not Go's"), 0o755))
	code, _, stderr = runStep(t, "check-libs", "--root", bare, "/bin", "/")
	require.Equal(t, 1, code)
	require.Equal(t, "larder: the image lacks what programs made by cgo need to run:\nlarder: /bin/y needs "+loader+", which is not there\n"+
		"larder: copy it with GO --libs=DIR, link statically with -ldflags='-linkmode external -extldflags -static', or start the final stage from an image that has it\n", stderr)
}

func TestTakeLibrariesRefused(t *testing.T) {
	src, libs := makeTree(t, "main.go", versionMain), filepath.Join(t.TempDir(), "libs")
	code, _, stderr := goLineIn(t, src, "build -o "+t.TempDir()+"/ .", "--libs="+libs)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "nothing is needed: what was built is linked statically")
	requireEmpty(t, libs)

	code, _, stderr = goLineIn(t, src, "vet .", "--libs="+libs)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "the line has no -o")
	t.Setenv("GOOS", "windows")
	code, _, stderr = goLineIn(t, src, "build -o "+t.TempDir()+"/ .", "--libs="+libs)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "there is no ELF program at ")
	code, _, stderr = goLineIn(t, src, "build -o /out/ .", "--libs=libs")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "expected the absolute path of a folder")
}
