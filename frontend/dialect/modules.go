package dialect

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/gomod"
	"golang.org/x/mod/module"
)

// Modules is a module cache of the build, and where it comes from.
type Modules struct {
	Context  string   `json:"context"` // the named context that holds it
	Key      string   `json:"key"`     // see gomod.Set.Key
	Zips     int      `json:"zips"`    // modules whose source may be compiled
	GoMods   int      `json:"goMods"`
	Vendored bool     `json:"vendored,omitempty"`
	Sources  []Source `json:"sources,omitempty"`

	Set gomod.Set `json:"-"`
	// GOPRIVATE and GONOPROXY are those of the build or, where it sets none, of the stage.
	GOPRIVATE string `json:"goprivate,omitempty"`
	GONOPROXY string `json:"gonoproxy,omitempty"`
}

func (m *Modules) in() string {
	if m == nil {
		return ""
	}
	return " with " + modules(m.Zips)
}

// addModules adds a module cache to the plan unless it is there already.
func (p *Plan) addModules(set gomod.Set, vendored bool, sources []Source) (*Modules, error) {
	m := &Modules{Key: set.Key(), Zips: len(set.Zips()), GoMods: len(set.GoMods()), Vendored: vendored, Set: set}
	for _, have := range p.Modules {
		if have.Key == m.Key && have.Vendored == m.Vendored {
			return have, nil
		}
	}
	m.Context = ContextPrefix + "modules-" + m.Key[:16]
	if !vendored && !set.Empty() {
		if sources[0].Keyword == "off" {
			return nil, fmt.Errorf("the build needs %s, but GOPROXY=off forbids to fetch them: pass them with --build-context %s=FOLDER, or commit a vendor folder", modules(m.Zips), ModulesContext)
		}
		if len(sources) == 2 && sources[0].atHand() && sources[1].Keyword == "off" {
			sources = sources[:1] // a folder and nothing else: it can be used as it is
		}
		m.Sources = sources
	}
	p.Modules = append(p.Modules, m)
	return m, nil
}

// proxySettings are variables of the go command that say where modules come from.
var proxySettings = []string{"GOPROXY", "GOPRIVATE", "GONOPROXY"}

// needModules adds the module cache of some modules to the plan. It is nil where they need none: they are vendored, or
// require nothing.
func (w *planner) needModules(mods []Module, s *scope) (*Modules, error) {
	var sums []gomod.File
	for _, m := range mods {
		if !m.Vendored {
			sums = append(sums, gomod.File{Name: m.Dir + "/go.sum", Data: m.Set.Text()})
		}
	}
	set, err := gomod.ParseSums(sums...)
	if err != nil || set.Empty() {
		return nil, err
	}
	req := w.Request
	req.BuildArgs = maps.Clone(w.BuildArgs)
	for _, name := range proxySettings {
		if _, given := req.BuildArgs[name]; !given && s.env[name] != "" {
			if req.BuildArgs == nil {
				req.BuildArgs = map[string]string{}
			}
			req.BuildArgs[name] = s.env[name]
		}
	}
	sources, err := setSources(req, set)
	if err != nil {
		return nil, err
	}
	if err := checkPrivate(set, sources, req.BuildArgs); err != nil {
		return nil, err
	}
	m, err := w.plan.addModules(set, false, sources)
	if err == nil {
		m.GOPRIVATE, m.GONOPROXY = req.BuildArgs["GOPRIVATE"], req.BuildArgs["GONOPROXY"]
	}
	return m, err
}

// checkPrivate refuses a set of which some may only come from version control.
func checkPrivate(set gomod.Set, sources []Source, args map[string]string) error {
	patterns := args["GONOPROXY"]
	if patterns == "" {
		patterns = args["GOPRIVATE"]
	}
	if patterns == "" || patterns == "none" || slices.ContainsFunc(sources, Source.atHand) {
		return nil
	}
	for _, sum := range set.Zips() {
		if module.MatchPrefixPatterns(patterns, sum.Path) {
			return fmt.Errorf("%s is private (%s), and Larder doesn't fetch from version control yet: pass the modules with --build-context %s=FOLDER", sum.Module(), strings.TrimSpace(patterns), ModulesContext)
		}
	}
	return nil
}
