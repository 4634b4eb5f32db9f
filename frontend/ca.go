package frontend

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/step"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// A trustGiver gives the secret ca to steps that have a network. It sets variables of the step's environment that name the
// secret's file. The other ways were tried, and each does harm:
//
//   - A mount over the root's list of authorities: update-ca-certificates, and packages that bring a list, rename a new
//     list onto the old one. The kernel refuses that for a mount.
//   - A mount where update-ca-certificates looks for more authorities: it writes them into the list, and so into the layer.
//   - A change of the list while the step runs, as BuildKit's proxy network makes: a step may copy the list, and apk takes
//     it for one that the user has changed.
//
// So a program that reads no variable doesn't trust the authority.
type trustGiver struct {
	settings *pb.Definition // makes step.CASettings
	digest   string         // of the vertex that makes it
}

// secretID is the secret's name.
const secretID = "ca"

// newTrustGiver returns nil if the build arguments don't ask for the secret.
func newTrustGiver(ctx context.Context, args map[string]string, steps larder.Builder) (*trustGiver, error) {
	if on, err := planner.GivesCA(args); !on || err != nil {
		return nil, err
	}
	def, err := steps.CASettings().Marshal(ctx, llb.Platform(steps.Platform))
	if err != nil {
		return nil, err
	}
	head, err := def.Head()
	if err != nil {
		return nil, err
	}
	return &trustGiver{def.ToPB(), head.String()}, nil
}

// give gives the secret to a step, and reports whether it did. It changes no variable that the step has.
func (g *trustGiver) give(op *pb.Op) bool {
	exec := op.GetExec()
	if g == nil || exec == nil || exec.Network == pb.NetMode_NONE {
		return false
	}
	if kind, _ := step.Kind(exec.Meta.Args); kind != "" || hasCA(exec) {
		return false // Larder's own steps read the secret already
	}
	names := map[string]string{"APT_CONFIG": path.Join(step.CASettings, step.AptSettings), "WGETRC": path.Join(step.CASettings, step.WgetSettings)}
	for _, name := range step.CAVariables {
		names[name] = step.CAFile
	}
	for _, set := range exec.Meta.Env {
		name, _, _ := strings.Cut(set, "=")
		delete(names, name)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		exec.Meta.Env = append(exec.Meta.Env, name+"="+names[name])
	}
	exec.Mounts = append(exec.Mounts,
		&pb.Mount{Input: int64(len(op.Inputs)), Dest: step.CASettings, Output: int64(pb.SkipOutput), Readonly: true},
		&pb.Mount{Input: int64(pb.Empty), Dest: step.CAFile, Output: int64(pb.SkipOutput), MountType: pb.MountType_SECRET, SecretOpt: &pb.SecretOpt{ID: secretID, Mode: 0o444}})
	op.Inputs = append(op.Inputs, &pb.Input{Digest: g.digest})
	return true
}

// hasCA reports whether a step has the secret already: the step of a named context, which another build made.
func hasCA(exec *pb.ExecOp) bool {
	return slices.ContainsFunc(exec.Mounts, func(m *pb.Mount) bool { return m.Dest == step.CAFile })
}

// addTo adds the vertices of the settings to a definition. A vertex has to stand before those that use it.
func (g *trustGiver) addTo(def *pb.Definition) {
	have := map[digest.Digest]bool{}
	for _, data := range def.Def {
		have[digest.FromBytes(data)] = true
	}
	var added [][]byte
	for _, data := range g.settings.Def[:len(g.settings.Def)-1] { // the last says which vertex is the result
		if d := digest.FromBytes(data); !have[d] {
			added = append(added, data)
			def.Metadata[d.String()] = g.settings.Metadata[d.String()]
		}
	}
	def.Def = append(added, def.Def...)
}
