// Package sbom makes the bill of materials of an image from the image itself. It reads the build info that the go
// command puts into each binary, which names the linked modules, and the base image's databases of installed packages.
// Everything that it lists is there; about the rest nothing is known, because it guesses nothing from file names.
//
// The same package reads such a bill again, so that it can be compared with an image.
package sbom

import (
	"crypto/sha1"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"runtime/debug"
	"strings"

	"golang.org/x/mod/module"
)

// A Binary is a file of an image that the go command built.
type Binary struct {
	Path         string // absolute, in the image
	SHA1, SHA256 string // hex; SPDX wants the SHA-1 of every file
	Info         *debug.BuildInfo
}

// A Module is a module that is linked into a binary. If it was replaced, it is the replacement.
type Module struct {
	module.Version        // the version is empty for a folder
	H1             string // the sum that go.sum has, with "h1:"; empty for a folder and for a vendored module
	Replaces       string // what it is in the place of, as PATH@VERSION; empty if it isn't
}

// binaryHeads are the first bytes of files that may be binaries of Go: ELF, PE, Mach-O of either byte order, and XCOFF.
var binaryHeads = []string{"\x7fELF", "MZ", "\xfe\xed\xfa", "\xfa\xed\xfe", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\x01\xdf", "\x01\xf7"}

// headSize is the length of the longest of binaryHeads.
const headSize = 4

// IsBinary reports whether a file that begins with head, of 4 bytes, may be a binary.
func IsBinary(head []byte) bool {
	for _, h := range binaryHeads {
		if strings.HasPrefix(string(head), h) {
			return true
		}
	}
	return false
}

// Inspect reads a file of an image. It returns nil if the go command didn't build the file, or if the file has no build
// info. An error is the reader's.
func Inspect(path string, r io.ReaderAt, size int64) (*Binary, error) {
	head := make([]byte, headSize)
	if n, err := r.ReadAt(head, 0); n < headSize || !IsBinary(head) {
		if err == io.EOF {
			err = nil
		}
		return nil, err
	}
	info, err := buildinfo.Read(r)
	if err != nil {
		return nil, nil // the error doesn't tell a file that isn't Go's from one that is damaged
	}
	sha1sum, sha256sum := sha1.New(), sha256.New()
	if _, err := io.Copy(io.MultiWriter(sha1sum, sha256sum), io.NewSectionReader(r, 0, size)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return &Binary{Path: path, SHA1: encode(sha1sum), SHA256: encode(sha256sum), Info: info}, nil
}

func encode(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// Modules returns the modules that are linked into the binary, besides its main module and the standard library.
func (b *Binary) Modules() []Module {
	var list []Module
	for _, dep := range b.Info.Deps {
		used, replaces := dep, ""
		if dep.Replace != nil {
			used, replaces = dep.Replace, module.Version{Path: dep.Path, Version: dep.Version}.String()
		}
		list = append(list, Module{module.Version{Path: used.Path, Version: known(used.Version)}, used.Sum, replaces})
	}
	return list
}

// Main returns the main module. Its version is empty if the build didn't know one.
func (b *Binary) Main() module.Version {
	path := b.Info.Main.Path
	if path == "" {
		path = b.Info.Path // of a build of files, which has no module
	}
	return module.Version{Path: path, Version: known(b.Info.Main.Version)}
}

// Toolchain returns the version of the toolchain, such as go1.26.8, which is also the standard library's.
func (b *Binary) Toolchain() string {
	version, _, _ := strings.Cut(b.Info.GoVersion, " ") // experiments follow
	return version
}

// Settings returns the build settings of the binary, as NAME=VALUE.
func (b *Binary) Settings() []string {
	var list []string
	for _, s := range b.Info.Settings {
		list = append(list, s.Key+"="+s.Value)
	}
	return list
}

// known returns a version, or "" for the placeholder that the go command uses for a folder.
func known(version string) string {
	if version == "(devel)" {
		return ""
	}
	return version
}
