// Package gomod reads go.mod, go.sum and go.work files and returns what a build is keyed by: the set of modules that
// may be used, the key of that set, and the Go toolchain to use with it. It is pure: it takes text and returns data.
//
// File formats and their checks are those of the go command, read with golang.org/x/mod.
package gomod

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/module"
)

// ToolchainPath is the path of the module in which the Go toolchain is distributed.
const ToolchainPath = "golang.org/toolchain"

const goModSuffix = "/go.mod"

// A File is a file's text and the name to call it by in errors.
type File struct {
	Name string
	Data []byte
}

// A Sum is one line of a go.sum file: the h1 hash of a module's zip or, if GoMod is set, of its go.mod file alone.
type Sum struct {
	Path    string
	Version string
	GoMod   bool
	Hash    string
}

// String returns the line as it stands in go.sum.
func (s Sum) String() string {
	suffix := ""
	if s.GoMod {
		suffix = goModSuffix
	}
	return s.Path + " " + s.Version + suffix + " " + s.Hash
}

// Module returns the module version that the line is about.
func (s Sum) Module() module.Version {
	return module.Version{Path: s.Path, Version: s.Version}
}

// A Set is the module set of a build: all lines of its go.sum files, sorted, each once.
type Set struct {
	sums       []Sum
	toolchains []Sum
}

// ParseSums reads go.sum files (a go.sum, a go.work.sum, the go.sum of every module of a workspace) into one set.
// An error names the file and line. It is an error if a line is malformed, if the go command wouldn't accept a module
// path or version, or if a module has two different hashes. Lines about the Go toolchain itself aren't part of the set:
// see Toolchains.
func ParseSums(files ...File) (Set, error) {
	type key struct {
		module.Version
		goMod bool
	}
	type place struct {
		hash, at string
	}
	seen := map[key]place{}
	var set Set
	for _, f := range files {
		n := 0
		for line := range bytes.Lines(f.Data) {
			n++
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			at := fmt.Sprintf("%s:%d", f.Name, n)
			s, err := parseSum(string(line))
			if err != nil {
				return Set{}, fmt.Errorf("%s: %w", at, err)
			}
			k := key{s.Module(), s.GoMod}
			if old, ok := seen[k]; ok {
				if old.hash != s.Hash {
					return Set{}, fmt.Errorf("%s: %s is listed as %s here and as %s at %s: keep the right line and run 'go mod verify'", at, s.Module(), s.Hash, old.hash, old.at)
				}
				continue
			}
			seen[k] = place{s.Hash, at}
			if s.Path == ToolchainPath {
				set.toolchains = append(set.toolchains, s)
				continue
			}
			set.sums = append(set.sums, s)
		}
	}
	slices.SortFunc(set.sums, compareSums)
	return set, nil
}

func parseSum(line string) (Sum, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return Sum{}, fmt.Errorf("malformed go.sum line: it has %d fields, expected a module path, a version and a hash: run 'go mod tidy'", len(fields))
	}
	version, goMod := strings.CutSuffix(fields[1], goModSuffix)
	s := Sum{Path: fields[0], Version: version, GoMod: goMod, Hash: fields[2]}
	if err := module.Check(s.Path, s.Version); err != nil {
		return Sum{}, fmt.Errorf("malformed go.sum line: %w", err)
	}
	b64, ok := strings.CutPrefix(s.Hash, "h1:")
	if raw, err := base64.StdEncoding.DecodeString(b64); !ok || err != nil || len(raw) != sha256.Size {
		return Sum{}, fmt.Errorf("malformed go.sum line: %s has hash %q, expected h1: and 32 bytes in base64: run 'go mod tidy'", s.Module(), s.Hash)
	}
	return s, nil
}

func compareSums(a, b Sum) int {
	return cmp.Or(
		strings.Compare(a.Path, b.Path),
		strings.Compare(a.Version, b.Version),
		compareBool(a.GoMod, b.GoMod),
		strings.Compare(a.Hash, b.Hash),
	)
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Zips returns the lines of modules whose zip a build may need, sorted.
func (s Set) Zips() []Sum { return s.filter(false) }

// GoMods returns the lines of go.mod files that the go command reads to make the build list, sorted.
func (s Set) GoMods() []Sum { return s.filter(true) }

// Toolchains returns the lines about the Go toolchain, in their order. No build needs these files.
func (s Set) Toolchains() []Sum { return s.toolchains }

// Empty reports whether the set has no module: the build uses the standard library alone.
func (s Set) Empty() bool { return len(s.sums) == 0 }

// Filter returns a set of the lines for which keep returns true. It stops at an error of keep.
func (s Set) Filter(keep func(Sum) (bool, error)) (Set, error) {
	var out Set
	for _, sum := range s.sums {
		ok, err := keep(sum)
		if err != nil {
			return Set{}, err
		}
		if ok {
			out.sums = append(out.sums, sum)
		}
	}
	return out, nil
}

func (s Set) filter(goMod bool) []Sum {
	var out []Sum
	for _, sum := range s.sums {
		if sum.GoMod == goMod {
			out = append(out, sum)
		}
	}
	return out
}

// Text returns the set as one go.sum file in canonical form: sorted lines, each once. Equal sets have equal texts.
func (s Set) Text() []byte {
	var b bytes.Buffer
	for _, sum := range s.sums {
		b.WriteString(sum.String())
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Key returns the set's name: the hex SHA-256 of Text. The order of lines, repeated lines, white space and the file
// that a line came from don't change it. go.mod lines count as well as zip lines, since a module cache without one of
// the go.mod files is of no use to a build whose build list needs it.
func (s Set) Key() string {
	sum := sha256.Sum256(s.Text())
	return hex.EncodeToString(sum[:])
}

// SetTag returns the tag, in a registry, of the image with the modules of the set that has the key.
func SetTag(key string) string { return "gosum-" + key }

// File returns the path of a file of the module, with the extension .zip, .mod or .info, below the root of a module
// proxy or a GOPROXY folder: see https://go.dev/ref/mod#goproxy-protocol.
func (s Sum) File(ext string) (string, error) {
	p, err := module.EscapePath(s.Path)
	if err != nil {
		return "", err
	}
	v, err := module.EscapeVersion(s.Version)
	if err != nil {
		return "", err
	}
	return p + "/@v/" + v + ext, nil
}
