package audit

import (
	"archive/zip"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/licence"
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

// licences detects the licences of a module version by the texts at the root of its zip.
func (s source) licences(m module.Version) ([]string, licenceState, error) {
	z, closer, err := s.openZip(m)
	if err != nil {
		return nil, licenceNotSought, err
	}
	defer closer.Close()
	var found licence.Files
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, m.String()+"/")
		if !ok || !licence.IsFile(name) {
			continue
		}
		if err := addLicence(&found, f); err != nil {
			return nil, licenceNotSought, fmt.Errorf("%s: %w", name, err)
		}
	}
	switch {
	case found.None():
		return nil, licenceNoFile, nil
	case found.Unknown():
		return found.IDs(), licenceUnknown, nil
	}
	return found.IDs(), licenceKnown, nil
}

func addLicence(found *licence.Files, f *zip.File) (err error) {
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return found.Add(r)
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
