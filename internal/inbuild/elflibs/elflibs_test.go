package elflibs_test

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/inbuild/elflibs"
	"github.com/stretchr/testify/require"
)

// tree makes a root file system of paths and texts in turn. A text "-> X" is a link to X.
func tree(files ...string) fs.FS {
	m := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		f := &fstest.MapFile{Data: []byte(files[i+1]), Mode: 0o644}
		if target, ok := bytes.CutPrefix(f.Data, []byte("-> ")); ok {
			f.Data, f.Mode = target, fs.ModeSymlink|0o777
		}
		m[files[i]] = f
	}
	return m
}

func find(p image, roots ...fs.FS) ([]string, error) {
	files, err := elflibs.Find(roots, elflibs.Program{Path: "/opt/app/bin/app", File: bytes.NewReader(p.bytes())})
	var list []string
	for _, f := range files {
		line := f.Path
		if f.Link != "" {
			line += " -> " + f.Link
		}
		if f.Root > 0 {
			line = fmt.Sprintf("%d:%s", f.Root, line)
		}
		list = append(list, line)
	}
	return list, err
}

// debian is a system whose /lib is a link, with absolute and relative links to libraries.
var debian = []string{
	"lib", "-> usr/lib", "lib64", "-> /usr/lib64",
	"usr/lib64/ld-linux-x86-64.so.2", "-> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
	"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", lib(),
	"usr/lib/x86_64-linux-gnu/libc.so.6", lib("ld-linux-x86-64.so.2"),
	"usr/lib/x86_64-linux-gnu/libz.so.1", "-> libz.so.1.2.13",
	"usr/lib/x86_64-linux-gnu/libz.so.1.2.13", lib("libc.so.6"),
	"etc/ld.so.conf", "# all\ninclude /etc/ld.so.conf.d/*.conf\n",
	"etc/ld.so.conf.d/local.conf", "/usr/local/lib\n\n/usr/lib/x86_64-linux-gnu # again\n",
	"usr/local/lib/libown.so", lib("libz.so.1"),
}

var debianLoader = []string{"lib -> usr/lib", "lib64 -> /usr/lib64", "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"}

