package planner

import (
	"io/fs"
	"strings"

	"github.com/larder-build/larder/internal/golang/gorecipe"
)

// ReadyContext returns the name of the named context that holds the layer of a recipe: compiled packages, laid out as GOCACHE.
func ReadyContext(key string) string { return readyPrefix + key }

const readyPrefix = "larder-compiled-"

// recipe returns the recipe of what is compiled of other modules and of the standard library, for a target platform. There is
// none if that is compiled of more than modules and a toolchain: with a profile, or with frozen cryptography.
func (p *Plan) recipe(d *Deps, target string) (r gorecipe.Recipe, ok bool, err error) {
	of := d.Slice.Of[target]
	r = gorecipe.Recipe{
		Platform: target, Toolchain: d.Toolchain, Module: d.Module, Dir: d.Dir, Work: d.Work,
		Flags: d.Flags, Env: d.Env, Imports: of.Imports, Files: map[string]string{},
	}
	if d.Slice.Runs {
		r.Platform = p.BuildPlatform
	}
	if of.Profile != "" || d.Modules != nil && d.Modules.FIPS != nil {
		return r, false, nil
	}
	for _, name := range of.ModFiles() {
		data, err := fs.ReadFile(p.Wide.tree, name)
		if err != nil {
			return r, false, err
		}
		r.Files[name] = string(data)
	}
	return r, r.Check() == nil, nil
}

// Recipes returns the recipes of all that the plan compiles so, each once. It reads the tree that the plan was made of.
func (p *Plan) Recipes() (list []gorecipe.Recipe, err error) {
	have := map[string]bool{}
	for _, d := range p.Deps {
		for _, target := range p.Platforms {
			r, ok, err := p.recipe(d, target)
			if err != nil {
				return nil, err
			}
			if ok && !have[r.Key()] {
				have[r.Key()] = true
				list = append(list, r)
			}
		}
	}
	return list, nil
}

// findReady looks for what is compiled already among the named contexts.
func (p *Plan) findReady(req Request, d *Deps) error {
	for name := range req.Contexts {
		if strings.HasPrefix(name, readyPrefix) {
			return p.findEach(req, d)
		}
	}
	return nil
}

func (p *Plan) findEach(req Request, d *Deps) error {
	for _, target := range p.Platforms {
		r, ok, err := p.recipe(d, target)
		if err != nil {
			return err
		}
		if name := ReadyContext(r.Key()); ok && req.hasContext(name) {
			d.Ready = append(d.Ready, Ready{target, name})
		}
	}
	return nil
}
