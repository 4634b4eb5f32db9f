package frontend

import (
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// Keys of a vertex's description.
const (
	vertexName    = "llb.customname"
	vertexCommand = "com.docker.dockerfile.v1.command"
)

// rename gives the steps of rewritten instructions the names that they have in the user's file. Names aren't in a
// step's digest.
func (c *client) rename(def *pb.Definition, source int32) {
	for dgst, locations := range def.Source.Locations {
		md := def.Metadata[dgst]
		if md == nil || md.Description[vertexName] == "" {
			continue
		}
		i := slices.IndexFunc(c.rewrites, func(r planner.Rewrite) bool { return starts(locations, source, r.Line) })
		if i < 0 {
			continue
		}
		r := c.rewrites[i]
		md.Description[vertexCommand] = r.Text
		prefix, given, ok := strings.Cut(md.Description[vertexName], "] ")
		if !ok {
			prefix, given = "", md.Description[vertexName]
		} else {
			prefix += "] "
		}
		md.Description[vertexName] = prefix + r.Shown(given, func() shell.EnvGetter { return envOf(def, digest.Digest(dgst)) })
	}
}

func starts(locations *pb.Locations, source int32, line int) bool {
	for _, l := range locations.GetLocations() {
		if l.SourceIndex == source && len(l.Ranges) > 0 && int(l.Ranges[0].Start.Line) == line {
			return true
		}
	}
	return false
}

// envOf returns the environment of a step.
func envOf(def *pb.Definition, dgst digest.Digest) shell.EnvGetter {
	for _, data := range def.Def {
		var op pb.Op
		if digest.FromBytes(data) == dgst && op.Unmarshal(data) == nil {
			return shell.EnvsFromSlice(op.GetExec().GetMeta().GetEnv())
		}
	}
	return shell.EnvsFromSlice(nil)
}
