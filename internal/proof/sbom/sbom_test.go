package sbom

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/internal/testkit"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

var update = flag.Bool("update", false, "write golden files")

// What "go version -m" shows of a binary, with each kind of dependency.
const buildInfo = "path\texample.com/app/cmd/api\n" +
	"mod\texample.com/app\t(devel)\n" +
	"dep\ta.example/greet\tv1.2.0\th1:dqydCTYk2XqeRmTZiRdJ5wWxFvoVfqxcXRGlyKAfOJU=\n" +
	"dep\tb.example/Name/v2\tv2.0.1\n" +
	"=>\tc.example/fork/v2\tv2.0.2\th1:tAHHAUlRTAMPYnYmRSPOwZVNPpbEkAhmTBUjDYSgKIk=\n" +
	"dep\td.example/folder\tv0.1.0\n" +
	"=>\t./folder\t(devel)\t\n" +
	"dep\te.example/vendored\tv1.0.0\n" +
	"build\t-trimpath=true\n" +
	"build\tGOOS=linux\n"

func testBinary(t testing.TB, path string) Binary {
	info, err := debug.ParseBuildInfo(buildInfo)
	require.NoError(t, err)
	info.GoVersion = "go1.26.8 X:nodwarf5"
	return Binary{Path: path, SHA1: "da39a3ee5e6b4b0d3255bfef95601890afd80709", SHA256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Info: info}
}

func testContents(t testing.TB) *Contents {
	return &Contents{
		Binaries: []Binary{testBinary(t, "/bin/api"), testBinary(t, "/bin/worker")},
		Packages: []Package{
			{Kind: "apk", Name: "busybox-binsh", Version: "1.37.0-r12", Arch: "x86_64", Source: "busybox", License: "GPL-2.0-only"},
			{Kind: "deb", Name: "libc6", Version: "2.36-9+deb12u9", Arch: "amd64", Source: "glibc", License: "GNU LGPL, and others"},
		},
		Release: Release{ID: "alpine", Version: "3.22.1"},
	}
}

func testFacts() Facts {
	return Facts{
		Name: "api", Platform: "linux/amd64", Created: 1700000000, Larder: "v1.0.0",
		Base:       &Base{Name: "docker.io/library/alpine:3.22", Digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		Toolchains: []Toolchain{{Version: "go1.26.8", Module: "v0.0.1-go1.26.8.linux-amd64", H1: "h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM="}, {Version: "go1.25.14", Module: "unused"}},
	}
}

func testLicenses(m Module) []string {
	return map[string][]string{"a.example/greet": {"Apache-2.0", "BSD-3-Clause"}}[m.Path]
}

func TestDocument(t *testing.T) {
	data, err := Document(testContents(t), testFacts(), testLicenses)
	require.NoError(t, err)
	file := filepath.Join("testdata", "document.golden.json")
	if *update {
		require.NoError(t, os.WriteFile(file, data, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(string(want), string(data)))
	testkit.RequireSPDX(t, string(data))

	doc, err := spdxjson.Read(bytes.NewReader(data))
	require.NoError(t, err)
	require.NoError(t, spdxlib.ValidateDocument(doc))
	again, err := Document(testContents(t), testFacts(), testLicenses)
	require.NoError(t, err)
	require.Equal(t, data, again)
}

// What is read is what was written.
func TestRead(t *testing.T) {
	c := testContents(t)
	data, err := Document(c, testFacts(), testLicenses)
	require.NoError(t, err)
	files, err := Read(data)
	require.NoError(t, err)
	require.Len(t, files, 2)
	for _, b := range c.Binaries {
		require.Equal(t, Listed{SHA256: b.SHA256, Linked: b.Linked()}, files[b.Path])
	}
	require.Equal(t, []string{
		"./folder",
		"a.example/greet v1.2.0 h1:dqydCTYk2XqeRmTZiRdJ5wWxFvoVfqxcXRGlyKAfOJU=",
		"c.example/fork/v2 v2.0.2 h1:tAHHAUlRTAMPYnYmRSPOwZVNPpbEkAhmTBUjDYSgKIk=",
		"e.example/vendored v1.0.0",
		"stdlib 1.26.8",
	}, c.Binaries[0].Linked())

	for text, want := range map[string]string{
		"[]": "no SPDX document",
		`{"spdxVersion": "SPDX-2.3", "documentNamespace": "https://anchore.com/syft/x"}`: "not made by larder",
	} {
		_, err := Read([]byte(text))
		require.ErrorContains(t, err, want)
	}
}

// The test's own binary is one of Go.
func TestTree(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	dir := t.TempDir()
	for _, name := range []string{"usr/local/bin", "lib/apk/db", "etc"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o755))
	}
	data, err := os.ReadFile(self)
	require.NoError(t, err)
	for name, data := range map[string][]byte{
		"usr/local/bin/app": data, "lib/apk/db/installed": []byte("P:musl\nV:1.2.5-r10\n"), "etc/os-release": []byte("ID=alpine\nVERSION_ID=\"3.22.1\"\n"),
		"usr/local/bin/damaged": data[:4096], "usr/local/bin/script": []byte("#!/bin/sh\n"), "usr/local/bin/short": []byte("MZ"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o755))
	}
	require.NoError(t, os.Symlink("app", filepath.Join(dir, "usr/local/bin/link")))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "etc/passwd")))
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	c, err := Tree(root)
	require.NoError(t, err)
	require.Len(t, c.Binaries, 1)
	require.Equal(t, "/usr/local/bin/app", c.Binaries[0].Path)
	info, ok := debug.ReadBuildInfo()
	require.True(t, ok)
	require.Equal(t, info.Main.Path, c.Binaries[0].Main().Path)
	require.Len(t, c.Binaries[0].Modules(), len(info.Deps))
	require.Equal(t, []Package{{Kind: "apk", Name: "musl", Version: "1.2.5-r10"}}, c.Packages)
	require.Equal(t, Release{ID: "alpine", Version: "3.22.1"}, c.Release)

	require.NoError(t, os.WriteFile(filepath.Join(dir, "lib/apk/db/installed"), []byte("no database"), 0o644))
	_, err = Tree(root)
	require.ErrorContains(t, err, `/lib/apk/db/installed in the image: "no database" is no line of a database of apk`)
}

func TestBinaryOfFiles(t *testing.T) {
	b := Binary{Info: &debug.BuildInfo{Path: "command-line-arguments", GoVersion: "go1.26.8"}}
	require.Equal(t, module.Version{Path: "command-line-arguments"}, b.Main())
}
