// Package planpage writes a plan as one page of HTML: the Dockerfile with what becomes of each line, the steps in the order
// of their needs, the modules, and what an edit of each folder runs again. It exists for people who want to see a build
// before it runs, and to show it to others.
//
// The page has no script, and a content security policy by which a browser loads nothing for it. All that it shows is
// untrusted: html/template escapes it, characters that hide or reorder text are made visible, and the page's size is
// bounded.
package planpage

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"golang.org/x/mod/module"
)

// A Page is what a page tells of.
type Page struct {
	File     dockerfile.File // as it was planned
	Plan     *planner.Plan
	Target   string   // the stage that is built; "" for the last one
	Contexts []string // names of the build's named contexts

	BuildArgs map[string]string

	Files []string // of the build context, without those that .dockerignore leaves out
	Cut   bool     // there are more files, which weren't looked at

	Facts     map[module.Version]Fact // what is known of modules; what isn't known isn't told
	FactsFrom string                  // where that is from, in words
	Now       time.Time               // from which ages are counted
}

// A Fact is what is known of a module version. Zero values aren't known.
type Fact struct {
	Size     int64     // of its zip, in bytes
	Time     time.Time // of its release
	Licenses []string  // SPDX identifiers
}

// Limits of what a page shows. A page has at most four megabytes.
const (
	maxLine    = 2000    // runes of a line of the file
	maxText    = 500     // runes of any other text
	maxListing = 1 << 20 // bytes of the file with what becomes of each line
	maxLines   = 5000    // lines of the file
	maxSteps   = 400     // steps
	maxOwn     = 300     // steps that are instructions of their own: those after them are one step for each stage
	maxNeeds   = 12      // steps that one step, or one edit, names
	maxModules = 2000    // rows
	maxFolders = 150     // rows
	maxNamed   = 8       // files that one row names
	maxName    = 100     // runes of such a name
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"show": show, "commas": commas, "count": count, "web": web}).Parse(pageHTML))

// A view is what the template is given.
type view struct {
	Title, Target string
	Plan          *planner.Plan
	Level         string
	Style, Policy any
	Lines         listing
	Graph         *graph
	Modules       modules
	Edits         edits
}

// Write returns the page. The same Page gives the same bytes.
func Write(p Page) ([]byte, error) {
	sum := sha256.Sum256([]byte(pageCSS))
	g := newGraph(p)
	v := view{
		Title: p.Plan.Module, Target: p.Target, Plan: p.Plan, Level: level(p.Plan), Graph: g,
		Style:   template.CSS(pageCSS),
		Policy:  fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'", base64.StdEncoding.EncodeToString(sum[:])),
		Lines:   newListing(p, g),
		Modules: newModules(p),
		Edits:   newEdits(p, g),
	}
	if v.Title == "" {
		v.Title = p.Plan.Filename
	}
	if v.Target == "" && p.Plan.Level == 0 && len(p.Plan.Packages) > 0 {
		v.Target = p.Plan.Packages[len(p.Plan.Packages)-1].Dir
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("writing the page of a plan: %w", err)
	}
	return b.Bytes(), nil
}

// level says what the file is, after its name.
func level(p *planner.Plan) string {
	switch {
	case p.Syntax != "":
		return "asks for " + p.Syntax
	case p.Level == 0:
		return "has no instructions: an image of the main package is built"
	case p.Level == 1:
		return "is a Go Dockerfile: it has GO instructions"
	}
	return "is a Dockerfile without GO instructions"
}

// Untouched reports whether BuildKit's own frontend is given the file as it is.
func (v view) Untouched() bool { return !v.Plan.Go }

// Toolchain returns the versions of the toolchains, and why they were chosen.
func (v view) Toolchains() (list []string) {
	for _, t := range v.Plan.Toolchains {
		list = append(list, t.Version+": "+t.Why)
	}
	return list
}

// web reports whether an address is one that a page may link to.
func web(url string) bool { return strings.HasPrefix(url, "https://") }

// commas joins a list.
func commas(list []string) string { return strings.Join(list, ", ") }
