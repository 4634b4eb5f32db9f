// Package audit finds problems of the modules of source trees, without a network: versions that differ between
// services, that were retracted, deprecated or are old, missing checksums, replacements that leave the tree, licences
// and known vulnerabilities. It finds them also in the programs of Go that are in built images, without any source. It
// exists because a machine behind an air gap can't ask the services that usually report these.
//
// The facts come from files: the trees themselves, a folder of modules in the layout of a module proxy
// (https://go.dev/ref/mod#goproxy-protocol) and a Go vulnerability database (https://go.dev/doc/security/vuln/database).
// All of them are untrusted input.
package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/larder-build/larder/internal/progress"
	"golang.org/x/mod/module"
)

// The rules, which say what a finding is about. docs/reference/audit.md explains each of them.
const (
	RuleVersionSkew    = "version-skew"
	RuleRetracted      = "retracted"
	RuleDeprecated     = "deprecated"
	RuleOld            = "old"
	RuleYoung          = "young"
	RuleMissingSum     = "missing-sum"
	RuleReplaceOutside = "replace-outside"
	RuleReplaceFork    = "replace-fork"
	RuleLicense        = "licence"
	RuleVulnerability  = "vulnerability"
	RuleUnchecked      = "unchecked" // something that could not be looked at
)

// Severity is how much a finding matters. Its values are ordered.
type Severity int

const (
	Note Severity = iota + 1
	Warning
	Error
)

// String returns SARIF's word for the severity: note, warning or error.
func (s Severity) String() string { return [...]string{"", "note", "warning", "error"}[s] }

// MarshalText returns the same word as String, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ParseSeverity returns the severity of a word. "none" is above all severities, so that no finding reaches it.
func ParseSeverity(word string) (Severity, error) {
	switch i := slices.Index([]string{"note", "warning", "error", "none"}, word); i {
	case -1:
		return 0, fmt.Errorf("severity %q: one of error, warning, note, none", word)
	default:
		return Note + Severity(i), nil
	}
}

// A Finding is one problem, or one thing that could not be checked.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Image    string   `json:"image,omitempty"`    // in which the file is, as it was named
	Platform string   `json:"platform,omitempty"` // of the image
	File     string   `json:"file,omitempty"`     // as the tree was named; a bundle's name; a program's path; empty where no file is to blame
	Line     int      `json:"line,omitempty"`     // from 1; 0 without a file, or for a bundle or a program
	Module   string   `json:"module,omitempty"`
	Version  string   `json:"version,omitempty"`
	ID       string   `json:"id,omitempty"` // of a vulnerability: GO-2026-0001
	Message  string   `json:"message"`
	Do       string   `json:"do,omitempty"` // what the reader may do about it

	exposure *exposure // of a vulnerability, until the report is made
}

// A Module is a module version that a tree uses, and the facts that are known of it.
type Module struct {
	Path     string     `json:"path"`
	Version  string     `json:"version"`
	Time     *time.Time `json:"time,omitempty"` // of the release
	Licenses []string   `json:"licences"`       // SPDX identifiers, sorted; empty if none is known
	UsedBy   []string   `json:"usedBy"`         // FILE:LINE of each go.mod that requires it, or the program, sorted
}

// Options say what to audit, and where the facts come from.
type Options struct {
	Trees  []Tree
	Images []Image
	// Modules is laid out as a module proxy is; its folders are listed, and its zip files have to be io.ReaderAt. nil if
	// there is none.
	Modules fs.FS
	// ModCache is the folder of a module cache of which Modules is cache/download. If it is empty, the go command is
	// given Modules by a server on the loopback interface, and checks them by go.sum.
	ModCache string
	// VulnDB is a Go vulnerability database. nil if there is none.
	VulnDB fs.FS
	// Govulncheck is the command, with its first arguments, that runs the function Govulncheck. Further arguments are
	// appended.
	Govulncheck []string
	// Env has the variables PATH, TMPDIR, GOOS, GOARCH and CGO_ENABLED (default 0) that Govulncheck is run with.
	Env map[string]string
	// Now is the time from which ages are counted.
	Now time.Time
	// MaxAge is how old a release may be; the zero Age is no limit.
	MaxAge Age
	// MinAge is how old a release has to be.
	MinAge MinAge
	// DenyLicenses are patterns, as of path.Match, of licences that are an error.
	DenyLicenses []string
	// Printed gets what govulncheck itself prints of each program and tree, as JSON; nil drops it. The address of the
	// server that it reads the database from is left out.
	Printed io.Writer
	// Progress is told how far the audit is; nil for nobody.
	Progress progress.Reporter
}

