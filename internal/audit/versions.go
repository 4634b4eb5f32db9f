package audit

import (
	"fmt"
	"go/version"
	"slices"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// listsAll reports whether a go.mod lists all modules of the build, as it does since Go 1.17.
func (s *service) listsAll() bool {
	return s.mod.Go != nil && version.Compare("go"+s.mod.Go.Version, "go1.17") >= 0
}

// versionSkew finds modules that services use in different versions. The services of a workspace are built with the
// highest version that one of them requires, so they don't differ among themselves. Each service with an older version
// than the newest gets a finding. It is only a note if the module is needed indirectly. It is also a note in a list, as
// a go.sum may have a version that no program is built with.
func versionSkew(units []*unit) []Finding {
	byPath := map[string][]dep{}
	for _, u := range units {
		for _, d := range u.selected() {
			byPath[d.path] = append(byPath[d.path], d)
		}
	}
	var out []Finding
	for path, deps := range byPath {
		newest := slices.MaxFunc(deps, compareUsed)
		for _, d := range deps {
			if d.used == newest.used {
				continue
			}
			f := d.finding(RuleVersionSkew, Warning)
			list := d.service.tree.FS == nil
			if d.indirect || list {
				f.Severity = Note
			}
			f.Message = fmt.Sprintf("%s is used here, and %s at %s", d.used, newest.used, newest.at)
			f.Do = "go get " + newest.used.String()
			if newest.used.Path != path || d.used.Path != path {
				f.Do = "replace " + path + " alike in both"
			}
			if list && newest.service == d.service {
				f.Message, f.Do = fmt.Sprintf("%s and %s are in it", d.used, newest.used), "use the newer one in all source trees"
			}
			out = append(out, f)
		}
	}
	return out
}

// selected returns the versions in the unit's build list of the modules that its go.mod files require. It leaves out
// folders, which have no version.
func (u *unit) selected() []dep {
	if u.tree.FS == nil {
		return u.dependencies() // of which no build list is made
	}
	byPath := map[string]dep{}
	for _, d := range u.dependencies() {
		if d.used.Version == "" {
			continue
		}
		if old, ok := byPath[d.path]; !ok || compareUsed(d, old) > 0 {
			byPath[d.path] = d
		}
	}
	var out []dep
	for _, d := range byPath {
		out = append(out, d)
	}
	return out
}

// compareUsed orders by version. If the versions are equal, the first place counts as the greatest, so that it is the
// one that is reported.
func compareUsed(a, b dep) int {
	if c := semver.Compare(a.used.Version, b.used.Version); c != 0 {
		return c
	}
	return strings.Compare(b.at.String(), a.at.String())
}

// releases finds versions that are retracted, deprecated or old.
func releases(deps []dep, known map[module.Version]facts, o Options) []Finding {
	var out []Finding
	for _, d := range deps {
		k := known[d.used]
		update := "look for a newer version: go list -m -versions " + d.used.Path
		if semver.Compare(k.newest, d.used.Version) > 0 {
			update = "go get " + d.used.Path + "@" + k.newest
		}
		if k.retracted {
			f := d.finding(RuleRetracted, Warning)
			f.Message = fmt.Sprintf("%s is retracted by its author", d.used)
			if k.rationale != "" {
				f.Message += ": " + strings.TrimRight(plain(k.rationale), ".")
			}
			f.Do = update
			out = append(out, f)
		}
		if k.deprecated != "" {
			f := d.finding(RuleDeprecated, Warning)
			f.Message = fmt.Sprintf("%s is deprecated: %s", d.used.Path, strings.TrimRight(plain(k.deprecated), "."))
			f.Do = "move to what its author names"
			out = append(out, f)
		}
		if !o.MaxAge.IsZero() && !k.time.IsZero() && k.time.Before(o.MaxAge.Before(o.Now)) {
			f := d.finding(RuleOld, Note)
			f.Message = fmt.Sprintf("%s was released on %s, more than %s ago", d.used, k.time.Format("2006-01-02"), o.MaxAge)
			f.Do = update
			out = append(out, f)
		}
	}
	return out
}
