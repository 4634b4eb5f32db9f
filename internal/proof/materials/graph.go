// Package materials finds what a build is made of. It reads the build's definition, which is all that the builder gets,
// and lists the sources, the modules and toolchains that Larder's own steps check and unpack, the steps that have a
// network, and the base image of the result. It doesn't read the plan, which says only what was intended.
package materials

import (
	"fmt"
	"path"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// A graph is a definition whose operations can be walked.
type graph struct {
	def  *pb.Definition
	ops  []*pb.Op // as def.Def has them
	byID map[string]*pb.Op
}

func parse(def *pb.Definition) (*graph, error) {
	g := &graph{def: def, byID: map[string]*pb.Op{}}
	for _, data := range def.GetDef() {
		op := new(pb.Op)
		if err := op.UnmarshalVT(data); err != nil {
			return nil, fmt.Errorf("the build's definition can't be read: %w", err)
		}
		g.ops = append(g.ops, op)
		g.byID[string(digest.FromBytes(data))] = op
	}
	return g, nil
}

// name returns the name that the progress display shows for operation number i.
func (g *graph) name(i int) string {
	return g.def.GetMetadata()[string(digest.FromBytes(g.def.Def[i]))].GetDescription()["llb.customname"]
}

// input returns the operation that an operation's input comes from, and the number of that operation's output. It
// returns nil if there is none.
func (g *graph) input(op *pb.Op, i int64) (*pb.Op, int64) {
	if op == nil || i < 0 || i >= int64(len(op.Inputs)) {
		return nil, 0
	}
	in := op.Inputs[i]
	return g.byID[in.Digest], in.Index
}

// base returns the source from which the result's root file system was made by steps and copies. It returns nil if
// there is none, or no single source.
func (g *graph) base() *pb.Op {
	if len(g.ops) == 0 {
		return nil
	}
	// The last one stands for the result, and has it as its input.
	op, out := g.input(g.ops[len(g.ops)-1], 0)
	for range g.ops { // there are no circles: this ends it all the same
		switch o := op.GetOp().(type) {
		case *pb.Op_Source:
			return op
		case *pb.Op_Exec:
			op, out = g.input(op, mounted(o.Exec, out))
		case *pb.Op_File:
			op, out = g.input(op, changed(o.File, int64(len(op.Inputs)), out))
		case *pb.Op_Merge:
			if len(o.Merge.GetInputs()) == 0 {
				return nil
			}
			op, out = g.input(op, o.Merge.Inputs[0].GetInput())
		default:
			return nil
		}
	}
	return nil
}

// mounted returns the input on which an output of a step is based, or -1.
func mounted(exec *pb.ExecOp, out int64) int64 {
	for _, m := range exec.GetMounts() {
		if m.GetOutput() == out && m.GetMountType() == pb.MountType_BIND {
			return m.GetInput()
		}
	}
	return -1
}

// changed returns the input on which an output of a file operation is based, or -1. Each action takes an input of the
// operation or the result of another action; the numbers of results follow those of the inputs.
func changed(file *pb.FileOp, inputs, out int64) int64 {
	actions := file.GetActions()
	at := int64(-1)
	for _, a := range actions {
		if a.GetOutput() == out {
			at = a.GetInput()
		}
	}
	for range actions {
		if at < inputs || at-inputs >= int64(len(actions)) {
			break
		}
		at = actions[at-inputs].GetInput()
	}
	if at >= inputs {
		return -1
	}
	return at
}

// fileAt returns the text of a file that a step gets in a mount whose files are all made from texts in the definition.
// It returns nil if there is no such file.
func (g *graph) fileAt(op *pb.Op, name string) []byte {
	for _, m := range op.GetExec().GetMounts() {
		if m.GetDest() != path.Dir(name) {
			continue
		}
		in, _ := g.input(op, m.GetInput())
		for _, a := range in.GetFile().GetActions() {
			if f := a.GetMkfile(); f != nil && f.GetPath() == "/"+path.Base(name) {
				return f.GetData()
			}
		}
	}
	return nil
}

// earlier returns the operations that only the layer of an earlier build needs, on which a step that compiles imported
// packages is based (llb.Baseline).
func (g *graph) earlier() map[*pb.Op]bool {
	earlier := map[*pb.Op]bool{}
	for _, op := range g.ops {
		earlier[op] = true
	}
	for i := len(g.ops) - 1; i >= 0; i-- { // each comes after its inputs
		op := g.ops[i]
		if i == len(g.ops)-1 {
			delete(earlier, op)
		}
		if earlier[op] {
			continue
		}
		for n := range op.Inputs {
			in, _ := g.input(op, int64(n))
			if listed(op) && listed(in) && at(op, "/out") == int64(n) {
				in, _ = g.input(in, at(in, "/out")) // the standard library's part
			}
			delete(earlier, in)
		}
	}
	return earlier
}

// listed reports whether an operation is a step that compiles the packages in a list, of this build or an earlier one.
func listed(op *pb.Op) bool {
	kind, _ := step.Kind(op.GetExec().GetMeta().GetArgs())
	return kind == step.KindOf(&step.Deps{}) && at(op, step.Needs) >= 0
}

// at returns the input that a step mounts at a path, or -1.
func at(op *pb.Op, dest string) int64 {
	for _, m := range op.GetExec().GetMounts() {
		if m.GetDest() == dest {
			return m.GetInput()
		}
	}
	return -1
}
