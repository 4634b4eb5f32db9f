package audit

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
	"golang.org/x/mod/module"
)

// licenceState is what came of looking for a licence.
type licenceState int

const (
	licenceNotSought licenceState = iota // there is no zip, or it can't be read
	licenceNoFile
	licenceUnknown // a file of it holds no licence that is known
	licenceKnown
)

// licenceFile matches the names that licences are looked for in, at a module's root.
var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([-._].*)?$`)

const (
	maxLicence  = 1 << 20 // bytes of a licence file that are read
	maxLicences = 16      // licence files of a module that are read
	minCoverage = 75      // percent of a file that has to be licence text, as for pkg.go.dev
)

// licences detects the licences of a module version by the texts at the root of its zip.
func (s source) licences(m module.Version) ([]string, licenceState, error) {
	z, closer, err := s.openZip(m)
	if err != nil {
		return nil, licenceNotSought, err
	}
	defer closer.Close()
	var ids []string
	state, files := licenceNoFile, 0
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, m.String()+"/")
		if !ok || !licenceFile.MatchString(name) {
			continue
		}
		if files++; files > maxLicences {
			return nil, licenceNotSought, fmt.Errorf("it has more than %d licence files", maxLicences)
		}
		found, err := scanLicence(f)
		if err != nil {
			return nil, licenceNotSought, fmt.Errorf("%s: %w", name, err)
		}
		ids = append(ids, found...)
		switch {
		case len(found) == 0:
			state = licenceUnknown
		case state == licenceNoFile:
			state = licenceKnown
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), state, nil
}

// scanLicence returns the licences in a file, none if most of it is something else.
func scanLicence(f *zip.File) (ids []string, err error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	text, err := io.ReadAll(io.LimitReader(r, maxLicence))
	if err != nil {
		return nil, err
	}
	coverage := licensecheck.Scan(text)
	if coverage.Percent < minCoverage {
		return nil, nil
	}
	for _, match := range coverage.Match {
		ids = append(ids, match.ID)
	}
	return ids, nil
}

// licences finds modules without a licence, with an unknown one and with one that is denied.
func licences(deps []dep, known map[module.Version]facts, deny []string) []Finding {
	var out []Finding
	for _, d := range deps {
		k := known[d.used]
		f := d.finding(RuleLicence, Warning)
		switch k.licence {
		case licenceNoFile:
			f.Message = fmt.Sprintf("%s has no licence file", d.used)
			f.Do = "ask its author for one, or do without it"
			out = append(out, f)
		case licenceUnknown:
			f.Message = fmt.Sprintf("%s has a licence file that holds no licence known here", d.used)
			f.Do = "read it"
			out = append(out, f)
		}
		if denied := slices.DeleteFunc(slices.Clone(k.licences), func(id string) bool { return !matches(deny, id) }); len(denied) > 0 {
			f := d.finding(RuleLicence, Error)
			f.Message = fmt.Sprintf("%s is under %s, which is denied", d.used, strings.Join(denied, " and "))
			f.Do = "do without it"
			out = append(out, f)
		}
	}
	return out
}

func matches(patterns []string, id string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, id)
		return ok
	})
}
