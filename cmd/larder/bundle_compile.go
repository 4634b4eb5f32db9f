package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/golang/gorecipe"
	"github.com/larder-build/larder/internal/step"
	"github.com/spf13/pflag"
)

// compiledFlags say whether compiled packages of a bundle are used that nobody has signed.
type compiledFlags struct{ trust bool }

func (f *compiledFlags) register(flags *pflag.FlagSet) {
	flags.BoolVar(&f.trust, "trust-compiled", false, "Take compiled packages also from a bundle whose signature isn't checked")
}

// trusts reports whether the compiled packages of a bundle are to be used. What they are compiled of can't be seen in them: a
// signature vouches for them, or the user.
func (f compiledFlags) trusts(b *bundle.Bundle) bool { return f.trust || b.Signed() != nil }

// compiledOf returns those of some bundles whose compiled packages go into another, and warns of the rest.
func (c *command) compiledOf(bundles []*bundle.Bundle, f compiledFlags) (list []*bundle.Bundle) {
	for _, b := range bundles {
		if b.HasCompiled() && !f.trusts(b) {
			c.warn(b.Dir() + " has compiled packages, and none is taken: nothing shows who made them; give the key that signed the bundle with --key, or say --trust-compiled")
			continue
		}
		list = append(list, b)
	}
	return list
}

// compile compiles what the builds of source trees import from elsewhere, with what the bundle has. The folders of what is
// compiled last until the bundle is made anew.
func (c *command) compile(f *createFlags, b *bundle.Bundle) (list []bundle.Compiled, err error) {
	recipes, err := c.recipes(f, b)
	if err != nil {
		return nil, err
	}
	return c.compileRecipes(b, recipes, filepath.Join(b.Dir(), ".staging", "compiled"), f.state, f.progress)
}

// recipes plans the builds of source trees, and returns what they compile of other modules and of the standard library.
func (c *command) recipes(f *createFlags, b *bundle.Bundle) (list []gorecipe.Recipe, err error) {
	builds, err := f.builds()
	if err != nil {
		return nil, err
	}
	for _, build := range builds {
		more, err := c.recipesOf(b, build)
		if err != nil {
			return nil, fmt.Errorf("planning what to compile for %s: %w", filepath.Join(build.Context, filepath.Base(build.File)), err)
		}
		list = append(list, more...)
	}
	slices.SortFunc(list, func(x, y gorecipe.Recipe) int { return strings.Compare(x.Key(), y.Key()) })
	return slices.CompactFunc(list, func(x, y gorecipe.Recipe) bool { return x.Key() == y.Key() }), nil
}

func (c *command) recipesOf(b *bundle.Bundle, build request.Options) ([]gorecipe.Recipe, error) {
	h := c.host()
	o := request.Options{Context: build.Context, File: build.File, Target: build.Target, BuildArgs: build.BuildArgs, Platforms: build.Platforms}
	images, _, err := request.ImageContexts(c.ctx, o, &h)
	if err != nil {
		return nil, err
	}
	from := usedBundle{Bundle: b}
	if from.contexts, err = b.Contexts(c.ctx, images); err != nil {
		return nil, err
	}
	o.BuildContexts = from.contexts
	in, err := request.PlanInputs(c.ctx, o, h)
	if err != nil {
		return nil, err
	}
	opened, err := request.OpenTree(c.ctx, build.Context)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	opt := c.planOptions(o, in, from)
	opt.Describe = true
	plan, err := frontend.LoadPlan(opened, opt)
	if err = cmp.Or(c.ctx.Err(), err); err != nil {
		return nil, err
	}
	return plan.Recipes()
}

// compileRecipes compiles what recipes say, each into a folder of dir, on a builder of its own, which has nothing cached that
// something else may have written. Nothing is fetched.
func (c *command) compileRecipes(b *bundle.Bundle, recipes []gorecipe.Recipe, dir, state, progress string) (list []bundle.Compiled, err error) {
	if len(recipes) == 0 {
		return nil, nil
	}
	if state, err = compileState(state); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	on := builder.Options{Address: builder.Embedded, StateDir: state, Notice: c.stderr}
	if err := c.emptyBuilder(on); err != nil {
		return nil, err
	}
	defer func() {
		if err = errors.Join(err, builder.RemoveState(state)); err != nil {
			_ = os.RemoveAll(dir) // what is compiled is large, and of no use to the next run
		}
	}()
	for _, r := range recipes {
		to := filepath.Join(dir, r.Key())
		if err := c.compileRecipe(b, r, to, on, progress); err != nil {
			return nil, fmt.Errorf("compiling what %s imports, for %s: %w", r.Module, r.Platform, err)
		}
		sources, err := takeSources(to)
		if err != nil {
			return nil, err
		}
		list = append(list, bundle.Compiled{Recipe: r, Sources: sources, Files: os.DirFS(to)})
	}
	return list, nil
}

// takeSources takes the list of what was compiled out of a folder of compiled packages.
func takeSources(dir string) (*gorecipe.Sources, error) {
	name := filepath.Join(dir, step.Sources)
	text, err := os.ReadFile(name)
	if err = cmp.Or(err, os.Remove(name)); err != nil {
		return nil, fmt.Errorf("reading which files were compiled: %w", err)
	}
	return gorecipe.ParseSources(text)
}

// compileRecipe compiles what a recipe says into a folder.
func (c *command) compileRecipe(b *bundle.Bundle, r gorecipe.Recipe, dir string, on builder.Options, progress string) (err error) {
	h := c.host()
	h.Stdin = strings.NewReader(request.Header) // no file is read
	o := request.Options{Context: b.Dir(), File: "-", BuildArgs: []string{"LARDER_OFFLINE=1"}, Network: "default", Outputs: []string{"type=local,dest=" + dir}}
	if o.BuildContexts, err = b.Contexts(c.ctx, nil); err != nil {
		return err
	}
	req, err := request.New(c.ctx, o, h)
	if err != nil {
		return err
	}
	_, err = c.solve(&frontend.Frontend{Recipe: &r}, req, on, buildDisplay(progress), watcher{})
	return err
}

// compileState is the folder of the builder that compiles, which is removed: beside that of builds, or in the one given.
func compileState(given string) (string, error) {
	if given != "" {
		return filepath.Join(given, "compile"), nil
	}
	dir, err := builder.DefaultStateDir()
	return dir + "-compile", err
}
