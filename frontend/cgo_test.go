//go:build slow

package frontend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// bookworm is the base of what is built with cgo: a C compiler, and one for another architecture.
const bookworm = "golang:1.26-bookworm"

// cross has, for each architecture of this machine, another and what there is for it.
var cross = map[string]struct{ arch, triple, compiler, libc, qemu string }{
	"amd64": {"arm64", "aarch64-linux-gnu", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-aarch64"},
	"arm64": {"amd64", "x86_64-linux-gnu", "gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross", "qemu-x86_64"},
}

// pushBookworm makes that image of one without compilers.
func pushBookworm(g *gateway, golang string) {
	other := cross[runtime.GOARCH]
	testkit.PushWithCompilers(g.t, g.addr, golang, g.registry+"/"+bookworm, "gcc", "libc6-dev", "libcrypt-dev", other.compiler, other.libc)
}

const cosine = `package main

// #cgo LDFLAGS: -lm
// #include <math.h>
import "C"

import "fmt"

var x = 0.0

func main() { fmt.Println("cosine", C.cos(C.double(x))) }
`

const racing = `package main

import "testing"

func TestRace(t *testing.T) {
	done := make(chan bool, 1)
	n := 0
	go func() { n++; done <- true }()
	n++
	if <-done; n != 2 {
		t.Error(n)
	}
}
`

// cgoLines are GO lines with cgo: linked in all ways, for this machine and another, and what can go wrong.
func cgoLines(g *gateway, golang string) {
	g.context = g.t.TempDir()
	g.add("go.mod", "module example.com/cosine\n\ngo 1.26\n", "main.go", cosine)
	base, other := g.registry+"/"+bookworm, cross[runtime.GOARCH]
	g.file("FROM --platform=$BUILDPLATFORM " + base + ` AS build
GO --cgo --libs=/out build -o /out/bin/ .
FROM static
COPY --from=build /out/ /
`)
	root, log := g.export()
	require.Regexp(g.t, `larder: C is compiled by gcc, for linux/`+runtime.GOARCH, log)
	require.Regexp(g.t, `larder: --libs=/out: copied \S*ld-linux\S*, \S*libc\.so\.6`, log)
	require.Contains(g.t, log, "1 Go programs have all libraries that they need")
	require.Equal(g.t, "cosine 1\n", runIn(g.t, root, "", "/bin/cosine"))

	root, log = g.export("--opt", "platform=linux/"+other.arch)
	require.Contains(g.t, log, "larder: C is compiled by "+other.triple+"-gcc, for linux/"+other.arch)
	require.Equal(g.t, "cosine 1\n", testkit.Run(g.t, other.qemu, "-L", root, filepath.Join(root, "bin/cosine")))

	log = g.fails("--opt", "platform=linux/s390x")
	require.Contains(g.t, log, "larder: CGO_ENABLED=1, but this stage has no C compiler for linux/s390x: install s390x-linux-gnu-gcc (Debian's package gcc-s390x-linux-gnu)")

	// Libraries that are forgotten, and those that come from elsewhere.
	text := "FROM " + base + " AS build\nGO --cgo build -o /out/ .\nFROM static\nARG DIR=/bin\n%COPY --from=build /out/ ${DIR}/\n"
	g.file(strings.Replace(text, "%", "", 1))
	log = g.fails()
	require.Regexp(g.t, `larder: the image lacks what programs made by cgo need to run:\n#\d+ [\d.]+ larder: /bin/cosine needs /lib\S*/ld-linux\S*, which is not there\n`+
		`(?s:.*)larder: /bin/cosine needs libc\.so\.6, which is in none of /lib, .*\n#\d+ [\d.]+ larder: copy it with GO --libs=DIR, `, log)
	require.Contains(g.t, log, "   6 | >>> COPY --from=build /out/ ${DIR}/\n", "the line is shown")
	g.file(strings.Replace(text, "%", "# check=skip=GoCgoInScratch\n", 1))
	g.export()

	// The race detector, which needs cgo: of a test that has a race, and then has none.
	g.add("race_test.go", racing)
	g.file("FROM " + base + ` AS test
GO --cgo --junit=/out/junit.xml test -race .
FROM scratch
COPY --from=test /out/ /
`)
	require.Contains(g.t, g.fails(), "WARNING: DATA RACE")
	g.add("race_test.go", strings.Replace(racing, "go func()", "func()", 1))
	root, _ = g.export()
	require.Contains(g.t, read(g.t, root, "junit.xml"), `name="TestRace"`)
	require.NoError(g.t, os.Remove(filepath.Join(g.context, "race_test.go")))

	// No compiler, and a package that needs one.
	g.file("FROM " + golang + " AS build\nGO --cgo build -o /out/ .\n")
	require.Contains(g.t, g.fails(), "larder: CGO_ENABLED=1, but this stage has no C compiler: start the stage from an image that has Go and a C compiler")
	g.file("FROM go AS build\nGO build -o /out/ .\n")
	require.Contains(g.t, g.fails(), "larder: the package in /src needs cgo, which is off here (CGO_ENABLED=0): write GO --cgo")
}

// runIn runs a program of an exported image in there.
func runIn(t *testing.T, root, stdin, program string, args ...string) string {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Err = nil // it isn't on this machine, but below root
	cmd.Dir, cmd.Stdin, cmd.Stderr = "/", strings.NewReader(stdin), &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &stderr)
	return string(out)
}

// A hash of crypt(3) with SHA-512, of U. Drepper's test vectors.
const (
	salt   = "$6$saltstring"
	hashed = salt + "$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
)

func (e *example) cgo() {
	root, _ := e.export(e.opts()...)
	require.Equal(e.t, hashed+"\n", runIn(e.t, root, "Hello world!\n", "/usr/local/bin/mkhash", "-salt", salt))
	require.FileExists(e.t, filepath.Join(root, "etc/passwd"), "the static base")

	// The ways of docs/guides/cgo.md.
	text := read(e.t, testkit.Root(e.t), "docs", "guides", "cgo.md")
	text, _, _ = strings.Cut(text, "### A sysroot\n") // see cgoSysroot
	shown := testkit.Blocks(text, "dockerfile")
	require.NotEmpty(e.t, shown)
	for _, block := range shown {
		w := *e
		w.context = e.t.TempDir()
		for _, name := range []string{"go.mod", "main.go", "crypt.go"} {
			w.add(name, read(e.t, e.context, name))
		}
		w.add("Dockerfile", block)
		root, _ := w.export(w.opts()...)
		require.Equal(e.t, hashed+"\n", runIn(e.t, root, "Hello world!\n", "/usr/local/bin/mkhash", "-salt", salt), block)
	}
}
