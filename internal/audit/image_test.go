package audit

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/proof/verify"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// compile builds the program of an archive with the modules of the world.
func (w *world) compile(archive string, flags ...string) []byte {
	testkit.Installed(w.t, "go")
	dir := testkit.Tree(w.t, archive)
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "go.sum"), []byte(w.sums), 0o644))
	out := filepath.Join(w.t.TempDir(), "program")
	cmd := exec.CommandContext(w.t.Context(), "go", append(append([]string{"build", "-o", out}, flags...), ".")...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=file://"+w.modules, "GOSUMDB=off", "GOFLAGS=-mod=readonly -modcacherw", "GOWORK=off", "CGO_ENABLED=0",
		"GOTOOLCHAIN=local", "GOMODCACHE="+w.t.TempDir())
	said, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "%s", said)
	data, err := os.ReadFile(out)
	require.NoError(w.t, err)
	return data
}

// image audits an image as a user does who names it by a folder.
func (w *world) image(name string, images ...testkit.Image) {
	dir := w.t.TempDir()
	testkit.WriteLayout(w.t, dir, images...)
	l, err := oci.Open(dir)
	require.NoError(w.t, err)
	defer l.Close()
	found, err := Images(w.t.Context(), l, name, verify.NewKeep(w.t.TempDir()), nil)
	require.NoError(w.t, err)
	w.options.Images = append(w.options.Images, found...)
}

// one is an image of one layer.
func one(arch, name string, data []byte) testkit.Image {
	return testkit.Image{Arch: arch, Layers: []map[string][]byte{{name: data}}}
}

const (
	callsParse = "import \"vuln.example/lib\"\n\nfunc main() { println(lib.Parse(\"x\")) }\n"
	callsSafe  = "import \"vuln.example/lib\"\n\nfunc main() { lib.Safe() }\n"
	onlySub    = "import \"vuln.example/lib/sub\"\n\nfunc main() { sub.F() }\n"
)

// What is said of a program is what its symbols say, and where it has none, that nobody knows.
func TestImageVulnerabilities(t *testing.T) {
	for name, tt := range map[string]struct {
		version, source string
		flags           []string
		want, notWant   string
	}{
		"has it":             {"v1.0.0", callsParse, nil, "error: GO-2021-0001 in vuln.example/lib@v1.0.0: Parse reads too \ufffd[1mmuch (vuln.example/lib.Parse is in the program)", "whether"},
		"has the package":    {"v1.0.0", callsSafe, nil, "warning: GO-2021-0001 in vuln.example/lib@v1.0.0: Parse reads too \ufffd[1mmuch (a package of it is in the program, what is vulnerable isn't)", "error"},
		"has another":        {"v1.0.0", onlySub, nil, "note: GO-2021-0001 in vuln.example/lib@v1.0.0: Parse reads too \ufffd[1mmuch (what is vulnerable isn't in the program)", "error"},
		"has a fixed one":    {"v1.2.0", callsParse, nil, "", "GO-2021-0001"},
		"without symbols":    {"v1.0.0", onlySub, []string{"-ldflags=-s -w"}, "error: GO-2021-0001 in vuln.example/lib@v1.0.0: Parse reads too \ufffd[1mmuch (the program has no symbols that would tell whether it has what is vulnerable)", "isn't"},
		"fixed and stripped": {"v1.2.0", callsParse, []string{"-ldflags=-s -w"}, "", "GO-2021-0001"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.image("app:1", one("amd64", "usr/bin/app", w.compile(program(tt.version, tt.source), tt.flags...)))
			got := found(w.run())
			require.Contains(t, got, tt.want)
			if tt.notWant != "" {
				require.NotContains(t, got, tt.notWant)
			}
		})
	}
}

