// Package licence detects the licence of a module by the texts at its root. The audit and the bills of materials both
// name licences, and have to name the same.
package license

import (
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/google/licensecheck"
)

// What is read of a module.
const (
	MaxFile  = 1 << 20 // bytes of a file
	MaxFiles = 16      // files
)

// minCoverage is the percentage of a file that has to be licence text, as for pkg.go.dev.
const minCoverage = 75

var fileName = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([-._].*)?$`)

// IsFile reports whether licences are looked for in a file of that name, at a module's root.
func IsFile(name string) bool { return fileName.MatchString(name) }

// ErrTooMany is the error of a module with more than MaxFiles licence files.
var ErrTooMany = fmt.Errorf("it has more than %d licence files", MaxFiles)

// Files are the licence files of one module, to be added one by one. Its zero value has none.
type Files struct {
	ids            []string
	files, unknown int
}

// Add reads a file. The error is ErrTooMany or the reader's.
func (f *Files) Add(r io.Reader) error {
	if f.files++; f.files > MaxFiles {
		return ErrTooMany
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxFile))
	if err != nil {
		return err
	}
	coverage := licensecheck.Scan(text)
	if coverage.Percent < minCoverage || len(coverage.Match) == 0 {
		f.unknown++ // most of it is something else
		return nil
	}
	for _, match := range coverage.Match {
		f.ids = append(f.ids, match.ID)
	}
	return nil
}

// IDs returns the SPDX identifiers of all licences found, sorted, each once.
func (f *Files) IDs() []string {
	ids := slices.Sorted(slices.Values(f.ids))
	return slices.Compact(ids)
}

// None reports whether there is no file.
func (f *Files) None() bool { return f.files == 0 }

// Unknown reports whether a file holds no licence that is known.
func (f *Files) Unknown() bool { return f.unknown > 0 }
