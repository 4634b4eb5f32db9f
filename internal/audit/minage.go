package audit

import (
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/mod/module"
)

// A MinAge says how old a module version must be before it is used. Malicious code in a release is mostly found within
// days. The zero MinAge asks for nothing.
type MinAge struct {
	Age    Age
	Exempt string    // patterns of module paths that may be of any age, as GOPRIVATE has them
	Now    time.Time // what ages are counted from
}

// NewMinAge checks the patterns and returns a MinAge. Each of exempt may be several patterns with commas.
func NewMinAge(age Age, exempt []string, now time.Time) (MinAge, error) {
	m := MinAge{Age: age, Exempt: strings.Join(exempt, ","), Now: now}
	if age.IsZero() && len(exempt) > 0 {
		return m, fmt.Errorf("--min-age-exempt %s: there is no --min-age that it would be an exemption from", m.Exempt)
	}
	for pattern := range strings.SplitSeq(m.Exempt, ",") {
		if _, err := path.Match(pattern, ""); err != nil {
			return m, fmt.Errorf("--min-age-exempt %s: %w: expected a pattern as in GOPRIVATE, such as *.corp.example", pattern, err)
		}
	}
	return m, nil
}

// Check returns why a version may not be used yet, or nil. If the time of its release isn't known, released is the zero
// time, and the version counts as too young.
func (m MinAge) Check(v module.Version, released time.Time) error {
	switch {
	case m.Age.IsZero() || module.MatchPrefixPatterns(m.Exempt, v.Path):
		return nil
	case released.IsZero():
		return fmt.Errorf("nobody tells when %s was released: no .info is at hand that has its time", v)
	case released.After(m.Age.Before(m.Now)):
		return fmt.Errorf("%s was released on %s, less than %s ago", v, released.UTC().Format("2006-01-02 15:04 MST"), m.Age)
	}
	return nil
}

// young finds versions that are too young, and those whose age isn't known.
func young(units []*unit, deps []dep, known map[module.Version]facts, min MinAge) (out []Finding) {
	if min.Age.IsZero() {
		return nil
	}
	for _, d := range deps {
		if d.used.Version == "" {
			continue // it is a folder, of no version
		}
		if err := min.Check(d.used, known[d.used].time); err != nil {
			f := d.finding(RuleYoung, Error)
			f.Message, f.Do = err.Error(), "use an older version for now, or exempt it with --min-age-exempt"
			if known[d.used].time.IsZero() {
				f.Do = "fetch its .info from a module proxy, or exempt it with --min-age-exempt"
			}
			out = append(out, f)
		}
	}
	for _, u := range units {
		for _, s := range u.services {
			if !s.listsAll() {
				f := Finding{Rule: RuleYoung, Severity: Error, File: s.file, Line: s.modLine().line, Module: s.mod.Module.Mod.Path}
				f.Message = "nobody tells which modules it needs indirectly, nor when they were released: a go.mod of before Go 1.17 doesn't list them"
				f.Do = "go mod tidy -go=1.17"
				out = append(out, f)
			}
		}
	}
	return out
}
