package audit

import (
	"archive/zip"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/proof/license"
	"golang.org/x/mod/module"
)

// licenseState is the outcome of a search for a licence.
type licenseState int

const (
	licenseNotSought licenseState = iota // there is no zip, or it can't be read
	licenseNoFile
	licenseUnknown // a file of it holds no licence that is known
	licenseKnown
)

// licenses detects the licences of a module version from the texts at the root of its zip.
func (s source) licenses(m module.Version) ([]string, licenseState, error) {
	z, closer, err := s.openZip(m)
	if err != nil {
		return nil, licenseNotSought, err
	}
	defer closer.Close()
	var found license.Files
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, m.String()+"/")
		if !ok || !license.IsFile(name) {
			continue
		}
		if err := addLicense(&found, f); err != nil {
			return nil, licenseNotSought, fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case found.None():
		return nil, licenseNoFile, nil
	case found.Unknown():
		return found.IDs(), licenseUnknown, nil
	}
	return found.IDs(), licenseKnown, nil
}

func addLicense(found *license.Files, f *zip.File) (err error) {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return found.Add(r)
}

// licenses finds modules whose licence is missing, unknown or denied.
func licenses(deps []dep, known map[module.Version]facts, deny []string) []Finding {
	var out []Finding
	for _, d := range deps {
		k := known[d.used]
		f := d.finding(RuleLicense, Warning)
		switch k.license {
		case licenseNoFile:
			f.Message = fmt.Sprintf("%s has no licence file", d.used)
			f.Do = "ask its author for one, or do without it"
			out = append(out, f)
		case licenseUnknown:
			f.Message = fmt.Sprintf("%s has a licence file that holds no licence known here", d.used)
			f.Do = "read it"
			out = append(out, f)
		}
		if denied := slices.DeleteFunc(slices.Clone(k.licenses), func(id string) bool { return !matches(deny, id) }); len(denied) > 0 {
			f := d.finding(RuleLicense, Error)
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
