package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"golang.org/x/mod/module"
)

// A reachability says how far a program gets to a vulnerability.
type reachability int

const (
	required reachability = iota // a module with it is in the build list
	imported                     // a package with it is compiled
	called                       // a function with it can be called, or is linked into a program
	unknown                      // only versions were compared: it may be called
)

var severities = map[reachability]Severity{required: Note, imported: Warning, called: Error, unknown: Error}

// vulnerability is a vulnerability of a service, and what is known of it.
type vulnerability struct {
	id      string
	summary string
	aliases string         // other names of it, such as CVE-2026-1, with spaces between them
	module  module.Version // stdlib for the standard library, with a version as v1.26.8
	fixed   string         // the version that has it no more; empty if there is none
	reach   reachability
	symbol  string // that is called: example.com/m/pkg.Type.Method
	caller  string // FILE:LINE in the service where the call begins; may be empty
}

// stdlib is the path of the standard library in the vulnerability database.
const stdlib = "stdlib"

// vulnerabilities looks for known vulnerabilities of each service. It uses govulncheck. If that can't load the
// packages, it compares only versions of modules, and adds a finding that says so.
func vulnerabilities(ctx context.Context, units []*unit, o Options) (out []Finding, err error) {
	if o.VulnDB == nil {
		return nil, nil
	}
	db, err := openVulnDB(o.VulnDB)
	if err != nil {
		return nil, err
	}
	suspects, err := db.suspects(units)
	if err != nil || len(suspects) == 0 {
		return nil, err
	}
	scan, err := newScanner(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scan.close()) }()
	o.Progress.Begin("look for what is vulnerable", len(suspects), 0)
	for _, s := range suspects {
		o.Progress.At(s.file, 0, 0)
		found, reason := scan.run(ctx, s)
		o.Progress.Done(s.file, 0)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if reason != nil {
			f := Finding{Rule: RuleUnchecked, Severity: Warning, File: s.file, Line: s.modLine().line, Module: s.mod.Module.Mod.Path,
				Message: "its packages could not be loaded, so vulnerabilities are told by versions alone: " + plain(reason.Error()),
				Do:      "give what the go command needs to build it, or see to each of them yourself"}
			switch {
			case s.tree.program != nil:
				f.Message, f.Do = "the program can't be read, so vulnerabilities are told by versions alone: "+plain(reason.Error()), "see to each of them yourself"
			case s.tree.FS == nil:
				f.Severity, f.Message, f.Do = Note, "vulnerabilities are told by versions alone, as no program is known that uses it", "name the source trees, too"
			}
			out = append(out, f)
			if found, err = db.byVersions(s); err != nil {
				return nil, err
			}
		}
		for _, v := range found {
			out = append(out, s.vulnerable(v))
		}
	}
	return out, nil
}

// suspects returns the services whose packages have to be loaded. They are those of units that have a version in the
// database. To load packages takes seconds to minutes, and most programs have nothing to find.
func (db *vulnDB) suspects(units []*unit) ([]*service, error) {
	var out []*service
	for _, u := range units {
		suspect := false
		for _, s := range u.services {
			found, err := db.byVersions(s)
			if err != nil {
				return nil, err
			}
			_, err = s.toolchain()
			suspect = suspect || len(found) > 0 || err != nil || !s.listsAll()
		}
		if suspect {
			out = append(out, u.services...)
		}
	}
	return out, nil
}

// vulnerable makes a finding for a vulnerability, at the line that requires the module.
func (s *service) vulnerable(v vulnerability) Finding {
	at := s.lineOf(v.module.Path)
	f := Finding{Rule: RuleVulnerability, Severity: severities[v.reach], File: at.file, Line: at.line, Module: v.module.Path, Version: v.module.Version, ID: v.id}
	name := v.module.String()
	if v.module.Path == stdlib {
		name = "the standard library of " + goVersion(v.module.Version)
	}
	f.Message = fmt.Sprintf("%s in %s: %s", v.id, name, plain(v.summary))
	how := s.reached(v)
	f.Message += " (" + how + ")"
	f.exposure = &exposure{v.reach, s.tree.program != nil, s.products(), v.summary, v.aliases, how}
	switch {
	case v.fixed == "":
		f.Do = "no version is fixed: see https://pkg.go.dev/vuln/" + v.id
	case v.module.Path == stdlib:
		f.Do = "build with " + goVersion(v.fixed) + " or newer"
	case s.tree.program != nil:
		f.Do = "build it with " + v.module.Path + "@" + v.fixed
	default:
		f.Do = "go get " + v.module.Path + "@" + v.fixed
	}
	return f
}

// reached says how far a service gets to a vulnerability, in words.
func (s *service) reached(v vulnerability) string {
	program := s.tree.program != nil
	switch {
	case v.reach == called && program:
		return fmt.Sprintf("%s is in the program", plain(v.symbol))
	case v.reach == called && v.caller != "":
		return fmt.Sprintf("%s is called from %s", plain(v.symbol), plain(v.caller))
	case v.reach == called:
		return fmt.Sprintf("%s is called", plain(v.symbol))
	case v.reach == imported && program:
		return "a package of it is in the program, what is vulnerable isn't"
	case v.reach == imported:
		return "a package of it is imported, what is vulnerable isn't called"
	case v.reach == required && program:
		return "what is vulnerable isn't in the program"
	case v.reach == required:
		return "what is vulnerable isn't imported"
	case program:
		return "the program has no symbols that would tell whether it has what is vulnerable"
	}
	return "whether it is called is not known"
}

// lineOf returns the line that brings in a module or the standard library.
func (s *service) lineOf(path string) position {
	if path == stdlib {
		switch work := s.unit.work; {
		case work != nil && work.Toolchain != nil:
			return position{s.unit.file, work.Toolchain.Syntax.Start.Line}
		case s.mod.Toolchain != nil:
			return position{s.file, s.mod.Toolchain.Syntax.Start.Line}
		case s.mod.Go != nil:
			return position{s.file, s.mod.Go.Syntax.Start.Line}
		}
	}
	lines := s.replaces()
	for _, r := range s.mod.Require {
		if r.Mod.Path == path || lines.Used(r.Mod).Path == path {
			return position{s.file, r.Syntax.Start.Line}
		}
	}
	return s.modLine()
}

// toolchain returns the Go release with which Larder builds a service.
func (s *service) toolchain() (string, error) {
	files := []gotoolchain.VersionFile{}
	if s.unit.work != nil {
		files = append(files, gotoolchain.WorkVersions(s.unit.file, s.unit.work))
	}
	for _, member := range s.unit.services {
		files = append(files, gotoolchain.ModVersions(member.file, member.mod))
	}
	t, err := gotoolchain.Choose(gotoolchain.Request{Files: files})
	return t.Version, err
}

// worst returns each vulnerability of a module once: the one that reaches farthest and, among those, the first by
// symbol.
func worst(list []vulnerability) []vulnerability {
	slices.SortFunc(list, func(a, b vulnerability) int {
		return cmp.Or(cmp.Compare(a.id, b.id), cmp.Compare(a.module.Path, b.module.Path), cmp.Compare(a.module.Version, b.module.Version), cmp.Compare(b.reach, a.reach),
			cmp.Compare(a.symbol, b.symbol), cmp.Compare(a.caller, b.caller))
	})
	return slices.CompactFunc(list, func(a, b vulnerability) bool { return a.id == b.id && a.module == b.module })
}
