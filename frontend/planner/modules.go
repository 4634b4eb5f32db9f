package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/planner/shellgo"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotree"
)

// Modules is a module cache of the build, and the sources of its modules.
type Modules struct {
	Context  string   `json:"context"`            // the named context that holds it
	Key      string   `json:"key"`                // the SHA-256 of the set: equal sets have equal keys
	Zips     int      `json:"zips"`               // modules whose source may be compiled
	GoMods   int      `json:"goMods"`             // modules of which only go.mod is needed
	Vendored bool     `json:"vendored,omitempty"` // packages come from vendor/
	Sources  []Source `json:"sources,omitempty"`  // where modules come from, in the order in which they are asked

	// FIPS is the frozen cryptography that is compiled in, which the go command wants in the module cache; nil for none.
	FIPS *FIPS `json:"fips140,omitempty"`

	Set gomod.Set `json:"-"`
	// VCS are the settings by which modules come from version control. Private is how many may come from nowhere else.
	VCS     VCSSettings `json:"vcs,omitzero"`
	Private int         `json:"private,omitempty"` // modules that only version control has
}

// VCSSettings are variables of the go command, described in 'go help environment'. They come from the build arguments
// or, if those don't set them, from the stage.
type VCSSettings struct {
	GOPRIVATE  string `json:"goprivate,omitempty"`  // as for the go command
	GONOPROXY  string `json:"gonoproxy,omitempty"`  // as for the go command
	GOINSECURE string `json:"goinsecure,omitempty"` // as for the go command
	GOVCS      string `json:"govcs,omitempty"`      // as for the go command
}

func vcsSettings(args map[string]string) VCSSettings {
	return VCSSettings{GOPRIVATE: args["GOPRIVATE"], GONOPROXY: args["GONOPROXY"], GOINSECURE: args["GOINSECURE"], GOVCS: args["GOVCS"]}
}

// merge joins two settings. The result keeps a module from proxies if either of them does.
func (s VCSSettings) merge(t VCSSettings) (VCSSettings, error) {
	if s.GOVCS != "" && t.GOVCS != "" && s.GOVCS != t.GOVCS {
		return s, fmt.Errorf("other stages need the same modules with GOVCS=%s, and this one with GOVCS=%s: set it once, with --build-arg GOVCS=…", s.GOVCS, t.GOVCS)
	}
	both := VCSSettings{GOPRIVATE: patterns(s.GOPRIVATE, t.GOPRIVATE), GOINSECURE: patterns(s.GOINSECURE, t.GOINSECURE), GOVCS: cmp.Or(s.GOVCS, t.GOVCS)}
	if s.GONOPROXY != "" || t.GONOPROXY != "" {
		both.GONOPROXY = patterns(cmp.Or(s.GONOPROXY, s.GOPRIVATE), cmp.Or(t.GONOPROXY, t.GOPRIVATE))
	}
	return both, nil
}

// patterns joins lists of patterns, without duplicates.
func patterns(lists ...string) string {
	var all []string
	for _, list := range lists {
		for p := range strings.SplitSeq(list, ",") {
			if p != "" && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	return strings.Join(all, ",")
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

// addModules adds a module cache to the plan unless the plan has it. Stages that need the same modules share one, and a
// module that one of them keeps from proxies is kept from proxies for all. Stages with other sources have a cache of
// their own.
func (p *Plan) addModules(set gomod.Set, vendored bool, sources []Source, vcs VCSSettings, fips *FIPS) (*Modules, error) {
	m := &Modules{Key: set.Key(), Zips: len(set.Zips()), GoMods: len(set.GoMods()), Vendored: vendored, FIPS: fips, Set: set}
	m.Context = ContextPrefix + "modules-" + m.Key[:16] + fips.suffix()
	fetches := !vendored && !set.Empty()
	if fetches {
		if len(sources) == 2 && sources[0].atHand() && sources[1].Keyword == "off" {
			sources = sources[:1] // a folder and nothing else: it can be used as it is
		}
		m.Sources = sources
	}
	others, found := 0, false
	for _, have := range p.Modules {
		if have.Key != m.Key || have.FIPS.suffix() != fips.suffix() || have.Vendored != vendored {
			continue
		}
		if found = slices.Equal(have.Sources, m.Sources); found {
			m = have
			break
		}
		others++
	}
	if fetches && FetchNeeded(sources) {
		var err error
		if m.VCS, err = m.VCS.merge(vcs); err != nil {
			return nil, err
		}
		m.Private = m.VCS.count(set)
	}
	if fetches && sources[0].Keyword == "off" && m.Private < m.Zips {
		return nil, fmt.Errorf("the build needs %s, but GOPROXY=off forbids to fetch them: pass them with --build-context %s=FOLDER, or commit a vendor folder", modules(m.Zips), ModulesContext)
	}
	if found {
		return m, nil
	}
	if others > 0 {
		m.Context += "-" + strconv.Itoa(others+1)
	}
	p.Modules = append(p.Modules, m)
	return m, nil
}

// proxySettings are the variables of the go command that decide where modules come from.
var proxySettings = []string{"GOPROXY", "GOPRIVATE", "GONOPROXY", "GOINSECURE", "GOVCS"}

// proxyArgs returns the build arguments, with the proxySettings that hold for a call of go. c is nil for a GO line.
// Build arguments override those of a RUN and a stage. But a module is private if any of them says so.
func (w *planner) proxyArgs(s *scope, c *shellgo.Call) (map[string]string, error) {
	args := maps.Clone(w.BuildArgs)
	if args == nil {
		args = map[string]string{}
	}
	for _, name := range proxySettings {
		own, set, known := s.value(c, name)
		given, ok := args[name]
		switch {
		case !known:
			return nil, fmt.Errorf("its %s isn't known: set it with ENV, or with --build-arg %[1]s=…", name)
		case name == "GOPRIVATE":
			args[name] = patterns(given, s.env[name], own)
		case !ok && set:
			args[name] = own
		}
	}
	return args, nil
}

// needModules adds the module cache for some modules to the plan, with the settings of a call of go: see proxyArgs. It
// returns nil if they need none, because they are vendored or require nothing.
func (w *planner) needModules(mods []gotree.Module, s *scope, c *shellgo.Call) (*Modules, error) {
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
	if req.BuildArgs, err = w.proxyArgs(s, c); err != nil {
		return nil, err
	}
	sources, err := setSources(req, set)
	if err != nil {
		return nil, err
	}
	fips := cmp.Or(req.BuildArgs["GOFIPS140"], s.env["GOFIPS140"])
	return w.plan.addModules(set, false, sources, vcsSettings(req.BuildArgs), w.plan.fips(fips, s.toolchain))
}