// Each image of an index is audited, and what layers take away isn't.
func TestImages(t *testing.T) {
	w := newWorld(t)
	bad, good := w.compile(program("v1.0.0", callsParse)), w.compile(program("v1.2.0", callsParse))
	w.image("app.tar",
		testkit.Image{Arch: "amd64", Layers: []map[string][]byte{{"bin/old": bad, "bin/app": bad, "bin/sh": []byte("#!/bin/sh\n")}, {"bin/.wh.old": nil, "bin/app": good}}},
		testkit.Image{Arch: "arm64", Layers: []map[string][]byte{{"bin/app": bad, "bin/same": bad}}},
		testkit.Image{Arch: "riscv64", Layers: []map[string][]byte{{"etc/passwd": nil}}})
	w.options.MaxAge, w.options.Modules = Age{}, nil
	r := w.run()
	var text bytes.Buffer
	require.NoError(t, r.WriteText(&text))
	release := strings.TrimPrefix(r.Images[0].Programs[0].Toolchain, "go")
	golden(t, "image.txt", bytes.ReplaceAll(text.Bytes(), []byte("Go "+release), []byte("Go 1.26.8")))
	require.Len(t, r.Images, 3)
	require.Equal(t, "linux/riscv64", r.Images[2].Platform)
	require.Empty(t, r.Images[2].Programs)
	app := r.Images[1].Programs[0]
	require.Equal(t, "/bin/app", app.Path)
	require.Equal(t, "example.com/p", app.Main)
	require.Contains(t, app.Toolchain, "go1.")
	require.Equal(t, []string{"app.tar linux/arm64 /bin/app", "app.tar linux/arm64 /bin/same"}, r.Modules[0].UsedBy)

	var sarif bytes.Buffer
	require.NoError(t, r.WriteSARIF(&sarif, "v1.2.3"))
	require.Contains(t, sarif.String(), `"uri": "bin/app"`)
	require.NotContains(t, sarif.String(), "file://")
	require.NotContains(t, sarif.String(), `"region"`)
	require.Contains(t, sarif.String(), `"platform": "linux/arm64"`)
	var fingerprints []string
	for _, f := range r.Findings {
		require.NotContains(t, fingerprints, f.fingerprint())
		fingerprints = append(fingerprints, f.fingerprint())
	}
}

// A program may be anything: what can't be read is told by the versions in its build info, and costs neither memory without
// end nor the audit.
func TestHostilePrograms(t *testing.T) {
	w := newWorld(t)
	data := w.compile(program("v1.0.0", callsSafe))
	for name, tt := range map[string]struct {
		change func([]byte) []byte
		want   string
	}{
		"cut off":        {func(d []byte) []byte { return d[:len(d)*3/4] }, "the program can't be read, so vulnerabilities are told by versions alone"},
		"no table":       {func(d []byte) []byte { return section(t, d, ".gopclntab", func(s []byte) { clear(s) }) }, "the program has no symbols that would tell"},
		"nonsense table": {func(d []byte) []byte { return section(t, d, ".gopclntab", func(s []byte) { clear(s[8:]) }) }, "GO-2021-0001"},
		"a bomb":         {func(d []byte) []byte { return bomb(t, d, ".gopclntab") }, "the program can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.image("app:1", one("amd64", "app", tt.change(bytes.Clone(data))))
			if len(w.options.Images[0].Programs) == 0 {
				t.Log("it is no program of Go any more")
				return
			}
			got := found(w.run())
			require.Contains(t, got, tt.want)
			require.Contains(t, got, "GO-2021-0001")
			require.NotContains(t, got, "\n\n")
		})
	}
}

// section changes a section of an ELF file.
func section(t *testing.T, data []byte, name string, change func([]byte)) []byte {
	f, err := elf.NewFile(bytes.NewReader(data))
	require.NoError(t, err)
	s := f.Section(name)
	require.NotNil(t, s)
	change(data[s.Offset : s.Offset+s.FileSize])
	return data
}

// bomb puts a compressed section of 64 GiB of zeros in a section's place.
func bomb(t *testing.T, data []byte, name string) []byte {
	f, err := elf.NewFile(bytes.NewReader(data))
	require.NoError(t, err)
	var packed bytes.Buffer
	require.NoError(t, binary.Write(&packed, binary.LittleEndian, elf.Chdr64{Type: uint32(elf.COMPRESS_ZLIB), Size: 64 << 30, Addralign: 1}))
	z := zlib.NewWriter(&packed)
	var zeros []byte // 16 MiB, after others
	for range 2 {
		start := packed.Len()
		_, err := z.Write(make([]byte, 16<<20))
		require.NoError(t, errors.Join(err, z.Flush()))
		zeros = bytes.Clone(packed.Bytes()[start:])
	}
	packed.Write(bytes.Repeat(zeros, 64<<10/16))
	for i, s := range f.Sections {
		if s.Name == name {
			at := headerOf(data, i)
			binary.LittleEndian.PutUint64(data[at+8:], uint64(elf.SHF_COMPRESSED))
			binary.LittleEndian.PutUint64(data[at+24:], uint64(len(data)))
			binary.LittleEndian.PutUint64(data[at+32:], uint64(packed.Len()))
		}
	}
	return append(data, packed.Bytes()...)
}

// headerOf returns where the header of a section is.
func headerOf(data []byte, i int) int {
	return int(binary.LittleEndian.Uint64(data[0x28:])) + i*int(binary.LittleEndian.Uint16(data[0x3a:]))
}
