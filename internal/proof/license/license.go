// Package license detects the licences of a module from the texts at its root. It exists because the audit and the
// bills of materials both name licences, and must name the same.
package license

import (
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/google/licensecheck"
)

// These are limits on what is read of a module.
const (
	MaxFile  = 1 << 20 // bytes of a file
	MaxFiles = 16      // files
)

// minCoverage is the percentage of a file that has to be licence text, as for pkg.go.dev.
const minCoverage = 75

var fileName = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([-._].*)?$`)

// IsFile reports whether a file of that name, at a module's root, may hold a licence.
func IsFile(name string) bool { return fileName.MatchString(name) }

// ErrTooMany is the error of a module with more than MaxFiles licence files.
var ErrTooMany = fmt.Errorf("it has more than %d licence files", MaxFiles)

// Files collects the licence files of one module. Its zero value has none.
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

// None reports whether no file was added.
func (f *Files) None() bool { return f.files == 0 }

// Unknown reports whether a file holds no licence that is known.
func (f *Files) Unknown() bool { return f.unknown > 0 }
