package sbom

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const apkDatabase = `C:Q1abc=
P:busybox-binsh
V:1.37.0-r12
A:x86_64
L:GPL-2.0-only
o:busybox
m:Somebody
F:bin
R:sh

P:musl
V:1.2.5-r10
A:x86_64
L:MIT
o:musl

`

const dpkgDatabase = `Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u9
Description: GNU C Library
 Contains the standard libraries.
 .
 Package: fake

Package: gone
Status: deinstall ok config-files
Version: 1

Package: base-files
Version: 12.4
Architecture: all
`

func TestInstalled(t *testing.T) {
	apk, err := ParseAPK([]byte(apkDatabase))
	require.NoError(t, err)
	require.Equal(t, []Package{
		{Kind: "apk", Name: "busybox-binsh", Version: "1.37.0-r12", Arch: "x86_64", Source: "busybox", License: "GPL-2.0-only"},
		{Kind: "apk", Name: "musl", Version: "1.2.5-r10", Arch: "x86_64", License: "MIT"},
	}, apk)
	deb, err := ParseDpkg([]byte(dpkgDatabase))
	require.NoError(t, err)
	require.Equal(t, []Package{
		{Kind: "deb", Name: "base-files", Version: "12.4", Arch: "all"},
		{Kind: "deb", Name: "libc6", Version: "2.36-9+deb12u9", Arch: "amd64", Source: "glibc"},
	}, deb)
}

func TestInstalledErrors(t *testing.T) {
	_, err := ParseAPK([]byte("V:1\n\n"))
	require.ErrorContains(t, err, "a package has no name or no version")
	_, err = ParseDpkg([]byte("Package: x\nnonsense\n"))
	require.ErrorContains(t, err, `"nonsense" is no field of a database of dpkg`)
}

func FuzzParseAPK(f *testing.F)  { fuzzInstalled(f, ParseAPK) }
func FuzzParseDpkg(f *testing.F) { fuzzInstalled(f, ParseDpkg) }

// Whatever a database says, packages have names and versions, come once, and a bill of them can be written and read.
func fuzzInstalled(f *testing.F, parse func([]byte) ([]Package, error)) {
	for _, seed := range []string{apkDatabase, dpkgDatabase, "P:x\r\nV:1\r\n", "Package:\n", "\n\n", "P:a\nV:\xff\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parse(data)
		if err != nil {
			return
		}
		seen := map[Package]bool{}
		for _, p := range list {
			require.NotEmpty(t, p.Name)
			require.NotEmpty(t, p.Version)
			key := Package{Kind: p.Kind, Name: p.Name, Version: p.Version, Arch: p.Arch}
			require.False(t, seen[key])
			seen[key] = true
		}
		doc, err := Document(&Contents{Packages: list}, Facts{Name: "x"}, nil)
		require.NoError(t, err)
		_, err = Read(doc)
		require.NoError(t, err)
	})
}

func FuzzRead(f *testing.F) {
	doc, err := Document(testContents(f), testFacts(), testLicenses)
	require.NoError(f, err)
	f.Add(doc)
	f.Add([]byte(`{"spdxVersion":"SPDX-2.3","documentNamespace":"https://github.com/larder-build/larder/sbom/","files":[null],"packages":[null],"relationships":[null]}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = Read(data) // it doesn't panic
	})
}