func TestFind(t *testing.T) {
	const loader = "lib64/ld-linux-x86-64.so.2"
	for _, tt := range []struct {
		name string
		p    image
		root fs.FS
		want []string
	}{
		{"static", image{}, tree(), nil},
		{"glibc in Debian", program("libz.so.1", "libc.so.6"), tree(debian...), append(debianLoader[:3:3],
			"usr/lib/x86_64-linux-gnu/libc.so.6",
			"usr/lib/x86_64-linux-gnu/libz.so.1 -> libz.so.1.2.13", "usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
			"usr/lib64/ld-linux-x86-64.so.2 -> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")},
		{"a folder of ldconfig's", program("libown.so", "libc.so.6"), tree(debian...), append(debianLoader[:3:3],
			"usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libown.so -> /usr/local/lib/libown.so",
			"usr/lib/x86_64-linux-gnu/libz.so.1 -> libz.so.1.2.13", "usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
			"usr/lib64/ld-linux-x86-64.so.2 -> /lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/local/lib/libown.so")},
		{"what an old C library opens itself", program("libc.so.6"), tree(loader, lib(), "lib64/libc.so.6", lib(), "lib64/libnss_dns.so.2", lib("libresolv.so.2"), "lib64/libresolv.so.2", lib()),
			[]string{loader, "lib64/libc.so.6", "lib64/libnss_dns.so.2", "lib64/libresolv.so.2"}},
		{"musl", image{interp: musl, needed: []string{"libz.so.1", "libc.musl-x86_64.so.1"}}, tree("lib/ld-musl-x86_64.so.1", lib(), "usr/lib/libz.so.1", lib("libc.musl-x86_64.so.1", "libm.so")),
			[]string{"lib/ld-musl-x86_64.so.1", "usr/lib/libz.so.1"}},
		{"musl with a configuration", image{interp: musl, needed: []string{"liba.so"}}, tree("lib/ld-musl-x86_64.so.1", lib(), "etc/ld-musl-x86_64.path", "/one:/two\n/three", "three/liba.so", lib(), "usr/lib/liba.so", lib()),
			[]string{"etc/ld-musl-x86_64.path", "lib/ld-musl-x86_64.so.1", "three/liba.so"}},
		{"RUNPATH with $ORIGIN", image{interp: glibc, needed: []string{"liba.so"}, runpath: "relative::$ORIGIN/../lib:${ORIGIN}/x"}, tree(loader, lib(), "opt/app/lib/liba.so", lib(), "opt/app/bin/x/liba.so", lib()),
			[]string{loader, "opt/app/lib/liba.so"}},
		{"RPATH counts for what is below", image{interp: glibc, needed: []string{"liba.so"}, rpath: "/opt/$LIB"}, tree(loader, lib(), "opt/lib64/liba.so", lib("libb.so"), "opt/lib64/libb.so", lib()),
			[]string{loader, "opt/lib64/liba.so", "opt/lib64/libb.so"}},
		{"RUNPATH before the folders of the system", image{interp: glibc, needed: []string{"liba.so"}, runpath: "/x"}, tree(loader, lib(), "x/liba.so", lib(), "usr/lib/liba.so", lib()),
			[]string{loader, "x/liba.so"}},
		{"a library for another machine is passed over", program("liba.so"), tree(loader, lib(), "usr/lib64/liba.so", string(image{machine: elf.EM_AARCH64}.bytes()), "usr/lib/liba.so", lib()),
			[]string{loader, "usr/lib/liba.so"}},
		{"a library by its path", program("/x/liba.so"), tree(loader, lib(), "x/liba.so", lib()), []string{loader, "x/liba.so"}},
		{"libraries that need each other", program("liba.so"), tree(loader, lib(), "lib/liba.so", lib("libb.so"), "lib/libb.so", lib("liba.so")),
			[]string{"lib/liba.so", "lib/libb.so", loader}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := find(tt.p, tt.root)
			require.NoError(t, err)
			require.Equal(t, lines(tt.want), lines(got))
		})
	}
}

// The loader and libraries of Debian's cross compilers are in a folder of their own.
func TestFindInSecondRoot(t *testing.T) {
	arm := func(needed ...string) string {
		return string(image{machine: elf.EM_AARCH64, needed: needed}.bytes())
	}
	const loader = "lib/ld-linux-aarch64.so.1"
	got, err := find(image{machine: elf.EM_AARCH64, interp: "/" + loader, needed: []string{"libown.so", "libc.so.6"}},
		tree(append(debian, "usr/lib/aarch64-linux-gnu/libown.so", arm())...),
		tree(loader, arm(), "lib/libc.so.6", arm("ld-linux-aarch64.so.1")))
	require.NoError(t, err)
	require.Equal(t, []string{"1:lib/ld-linux-aarch64.so.1", "1:lib/libc.so.6", "usr/lib/aarch64-linux-gnu/libown.so"}, got)
}

