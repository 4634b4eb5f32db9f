package frontend

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dialect"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// keyed returns the vertices that make the modules and compiled packages of a plan. There is one for each target platform,
// which BuildKit's frontend marshals for, since a merge has no platform of its own.
func (b *build) keyed(ctx context.Context, plan *dialect.Plan) (map[digest.Digest]bool, error) {
	var names []string
	for _, m := range plan.Modules {
		names = append(names, m.Context)
	}
	for _, d := range plan.Deps {
		names = append(names, d.Context)
	}
	for _, l := range plan.Compiled {
		names = append(names, l.Context)
	}
	vertices, targets := map[digest.Digest]bool{}, b.targets()
	for name, st := range b.client.states {
		if name, _, _ = strings.Cut(name, "::"); !slices.Contains(names, name) {
			continue
		}
		for _, p := range targets {
			def, err := st.Marshal(ctx, llb.Platform(p))
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

// keyBySteps changes a definition so, that a step which mounts the output of one of some vertices, and drops what it
// changes there, is keyed by that vertex alone, not by the content of what it makes. To read all of that takes seconds wherever a step is
// run anew, and finds nothing: equal modules are found where they are unpacked. An instruction has no way to ask for that;
// Larder's own steps do (llb.Builder.ByVertex).
func keyBySteps(def *pb.Definition, vertices map[digest.Digest]bool) error {
	def.Def = slices.Clone(def.Def) // which is that of the llb.Definition, too
	renamed := map[string]string{}  // vertices that were changed, by their old digests
	for i, data := range def.Def {  // of which each comes after its inputs
		var op pb.Op
		if err := op.Unmarshal(data); err != nil {
			return fmt.Errorf("reading the build's definition: %w", err)
		}
		changed := false
		for _, m := range op.GetExec().GetMounts() {
			unchanged := m.Output == int64(pb.SkipOutput) && m.ContentCache == pb.MountContentCache_DEFAULT
			if unchanged && m.Input >= 0 && vertices[digest.Digest(op.Inputs[m.Input].Digest)] {
				m.ContentCache, changed = pb.MountContentCache_OFF, true
			}
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
	return nil
}

func move[V any](m map[string]V, from, to string) {
	if v, ok := m[from]; ok {
		delete(m, from)
		m[to] = v
	}
}
