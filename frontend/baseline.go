package frontend

import (
	"context"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

// baseline makes a step that compiles imported packages begin with the layer of an earlier build, if a cache has the
// list of that build's needs and the list is nearly the same. Then the step compiles only what is new. An earlier build
// may have written anything there, so the list is checked. If it is wrong, or a module of it is no longer available,
// the step compiles everything.
func (c *compiler) baseline(ctx context.Context, req larder.DepsRequest, d *planner.Deps) larder.DepsRequest {
	describes := c.build.client.opts["requestid"] != "" // and builds nothing
	if d.GoMod == nil || c.steps.NoCache || describes {
		return req
	}
	own := gomod.Needs{GoMod: d.GoMod, Set: d.Modules.Set, Imports: req.Slice.Imports}
	text := own.Text()
	if text == "" {
		return req
	}
	key := d.BaselineKey(c.steps.Namespace, req.Target, own)
	if known, ok := c.baselines[key+text]; ok {
		return known
	}
	list := c.steps.Baseline(key, own)
	if first, err := c.first(ctx, list); err == nil {
		req.Baseline = &larder.Baseline{Needs: own, List: list}
		req.Part = c.below(ctx, req, d, first)
	}
	c.baselines[key+text] = req
	return req
}

// below returns the layer of an earlier build, whose needs are first. It returns nil if the layer is of no use.
func (c *compiler) below(ctx context.Context, req larder.DepsRequest, d *planner.Deps, first gomod.Needs) *llb.State {
	own := req.Baseline.Needs
	if path, err := gomod.Plain(first.GoMod); err != nil || path != d.Module || !first.Like(own) || first.Text() == own.Text() {
		return nil
	}
	earlier := *d.Modules
	earlier.Set = first.Set
	modules, err := c.build.modules(ctx, &earlier, c.steps)
	if err != nil {
		return nil
	}
	req.Modules, req.Slice.Imports, req.Baseline = &modules, first.Imports, &larder.Baseline{Needs: first, List: req.Baseline.List}
	st := c.steps.Deps(req)
	if _, err := c.solve(ctx, st); err != nil {
		return nil
	}
	return &st
}

// first reads the list of an earlier build's needs, which Baseline makes.
func (c *compiler) first(ctx context.Context, list llb.State) (gomod.Needs, error) {
	res, err := c.solve(ctx, list)
	if err != nil {
		return gomod.Needs{}, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return gomod.Needs{}, err
	}
	text, err := ref.ReadFile(ctx, gateway.ReadRequest{Filename: larder.BaselineFile, Range: &gateway.FileRange{Length: gomod.MaxNeeds + 1}})
	if err != nil {
		return gomod.Needs{}, err
	}
	return gomod.ParseNeeds(text)
}

// solve makes the builder build a state, or find it in the caches of the build.
func (c *compiler) solve(ctx context.Context, st llb.State) (*gateway.Result, error) {
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	var imports []gateway.CacheOptionsEntry
	for _, from := range c.build.ui.CacheImports {
		imports = append(imports, gateway.CacheOptionsEntry{Type: from.Type, Attrs: from.Attrs})
	}
	return c.build.client.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true, CacheImports: imports})
}
