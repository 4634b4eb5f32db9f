package audit

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// Limits for the sizes of a vulnerability database's files, in bytes. They are several times the sizes at
// https://vuln.go.dev.
const (
	maxIndex = 64 << 20
	maxEntry = 4 << 20
)

// vulnDB reads a Go vulnerability database and compares versions only. It is used where govulncheck can't be. The
// format is that of https://go.dev/doc/security/vuln/database.
type vulnDB struct {
	fsys  fs.FS
	index map[string][]string // module path to ids
}

// entry has the fields of a database entry that are used here. The entry is in OSV format:
// https://ossf.github.io/osv-schema.
type entry struct {
	ID        string     `json:"id"`
	Summary   string     `json:"summary"`
	Details   string     `json:"details"`
	Aliases   []string   `json:"aliases"`
	Withdrawn *time.Time `json:"withdrawn"`
	Affected  []affected `json:"affected"`
}

type affected struct {
	Package struct {
		Name string `json:"name"`
	} `json:"package"`
	Ranges []versionRange `json:"ranges"`
}

type versionRange struct {
	Type   string  `json:"type"`
	Events []event `json:"events"`
}

// event says that versions are affected from a version on (Introduced), or not any more (Fixed). The versions have no
// "v".
type event struct {
	Introduced string `json:"introduced"`
	Fixed      string `json:"fixed"`
}

var vulnID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)

func openVulnDB(fsys fs.FS) (*vulnDB, error) {
	const name = "index/modules.json"
	data, err := readFile(fsys, name, maxIndex)
	if err != nil {
		return nil, fmt.Errorf("vulnerability database: %w: it has to have the layout of https://go.dev/doc/security/vuln/database", err)
	}
	index, err := parseIndex(data)
	if err != nil {
		return nil, fmt.Errorf("vulnerability database: %s: %w", name, err)
	}
	return &vulnDB{fsys, index}, nil
}

// parseIndex returns the ids of the vulnerabilities of each module.
func parseIndex(data []byte) (map[string][]string, error) {
	var list []struct {
		Path  string `json:"path"`
		Vulns []struct {
			ID string `json:"id"`
		} `json:"vulns"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	index := map[string][]string{}
	for _, m := range list {
		for _, v := range m.Vulns {
			if !vulnID.MatchString(v.ID) {
				return nil, fmt.Errorf("module %q has a vulnerability with the malformed id %q", m.Path, v.ID)
			}
			index[m.Path] = append(index[m.Path], v.ID)
		}
	}
	return index, nil
}

// byVersions returns the vulnerabilities of the module versions that a service requires, and of the standard library
// that Larder builds it with. For a list, it takes the standard libraries of all its toolchains.
func (db *vulnDB) byVersions(s *service) ([]vulnerability, error) {
	var used []module.Version
	for _, d := range s.unit.dependencies() {
		if d.service == s && d.used.Version != "" {
			used = append(used, d.used)
		}
	}
	toolchains := s.tree.Toolchains
	// A toolchain that can't be chosen is an error of the build, and no reason not to look at the modules.
	if t, err := s.toolchain(); err == nil && s.tree.FS != nil {
		toolchains = []string{t}
	}
	for _, t := range toolchains {
		used = append(used, module.Version{Path: stdlib, Version: semverOf(t)})
	}
	var out []vulnerability
	for _, m := range used {
		for _, id := range db.index[m.Path] {
			e, err := db.entry(id)
			if err != nil {
				return nil, err
			}
			if fixed, ok := e.affects(m); ok {
				out = append(out, vulnerability{id: id, summary: e.summary(), aliases: e.aliases(), module: m, fixed: fixed, reach: unknown})
			}
		}
	}
	return worst(out), nil
}

func (db *vulnDB) entry(id string) (*entry, error) {
	name := "ID/" + id + ".json"
	data, err := readFile(db.fsys, name, maxEntry)
	if err != nil {
		return nil, fmt.Errorf("vulnerability database: %w", err)
	}
	e, err := parseEntry(data)
	if err != nil {
		return nil, fmt.Errorf("vulnerability database: %s: %w", name, err)
	}
	return e, nil
}

func (e *entry) summary() string { return cmp.Or(e.Summary, e.Details) }

// aliases returns the names that other databases have for it, with spaces between them.
func (e *entry) aliases() string {
	names := slices.DeleteFunc(slices.Clone(e.Aliases), func(name string) bool { return !vulnID.MatchString(name) })
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

func parseEntry(data []byte) (*entry, error) {
	e := &entry{}
	return e, json.Unmarshal(data, e)
}

// affects reports whether a module version has the vulnerability. fixed is the first later version without it, or "".
// As in govulncheck, an entry without a range of semantic versions affects all versions.
func (e *entry) affects(m module.Version) (fixed string, ok bool) {
	if e.Withdrawn != nil {
		return "", false
	}
	for _, a := range e.Affected {
		if a.Package.Name != m.Path {
			continue
		}
		ranges := slices.DeleteFunc(slices.Clone(a.Ranges), func(r versionRange) bool { return r.Type != "SEMVER" })
		if len(ranges) == 0 {
			return "", true
		}
		for _, r := range ranges {
			if fixed, ok := r.contains(m.Version); ok {
				return fixed, true
			}
		}
	}
	return "", false
}

func (r versionRange) contains(version string) (fixed string, ok bool) {
	if len(r.Events) == 0 {
		return "", true
	}
	events := slices.Clone(r.Events)
	slices.SortStableFunc(events, func(a, b event) int { return semver.Compare(a.version(), b.version()) })
	for _, e := range events {
		after := semver.Compare(version, e.version()) >= 0
		switch {
		case e.Introduced != "":
			if after {
				fixed, ok = "", true
			}
		case after:
			ok = false
		case ok:
			return e.version(), true
		}
	}
	return "", ok
}

// version returns the event's version in the form that x/mod/semver takes. For "0", which is before all versions, it
// returns "", which is invalid there and so comes before all others.
func (e event) version() string {
	v := cmp.Or(e.Introduced, e.Fixed)
	if v == "0" {
		return ""
	}
	return "v" + strings.TrimPrefix(v, "v")
}

var goRelease = regexp.MustCompile(`^go(\d+\.\d+)(\.\d+)?((?:rc|beta)\d+)?$`)

// semverOf returns the database's version for a Go release: v1.26.8 for go1.26.8, and v1.27.0-rc.1 for go1.27rc1.
func semverOf(release string) string {
	m := goRelease.FindStringSubmatch(release)
	if m == nil {
		return ""
	}
	v := "v" + m[1] + cmp.Or(m[2], ".0")
	if m[3] != "" {
		n := strings.IndexAny(m[3], "0123456789")
		v += "-" + m[3][:n] + "." + m[3][n:]
	}
	return v
}

// goVersion returns a version of the standard library in the form that people know.
func goVersion(version string) string { return "Go " + strings.TrimPrefix(version, "v") }
