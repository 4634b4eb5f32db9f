package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A compiler makes the states of a plan that hold slices, compiled packages and binaries.
type compiler struct {
	states
	build     *build
	plan      *planner.Plan
	send      sender
	baselines map[string]larder.DepsRequest // what baseline has returned, by key and needs
	ready     map[string]readyLayer         // that were compiled before the build, by named context
}

// compiledContexts returns slices and compiled packages for GO lines, and binaries for a build without instructions.
func (b *build) compiledContexts(ctx context.Context, plan *planner.Plan, s states) (contexts []namedContext, err error) {
	c := &compiler{states: s, build: b, plan: plan, send: b.sender(ctx, plan), baselines: map[string]larder.DepsRequest{}}
	if c.ready, err = b.readyLayers(ctx, plan, s.steps); err != nil {
		return nil, err
	}
	for _, target := range b.targets() {
		made := map[string]llb.State{}
		for _, pkg := range plan.Packages {
			if made[planner.BinaryContext(pkg)], err = c.binary(ctx, pkg, target); err != nil {
				return nil, err
			}
		}
		if plan.Level != 0 {
			c.forLines(ctx, made, target)
		}
		for name, st := range made {
			contexts = append(contexts, namedContext{name: name, target: &target, state: st})
		}
	}
	return contexts, nil
}

// forLines adds the states that GO lines mount: slices, and the compiled packages that these import.
func (c *compiler) forLines(ctx context.Context, states map[string]llb.State, target ocispecs.Platform) {
	for _, s := range c.plan.Slices {
		states[s.Context] = c.slice(s, target)
	}
	for _, d := range c.plan.Deps {
		req := c.deps(d, target)
		states[d.Context] = c.imported(ctx, req, d, target)
		if name := d.ModulesContext(); name != "" {
			states[name] = req.Modules.Merged()
		}
	}
	for _, l := range c.plan.Compiled {
		states[l.Context] = c.linked(ctx, l, target)
	}
}

// slice returns the part of the source that a step compiles for a platform. A nil slice stands for all of the source.
func (c *compiler) slice(s *planner.SourceSlice, target ocispecs.Platform) llb.State {
	if s == nil {
		return c.source
	}
	var st llb.State
	if of := s.Of[platforms.Format(target)]; s.Whole {
		st = c.steps.WithoutGit(c.source)
	} else {
		st = c.sliced(s.Context, of, platforms.Format(target))
	}
	if s.Repository {
		return c.steps.Repository(st)
	}
	return st
}

// sliced returns a state with the files of a slice.
func (c *compiler) sliced(name string, of goslice.Slice, platform string) llb.State {
	label := fmt.Sprintf("take the %d files that are compiled", len(of.Files))
	if patterns := larder.SlicePatterns(of); c.send != nil && len(patterns) > 0 {
		return c.send(name+"-"+platform, patterns, label)
	}
	return c.steps.Slice(c.source, of, "[internal] "+label)
}

// linked returns the compiled packages that a GO line links.
func (c *compiler) linked(ctx context.Context, l *planner.Compile, target ocispecs.Platform) llb.State {
	req := larder.CompileRequest{DepsRequest: c.deps(l.Deps, target), Args: l.Args}
	deps := c.imported(ctx, req.DepsRequest, l.Deps, target)
	req.Deps, req.Source = &deps, c.slice(l.Deps.Slice, target)
	req.Env = slices.Concat(req.Env, l.Env)
	return c.steps.Compile(req)
}

// imported returns the compiled packages that a slice imports from other modules. The request says how to compile them.
func (c *compiler) imported(ctx context.Context, req larder.DepsRequest, d *planner.Deps, target ocispecs.Platform) llb.State {
	if layer, ok := c.ready[d.ReadyFor(platforms.Format(target))]; ok {
		return layer.state
	}
	if d.Standard {
		return c.steps.Std(req)
	}
	part, platform := c.plan.Part(d, platforms.Format(target))
	if part == nil || part.ReadyFor(platform) != "" { // what comes of a ready layer is for builds with that layer alone
		return c.steps.Deps(c.baseline(ctx, req, d))
	}
	if platform != platforms.Format(target) {
		target = c.steps.Platform
	}
	of := c.deps(part, target)
	st := c.imported(ctx, of, part, target)
	if slices.Equal(of.Slice.Imports, req.Slice.Imports) {
		return st
	}
	req.Part = &st
	return c.steps.Deps(req)
}

// deps makes the request to compile the packages that a slice imports from other modules.
func (c *compiler) deps(d *planner.Deps, target ocispecs.Platform) larder.DepsRequest {
	req := larder.DepsRequest{
		Toolchain: c.toolchains[d.Toolchain], Version: d.Toolchain, Main: d.Module, Source: c.source, Slice: d.Slice.Of[platforms.Format(target)],
		Dir: d.Dir, Work: d.Work, Flags: d.Flags, Env: d.Env, Target: target,
	}
	if d.Slice.Runs {
		req.Target = c.steps.Platform
	}
	ready := c.ready[d.ReadyFor(platforms.Format(target))]
	req.Own, req.Modules = ready.id, ready.modules
	if d.Modules != nil && req.Modules == nil {
		if st, ok := c.modules[d.Modules.Context]; ok {
			req.Modules = &st
		}
	}
	return req
}

// binary returns the compiled main package of a build without instructions.
func (c *compiler) binary(ctx context.Context, pkg planner.Package, target ocispecs.Platform) (llb.State, error) {
	version := c.plan.Toolchains[0].Version
	req := larder.BinaryRequest{
		Name: pkg.Name, Package: pkg.Dir, Toolchain: c.toolchains[version], Version: version,
		Source: c.slice(pkg.Slice, target), Dir: c.plan.Dir, Main: c.plan.Module, Vendored: c.plan.Vendored, Work: c.plan.Work, Flags: c.plan.Flags, Env: c.plan.Env, Target: target,
		Label: fmt.Sprintf("[%s] go build %s", platforms.Format(target), pkg.Dir),
	}
	if pkg.Commit != nil {
		facts, err := json.Marshal(pkg.Commit)
		if err != nil {
			return llb.State{}, err
		}
		req.Commit = string(facts)
	}
	if st, ok := c.modules[c.plan.Modules[0].Context]; ok {
		req.Modules = &st
	}
	if pkg.Compiled != nil {
		st := c.linked(ctx, pkg.Compiled, target)
		req.Compiled = &st
	}
	if pkg.Deps != nil {
		of := c.deps(pkg.Deps, target)
		st := c.imported(ctx, of, pkg.Deps, target)
		req.Deps, req.Own, req.Modules = &st, of.Own, of.Modules
	}
	return c.steps.Binary(req), nil
}
