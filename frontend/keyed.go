package frontend

import (
	"context"
	"fmt"
	"slices"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/step"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// keyed returns the vertices that make the toolchains, modules and compiled packages of a plan. There is one for each
// target platform: a merge has no platform of its own, and BuildKit's frontend marshals it for each.
func (b *build) keyed(ctx context.Context, plan *planner.Plan, contexts []namedContext) (map[digest.Digest]bool, error) {
	var names []string
	for _, m := range plan.Modules {
		names = append(names, m.Context)
	}
	for _, d := range plan.Deps {
		names = append(names, d.Context, d.ModulesContext())
	}
	for _, l := range plan.Compiled {
		names = append(names, l.Context)
	}
	for _, t := range plan.Toolchains {
		names = append(names, planner.ToolchainRoot(t.Version))
	}
	vertices, targets := map[digest.Digest]bool{}, b.targets()
	for _, c := range contexts {
		if !slices.Contains(names, c.name) {
			continue
		}
		for _, p := range targets {
			def, err := c.state.Marshal(ctx, llb.Platform(p))
			if err != nil {
				return nil, err
			}
			head, err := def.Head()
			if err != nil {
				return nil, err
			}
			vertices[head] = true
		}
	}
	return vertices, nil
}

// A stepEditor changes the steps of a definition in ways that no instruction can express.
type stepEditor struct {
	vertices map[digest.Digest]bool   // from keyed
	ready    map[digest.Digest]string // from readyVertices
	caches   larder.Builder           // names compile caches
	merges   map[string]*pb.Op        // of a definition, by digest
	mark     string                   // stands before the names of those that compiling lines alone have
	trust    *trustGiver              // gives the secret ca; nil gives nothing
}

// edit changes a step, and reports whether it did.
//
// If a step mounts the output of one of the vertices, and its changes there are dropped, the step's key gets the vertex
// instead of the content. To read all of the content takes seconds for every step that runs. It would find nothing,
// since the step that unpacks modules already finds equal ones. Larder's own steps do so themselves
// (llb.Builder.ByVertex).
//
// A cache whose name has the mark gets a name that no Dockerfile can have. A GO line gets the parts of its modules
// instead of their merge, which takes seconds to make.
//
// A GO line that is given a ready layer has a compile cache of its own, which begins with the layer: see readyLayer. What
// the cache has needn't be copied into it, then.
//
// A GO line without a network doesn't get the settings of HTTP proxies, which may have a password.
func (e stepEditor) edit(op *pb.Op) (changed bool) {
	changed = e.splitModules(op)
	if exec := op.GetExec(); isGoLine(exec) && exec.Network == pb.NetMode_NONE && exec.Meta.ProxyEnv != nil {
		exec.Meta.ProxyEnv, changed = nil, true
	}
	layer, id := e.readyLayer(op)
	for _, m := range op.GetExec().GetMounts() {
		if m.CacheOpt != nil {
			if name := e.caches.LineCache(m.CacheOpt.ID, e.mark); name != "" {
				m.CacheOpt.ID, changed = name, true
			}
			if id != "" && m.Dest == step.LineCache {
				m.CacheOpt.ID, m.Input, changed = m.CacheOpt.ID+"/"+id, layer, true
			}
		}
		unchanged := m.Output == int64(pb.SkipOutput) && m.ContentCache == pb.MountContentCache_DEFAULT
		if unchanged && m.Input >= 0 && e.vertices[digest.Digest(op.Inputs[m.Input].Digest)] {
			m.ContentCache, changed = pb.MountContentCache_OFF, true
		}
	}
	return changed
}

// readyLayer returns the input that is the ready layer which a GO line is given, and its id; or none and "".
func (e stepEditor) readyLayer(op *pb.Op) (input int64, id string) {
	for _, m := range op.GetExec().GetMounts() {
		if isGoLine(op.GetExec()) && m.Dest == step.LineDeps && m.Input >= 0 {
			return m.Input, e.ready[digest.Digest(op.Inputs[m.Input].Digest)]
		}
	}
	return int64(pb.Empty), ""
}

func isGoLine(exec *pb.ExecOp) bool {
	args := exec.GetMeta().GetArgs()
	return len(args) > 0 && args[0] == step.Go
}

// splitModules replaces the mount of merged modules in the step of a GO line by mounts of the parts. The step makes
// links to them in an empty folder.
func (e stepEditor) splitModules(op *pb.Op) bool {
	exec := op.GetExec()
	if !isGoLine(exec) {
		return false
	}
	i := slices.IndexFunc(exec.Mounts, func(m *pb.Mount) bool {
		return m.Dest == step.ModCache && m.Input >= 0 && m.Output == int64(pb.SkipOutput) && e.vertices[digest.Digest(op.Inputs[m.Input].Digest)]
	})
	if i < 0 {
		return false
	}
	at := exec.Mounts[i].Input
	merge := e.merges[op.Inputs[at].Digest]
	others := slices.ContainsFunc(exec.Mounts, func(m *pb.Mount) bool { return m.Input == at && m != exec.Mounts[i] })
	if merge == nil || others {
		return false
	}
	exec.Mounts[i] = &pb.Mount{Input: int64(pb.Empty), Dest: step.ModCache, Output: int64(pb.SkipOutput), MountType: pb.MountType_TMPFS, TmpfsOpt: &pb.TmpfsOpt{}}
	parts := merge.GetMerge().Inputs
	folders := step.Folders{Prefix: step.LineParts, Count: len(parts)}
	exec.Meta.Args = slices.Insert(exec.Meta.Args, 1, "--modules="+folders.String())
	for n, part := range parts {
		in := merge.Inputs[part.Input]
		in = &pb.Input{Digest: in.Digest, Index: in.Index}
		if n == 0 {
			op.Inputs[at] = in // in the place of the merge, which is not made for this step
		} else {
			at = int64(len(op.Inputs))
			op.Inputs = append(op.Inputs, in)
		}
		exec.Mounts = append(exec.Mounts, &pb.Mount{
			Input: at, Dest: folders.Names()[n], Output: int64(pb.SkipOutput), Readonly: true, ContentCache: pb.MountContentCache_OFF,
		})
	}
	return true
}

// apply edits all steps of a definition.
func (e stepEditor) apply(def *pb.Definition) error {
	e.merges = map[string]*pb.Op{}
	def.Def = slices.Clone(def.Def) // which is that of the llb.Definition, too
	renamed := map[string]string{}  // vertices that were changed, by their old digests
	given := false
	for i, data := range def.Def { // of which each comes after its inputs
		var op pb.Op
		if err := op.Unmarshal(data); err != nil {
			return fmt.Errorf("reading the build's definition: %w", err)
		}
		if op.GetMerge() != nil {
			e.merges[digest.FromBytes(data).String()] = &op
		}
		changed := e.edit(&op)
		if e.trust.give(&op) {
			changed, given = true, true
		}
		for _, in := range op.Inputs {
			if to, ok := renamed[in.Digest]; ok {
				in.Digest, changed = to, true
			}
		}
		if !changed {
			continue
		}
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(&op)
		if err != nil {
			return fmt.Errorf("writing the build's definition: %w", err)
		}
		from, to := digest.FromBytes(def.Def[i]).String(), digest.FromBytes(data).String()
		def.Def[i], renamed[from] = data, to
		move(def.Metadata, from, to)
		if def.Source != nil {
			move(def.Source.Locations, from, to)
		}
	}
	if given {
		e.trust.addTo(def)
	}
	return nil
}

func move[V any](m map[string]V, from, to string) {
	if v, ok := m[from]; ok {
		delete(m, from)
		m[to] = v
	}
}
