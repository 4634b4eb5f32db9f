//go:build slow

package frontend_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// cgoSysroot builds, with cgo, for another architecture by clang and lld, of what docs/guides/cgo.md has. The image and the
// folder have the packages that the RUN lines there would install.
func cgoSysroot(g *gateway, golang string) {
	other := cross[runtime.GOARCH]
	base := g.registry + "/golang:clang"
	testkit.PushWithCompilers(g.t, g.addr, golang, base, "clang", "lld")
	_, text, found := strings.Cut(read(g.t, testkit.Root(g.t), "docs", "guides", "cgo.md"), "### A sysroot\n")
	require.True(g.t, found)
	var file strings.Builder
	for line := range strings.Lines(testkit.Blocks(text, "dockerfile")[0]) {
		if !strings.HasPrefix(line, "RUN apt-get ") && !strings.HasPrefix(line, "# syntax=") {
			file.WriteString(strings.ReplaceAll(line, bookworm, base))
		}
	}
	g.context = g.t.TempDir()
	g.add("go.mod", "module example.com/cosine\n\ngo 1.26\n", "main.go", cosine)
	g.file(file.String())

	gcc, err := filepath.Glob("/usr/lib/gcc-cross/" + other.triple + "/*") // by its version
	require.NoError(g.t, err)
	require.NotEmpty(g.t, gcc)
	packages := g.t.TempDir()
	testkit.CopyPackages(g.t, packages, other.libc, "libgcc-"+filepath.Base(gcc[0])+"-dev-"+other.arch+"-cross")
	for name, sysroot := range map[string]string{"Debian's cross packages": packages, "a system": asSystem(g.t, packages, other.triple)} {
		root, log := g.export("--opt", "platform=linux/"+other.arch, "--opt", "context:target=local:target", "--local", "target="+sysroot)
		require.Contains(g.t, log, "larder: C is compiled by clang --sysroot=/sysroot --target="+other.triple+" -fuse-ld=lld", name)
		require.NotContains(g.t, log, "debian:12", "nobody is asked for the base of a stage that a context takes the place of")
		require.Contains(g.t, log, "1 Go programs have all libraries that they need", name)
		require.Equal(g.t, "cosine 1\n", testkit.Run(g.t, other.qemu, "-L", root, filepath.Join(root, "usr/local/bin/cosine")), name)
	}
}

// asSystem returns a copy of Debian's cross packages where a system of that platform has the same files.
func asSystem(t *testing.T, packages, triple string) string {
	root := t.TempDir()
	at := func(name string) string { return filepath.Join(root, filepath.FromSlash(name)) }
	require.NoError(t, os.MkdirAll(at("usr/lib64"), 0o755))
	require.NoError(t, os.MkdirAll(at("usr/"+triple), 0o755))
	for from, to := range map[string]string{triple + "/include": "include", triple + "/lib": "lib/" + triple, "lib/gcc-cross": "lib/gcc"} {
		require.NoError(t, os.CopyFS(at("usr/"+to), os.DirFS(filepath.Join(packages, "usr", from))))
	}
	loaders, err := filepath.Glob(at("usr/lib/" + triple + "/ld-linux-*"))
	require.NoError(t, err)
	require.Len(t, loaders, 1)
	links := map[string]string{"lib": "usr/lib", "lib64": "usr/lib64", "usr/" + triple + "/lib": "../lib/" + triple} // libc.so names files there
	for _, dir := range []string{"lib", "lib64"} {
		links["usr/"+dir+"/"+filepath.Base(loaders[0])] = "../lib/" + triple + "/" + filepath.Base(loaders[0])
	}
	for name, target := range links {
		require.NoError(t, os.Symlink(target, at(name)))
	}
	return root
}
