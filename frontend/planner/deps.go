package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/golang/gotree"
)

// Deps are the packages that a slice imports from other modules and from the standard library. A separate step compiles
// them. An edit that adds no import doesn't run that step again. Unlike a cache mount, its layer travels with the build
// cache.
type Deps struct {
	Context string `json:"context"` // the named context that holds them, laid out as GOCACHE
	For     string `json:"for"`     // the step that they are for

	// Standard says that the step compiles what is of the standard library alone. The rest is compiled by the line itself:
	// a layer of it is worth its copies only where it travels, or for a line that may not see what others compile.
	Standard bool `json:"standard,omitempty"` // only the standard library's packages: the GO line compiles the rest

	Ready []Ready `json:"ready,omitempty"` // where all of them are compiled already: no step compiles them for these platforms

	Slice     *SourceSlice `json:"-"`
	Toolchain string       `json:"-"`
	Modules   *Modules     `json:"-"` // nil where the module needs none
	Dir, Work string       `json:"-"` // the module's folder and the go.work that counts, in the build context
	Flags     []string     `json:"-"` // of the go command
	Env       []string     `json:"-"` // NAME=VALUE
	Module    string       `json:"-"` // the main module's path

	// GoMod is the module's go.mod, if that and go.sum are all that says what is compiled, and the modules can be had again
	// later: they come from proxies or version control. The layer may then have one of another build below it.
	GoMod []byte `json:"-"`
}

// Ready says where the packages of a Deps are, compiled before the build.
type Ready struct {
	Platform string `json:"platform"` // the target platform
	Context  string `json:"context"`  // the named context that holds them
}

// ReadyFor returns the named context that holds them for a target platform, compiled before the build, or "".
func (d *Deps) ReadyFor(target string) string {
	for _, r := range d.Ready {
		if r.Platform == target {
			return r.Context
		}
	}
	return ""
}

// addDeps plans the step that compiles the packages that a slice imports. The layer may begin with an earlier build's
// if it travels. addDeps returns nil if the toolchain isn't known, or if the slice imports nothing.
func (p *Plan) addDeps(req Request, name string, d Deps) (*Deps, error) {
	imports := slices.ContainsFunc(p.Platforms, func(platform string) bool { return len(d.Slice.Of[platform].Imports) > 0 })
	if d.Toolchain == "" || !imports {
		return nil, nil
	}
	d.Context = ContextPrefix + "deps-" + name
	if req.Travels {
		d.GoMod = p.plainGoMod(d)
	}
	p.Deps = append(p.Deps, &d)
	return &d, p.findReady(req, &d)
}

// ModulesContext returns the named context that has the modules for a line which compiles what imports the packages, and
// runs nothing. It isn't that of all lines if some of the packages are compiled before the build: then what is unpacked is
// what they are compiled of.
func (d *Deps) ModulesContext() string {
	if len(d.Ready) == 0 || d.Modules == nil || len(d.Modules.Sources) == 0 {
		return ""
	}
	return ContextPrefix + "modules-of-" + strings.TrimPrefix(d.Context, ContextPrefix)
}

// Part returns the largest other Deps whose packages are part of d's for a target platform, and the platform that it
// compiles them for. It returns nil if there is none. d's step then begins with part's layer and adds the rest, so that
// the two steps don't compile the same packages side by side. Part's slice is a part of d's slice. So every edit that
// changes part's imports changes d's slice, too, and never runs d's step again without need.
func (p *Plan) Part(d *Deps, target string) (part *Deps, platform string) {
	of, imports := d.Slice.Of[target], 0
	for _, other := range p.Deps {
		at := target
		if d.Slice.Runs && !other.Slice.Runs {
			at = p.BuildPlatform
		}
		smaller, planned := other.Slice.Of[at]
		if planned && other.compilesLike(d) && smaller.Profile == of.Profile && len(smaller.Files) < len(of.Files) &&
			len(smaller.Imports) > imports && subset(smaller.Files, of.Files) && subset(smaller.Imports, of.Imports) {
			part, platform, imports = other, at, len(smaller.Imports)
		}
	}
	return part, platform
}

// compilesLike reports whether two steps compile packages in the same way. It assumes the same platform.
func (d *Deps) compilesLike(other *Deps) bool {
	return !d.Standard && !other.Standard && d.Toolchain == other.Toolchain && d.Modules == other.Modules && d.Dir == other.Dir && d.Work == other.Work &&
		d.Module == other.Module && slices.Equal(d.Flags, other.Flags) && slices.Equal(d.Env, other.Env)
}

// subset reports whether all strings of a list are in a sorted list.
func subset(list, of []string) bool {
	return !slices.ContainsFunc(list, func(s string) bool {
		_, found := slices.BinarySearch(of, s)
		return !found
	})
}

// withoutFlags returns settings without GOFLAGS. The flags that matter are passed as flags.
func withoutFlags(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return strings.HasPrefix(kv, "GOFLAGS=") })
}

// depsLine plans the packages that a GO line imports. It returns nil unless they can be compiled with a toolchain of
// Larder's.
func (w *planner) depsLine(s *scope, g *dockerfile.GoLine, mod gotree.Module, slice *SourceSlice, mods *Modules, cache lineCache) (*Deps, error) {
	if slice == nil || mod.Vendored || w.withCgo(s, g) {
		return nil, nil
	}
	d := Deps{
		For:   fmt.Sprintf("line %d", g.Node.StartLine),
		Slice: slice, Toolchain: s.toolchain, Modules: mods,
		Dir: mod.Dir, Work: mod.Work, Flags: slice.flags, Module: mod.Path,
		Standard: cache != runsCache && !w.Travels,
	}
	for _, name := range settings {
		v, ok := w.BuildArgs[name]
		if !ok {
			v = s.env[name]
		}
		if v != "" && name != "GOFLAGS" && name != "CGO_ENABLED" {
			d.Env = append(d.Env, name+"="+v)
		}
	}
	return w.plan.addDeps(w.Request, fmt.Sprint(g.Node.StartLine), d)
}
