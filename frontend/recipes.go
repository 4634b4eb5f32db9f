package frontend

import (
	"context"
	"crypto/rand"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gorecipe"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/proof/materials"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/opencontainers/go-digest"
)

// A readyLayer has packages that were compiled before the build. Its id is that of what is in it.
//
// Steps that are given one have a compile cache of their own, named by that id: what is in the layer gets into no other
// build, which may not trust who made it.
type readyLayer struct {
	state   llb.State
	id      string
	modules *larder.Modules // what it is compiled of; nil for none
}

// readyLayers returns the layers of compiled packages that a plan takes from named contexts.
func (b *build) readyLayers(ctx context.Context, plan *planner.Plan, steps larder.Builder) (map[string]readyLayer, error) {
	layers := map[string]readyLayer{}
	for _, d := range plan.Deps {
		for _, r := range d.Ready {
			st, err := b.named(ctx, r.Context)
			if err != nil {
				return nil, err
			}
			layer := readyLayer{state: st, id: b.readyID(r.Context)}
			if m := d.Modules; m != nil && len(m.Sources) > 0 {
				modules, err := steps.CompiledModules(m.Set, func(set gomod.Set) (larder.ModuleSource, error) { return b.moduleSource(ctx, m, set) }, st)
				if err != nil {
					return nil, err
				}
				layer.modules = &modules
			}
			layers[r.Context] = layer
		}
	}
	return layers, nil
}

// readyID returns the digest of the image that a named context is of, in hex. What has none is told from all else.
func (b *build) readyID(name string) string {
	_, text, _ := strings.Cut(b.client.opts[contextOpt+name], "@")
	if d, err := digest.Parse(text); err == nil {
		return d.Encoded()
	}
	return rand.Text()
}

// readyVertices returns the vertices of the layers that GO lines mount, and the ids of the layers.
func (b *build) readyVertices(ctx context.Context, plan *planner.Plan, contexts []namedContext) (map[digest.Digest]string, error) {
	vertices := map[digest.Digest]string{}
	for _, c := range contexts {
		i := slices.IndexFunc(plan.Deps, func(d *planner.Deps) bool { return d.Context == c.name })
		if c.target == nil || i < 0 || plan.Deps[i].ReadyFor(platforms.Format(*c.target)) == "" {
			continue
		}
		def, err := c.state.Marshal(ctx, llb.Platform(*c.target))
		if err != nil {
			return nil, err
		}
		head, err := def.Head()
		if err != nil {
			return nil, err
		}
		vertices[head] = b.readyID(plan.Deps[i].ReadyFor(platforms.Format(*c.target)))
	}
	return vertices, nil
}

// used returns the layers of compiled packages that a plan takes for a platform, and their digests.
func (b *build) used(plan *planner.Plan, platform string) (list []materials.Compiled) {
	for _, d := range plan.Deps {
		if name := d.ReadyFor(platform); name != "" {
			_, dgst, _ := strings.Cut(b.client.opts[contextOpt+name], "@")
			list = append(list, materials.Compiled{Name: name, For: d.For, Digest: digest.Digest(dgst)})
		}
	}
	return list
}

// compile makes the layer of a recipe, by the steps that a build makes it by, of the modules and toolchains in the named
// contexts.
func (f *Frontend) compile(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	w := wrap(c)
	ui, err := dockerui.NewClient(w)
	if err != nil {
		return nil, err
	}
	b := &build{client: w, ui: ui, remedies: f.remedies, folders: f.Folders}
	steps, err := b.steps()
	if err != nil {
		return nil, err
	}
	req, err := b.recipeDeps(ctx, steps, *f.Recipe)
	if err != nil {
		return nil, err
	}
	def, err := steps.Deps(req).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return w.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
}

// recipeDeps says how to compile what a recipe says.
func (b *build) recipeDeps(ctx context.Context, steps larder.Builder, r gorecipe.Recipe) (req larder.DepsRequest, err error) {
	target, err := platforms.Parse(r.Platform)
	if err != nil {
		return req, err
	}
	req = larder.DepsRequest{
		Version: r.Toolchain, Main: r.Module, Source: steps.Written(r.Files),
		Slice: goslice.Slice{Files: slices.Sorted(maps.Keys(r.Files)), Imports: r.Imports},
		Dir:   r.Dir, Work: r.Work, Flags: r.Flags, Env: r.Env, Target: platforms.Normalize(target),
	}
	_, pinned := gotoolchain.Toolchain{Version: r.Toolchain}.Pin(platforms.Format(steps.Platform))
	req.Toolchain, err = b.toolchain(ctx, steps, planner.Toolchain{Version: r.Toolchain, Pinned: pinned, Source: planner.Source{Context: planner.ToolchainContext}})
	if err != nil {
		return req, err
	}
	set, err := r.Sums()
	if err != nil || set.Empty() {
		return req, err
	}
	modules, err := b.modules(ctx, &planner.Modules{Set: set, Sources: []planner.Source{{Context: planner.ModulesContext}}}, steps)
	req.Modules = &modules
	return req, err
}