// A Report lists what an audit found. The same input gives the same order.
type Report struct {
	Time     time.Time `json:"time"`
	Trees    []string  `json:"trees"`
	Images   []Image   `json:"images,omitempty"`
	Modules  []Module  `json:"modules"`
	Findings []Finding `json:"findings"`

	exposed []Finding // of vulnerabilities, with what has them: one finding may be of several products
}

// Run audits the trees. If a go.mod, go.work or go.sum can't be read, it returns an error with the file and the line.
// If the vulnerability database can't be read, it returns an error, too. Other things that it can't check become
// findings.
func Run(ctx context.Context, o Options) (*Report, error) {
	for _, p := range o.DenyLicenses {
		if _, err := path.Match(p, ""); err != nil {
			return nil, fmt.Errorf("licence pattern %q: %w", p, err)
		}
	}
	o.Progress = progress.Or(o.Progress)
	trees := slices.Clone(o.Trees)
	for i := range o.Images {
		trees = append(trees, o.Images[i].trees()...)
	}
	units, err := load(trees)
	if err != nil {
		return nil, err
	}
	deps := dependencies(units)
	known, err := gather(ctx, source{o.Modules}, deps, o.Progress)
	if err != nil {
		return nil, err
	}
	findings := slices.Concat(
		versionSkew(units), replacements(units), missingSums(units),
		releases(deps, known, o), young(units, deps, known, o.MinAge), licenses(deps, known, o.DenyLicenses), unchecked(units, deps, known, o))
	vulnerable, err := vulnerabilities(ctx, units, o)
	if err != nil {
		return nil, err
	}
	findings = append(findings, vulnerable...)
	placePrograms(findings, trees)
	slices.SortFunc(findings, compareFindings)
	r := &Report{Time: o.Now.UTC(), Modules: modules(deps, known), Images: o.Images, exposed: takeExposures(findings)}
	r.Findings = slices.Compact(findings)
	for _, t := range o.Trees {
		r.Trees = append(r.Trees, t.Name)
	}
	return r, nil
}

// placePrograms says of findings in a program which image that is in.
func placePrograms(findings []Finding, trees []Tree) {
	programs := map[string]*Tree{}
	for i, t := range trees {
		if t.program != nil {
			programs[t.Name] = &trees[i]
		}
	}
	for i := range findings {
		if t := programs[findings[i].File]; t != nil {
			f := &findings[i]
			f.Image, f.Platform, f.File = t.image.Name, t.image.Platform, t.program.Path
		}
	}
}

// where names the place of a finding for people; "" if no file is to blame.
func (f Finding) where() string {
	if f.Image != "" {
		return f.Image + " " + f.Platform + " " + f.File
	}
	return position{f.File, f.Line}.String()
}

// Reaches reports whether a finding has this severity or a higher one.
func (r *Report) Reaches(s Severity) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity >= s })
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		strings.Compare(a.Image, b.Image), strings.Compare(a.Platform, b.Platform), strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(b.Severity, a.Severity),
		strings.Compare(a.Rule, b.Rule), strings.Compare(a.Module, b.Module), strings.Compare(a.Version, b.Version),
		strings.Compare(a.ID, b.ID), strings.Compare(a.Message, b.Message), strings.Compare(a.product(), b.product()))
}

// modules lists each module version once, with the places that use it.
func modules(deps []dep, known map[module.Version]facts) []Module {
	usedBy := map[module.Version][]string{}
	for _, d := range deps {
		if d.used.Version != "" {
			usedBy[d.used] = append(usedBy[d.used], d.at.String())
		}
	}
	out := []Module{}
	for v, places := range usedBy {
		slices.Sort(places)
		m := Module{Path: v.Path, Version: v.Version, Licenses: append([]string{}, known[v].licenses...), UsedBy: slices.Compact(places)}
		if t := known[v].time; !t.IsZero() {
			m.Time = &t
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Module) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Version, b.Version))
	})
	return out
}

// plain makes an untrusted text fit for a message: one line without control characters, not too long.
func plain(text string) string {
	const limit = 300
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && !unicode.IsSpace(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > limit {
		text = string(runes[:limit]) + "…"
	}
	return text
}

// notThere reports whether an error means that a file doesn't exist.
func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