func TestFindMissing(t *testing.T) {
	const loader = "lib64/ld-linux-x86-64.so.2"
	for _, tt := range []struct {
		name string
		p    image
		root fs.FS
		want string
	}{
		{"all", program("libc.so.6"), tree(), "/opt/app/bin/app needs /lib64/ld-linux-x86-64.so.2, which is not there\n" +
			"/opt/app/bin/app needs libc.so.6, which is in none of /lib, /lib/x86_64-linux-gnu, /lib64, /usr/lib, /usr/lib/x86_64-linux-gnu, /usr/lib64"},
		{"a library's library", program("liba.so"), tree(loader, lib(), "usr/lib/liba.so", lib("libb.so")),
			"/opt/app/bin/app needs /usr/lib/liba.so, which needs libb.so, which is in none of /lib, /lib/x86_64-linux-gnu, /lib64, /usr/lib, /usr/lib/x86_64-linux-gnu, /usr/lib64"},
		{"a RUNPATH that nothing is in", image{interp: glibc, needed: []string{"liba.so"}, runpath: "/x", flags1: elf.DF_1_NODEFLIB}, tree(loader, lib(), "usr/lib/liba.so", lib()),
			"/opt/app/bin/app needs liba.so, which is in none of /x"},
		{"a RUNPATH is for the file's own libraries", image{interp: glibc, needed: []string{"liba.so"}, runpath: "/x"}, tree(loader, lib(), "x/liba.so", lib("libb.so"), "x/libb.so", lib()), "which needs libb.so"},
		{"a relative path", program("./liba.so"), tree(loader, lib(), "liba.so", lib()), "needs ./liba.so, which is not there"},
		{"links that turn in a circle", program("liba.so"), tree(loader, lib(), "lib/liba.so", "-> libb.so", "lib/libb.so", "-> liba.so"), "needs liba.so, which is in none"},
		{"a link to outside", program("liba.so"), tree(loader, lib(), "lib/liba.so", "-> ../../../../gone.so"), "needs liba.so, which is in none"},
		{"a text that is called a library", program("liba.so"), tree(loader, lib(), "lib/liba.so", "GROUP ( libx.so )"), "needs liba.so, which is in none"},
		{"a name for a terminal", program("lib\x1b[2J.so"), tree(loader, lib()), `needs "lib\x1b[2J.so", which is in none`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := find(tt.p, tt.root)
			require.ErrorContains(t, err, tt.want)
			var missing *elflibs.MissingError
			require.ErrorAs(t, err, &missing)
		})
	}
}

func TestFindDamaged(t *testing.T) {
	whole := program("libc.so.6").bytes()
	for n := range len(whole) {
		_, err := elflibs.Find([]fs.FS{tree()}, elflibs.Program{Path: "/app", File: bytes.NewReader(whole[:n])})
		require.Error(t, err, n)
	}
	_, err := elflibs.Find([]fs.FS{tree()}, elflibs.Program{Path: "/app", File: bytes.NewReader([]byte("#!/bin/sh\nexec true # and more text\n"))})
	require.ErrorContains(t, err, "reading /app: bad magic number")
	names := make([]string, 1001)
	for i := range names {
		names[i] = fmt.Sprintf("lib%d.so", i)
	}
	_, err = find(program(names...), tree())
	require.ErrorContains(t, err, "names 1001 libraries")
}

func TestResolve(t *testing.T) {
	root := tree("bin", "-> usr/bin", "usr/bin/app", "-> ../../opt/./app", "opt/app", "x", "usr/up", "-> ../../../..")
	real, err := elflibs.Resolve(root, "/bin/app")
	require.NoError(t, err)
	require.Equal(t, "opt/app", real)
	real, err = elflibs.Resolve(root, "/usr/up/opt")
	require.NoError(t, err)
	require.Equal(t, "opt", real)
	_, err = elflibs.Resolve(root, "/bin/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Whatever is in an ELF file, reading it ends, in files below the roots.
func FuzzFind(f *testing.F) {
	f.Add(program("libc.so.6", "libz.so.1").bytes(), "/usr/local/lib\ninclude *.conf\n")
	f.Add(image{interp: musl, needed: []string{"libz.so.1"}}.bytes(), "/a:/b")
	f.Add(image{interp: glibc, needed: []string{"liba.so", "/x/y"}, rpath: "$ORIGIN/../..:$LIB", runpath: "a::/b/$LIB"}.bytes(), "include /etc/ld.so.conf")
	f.Fuzz(func(t *testing.T, data []byte, conf string) {
		root := tree(append(debian, "etc/ld.so.conf", conf, "etc/ld-musl-x86_64.path", conf, "usr/lib/liba.so", string(data))...)
		files, err := elflibs.Find([]fs.FS{root}, elflibs.Program{Path: "/app", File: bytes.NewReader(data)})
		if err != nil {
			return
		}
		for _, file := range files {
			require.True(t, fs.ValidPath(file.Path), file.Path)
		}
	})
}
