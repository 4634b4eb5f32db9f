package dialect

import (
	"fmt"
	"maps"

	"github.com/larder-build/larder/internal/gomod"
)

// Modules is a module cache of the build, and where it comes from.
type Modules struct {
	Context  string   `json:"context"` // the named context that holds it
	Key      string   `json:"key"`     // see gomod.Set.Key
	Zips     int      `json:"zips"`    // modules whose source may be compiled
	GoMods   int      `json:"goMods"`
	Vendored bool     `json:"vendored,omitempty"`
	Sources  []Source `json:"sources,omitempty"`

	// FIPS is the frozen cryptography that is compiled in, which the go command wants in the module cache; nil for none.
	FIPS *FIPS `json:"fips140,omitempty"`

	Set gomod.Set `json:"-"`
	// VCS are the settings by which modules come from version control. Private is how many may come from nowhere else.
	VCS     VCSSettings `json:"vcs,omitzero"`
	Private int         `json:"private,omitempty"`
}

// VCSSettings are variables of the go command, as 'go help environment' has them: those of the build or, where it sets
// none, of the stage.
type VCSSettings struct {
	GOPRIVATE  string `json:"goprivate,omitempty"`
	GONOPROXY  string `json:"gonoproxy,omitempty"`
	GOINSECURE string `json:"goinsecure,omitempty"`
	GOVCS      string `json:"govcs,omitempty"`
}

func vcsSettings(args map[string]string) VCSSettings {
	return VCSSettings{GOPRIVATE: args["GOPRIVATE"], GONOPROXY: args["GONOPROXY"], GOINSECURE: args["GOINSECURE"], GOVCS: args["GOVCS"]}
}

// private reports whether no proxy may be asked for a module.
func (s VCSSettings) private(path string) bool { return gomod.NoProxy(s.GONOPROXY, s.GOPRIVATE, path) }

func (s VCSSettings) count(set gomod.Set) (n int) {
	for _, sum := range set.Zips() {
		if s.private(sum.Path) {
			n++
		}
	}
	return n
}

func (m *Modules) in() string {
	if m == nil {
		return ""
	}
	return " with " + modules(m.Zips)
}

// addModules adds a module cache to the plan unless it is there already.
func (p *Plan) addModules(set gomod.Set, vendored bool, sources []Source, vcs VCSSettings, fips *FIPS) (*Modules, error) {
	m := &Modules{Key: set.Key(), Zips: len(set.Zips()), GoMods: len(set.GoMods()), Vendored: vendored, FIPS: fips, Set: set}
	m.Context = ContextPrefix + "modules-" + m.Key[:16] + fips.suffix()
	for _, have := range p.Modules {
		if have.Context == m.Context && have.Vendored == m.Vendored {
			return have, nil
		}
	}
	if !vendored && !set.Empty() {
		if FetchNeeded(sources) {
			m.VCS, m.Private = vcs, vcs.count(set)
		}
		if sources[0].Keyword == "off" && m.Private < m.Zips {
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
var proxySettings = []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GOINSECURE", "GOVCS"}

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
	fips := req.BuildArgs["GOFIPS140"]
	if fips == "" {
		fips = s.env["GOFIPS140"]
	}
	return w.plan.addModules(set, false, sources, vcsSettings(req.BuildArgs), w.plan.fips(fips, s.toolchain))
}
