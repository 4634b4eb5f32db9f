package request

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/encoding/protojson"
)

// ConvertLLB is the Call.Name that asks for a build's LLB.
const ConvertLLB = "convertllb"

// WriteDot writes LLB, in the form of the frontend's answer to ConvertLLB, as a
// Graphviz graph. The same LLB gives the same text.
func WriteDot(w io.Writer, llbJSON []byte) error {
	ops, meta, err := readLLB(llbJSON)
	if err != nil {
		return fmt.Errorf("read the frontend's LLB: %w", err)
	}
	digests := slices.Sorted(maps.Keys(ops))
	fmt.Fprintln(w, "digraph {")
	for _, dgst := range digests {
		label, shape := vertex(ops[dgst])
		if label == "" {
			continue // the last vertex, which only marks the result
		}
		if name := meta[dgst].Description["llb.customname"]; name != "" {
			label = name
		}
		fmt.Fprintf(w, "  %q [label=%q shape=%q];\n", dgst, label, shape)
	}
	for _, dgst := range digests {
		op := ops[dgst]
		if label, _ := vertex(op); label == "" {
			continue
		}
		for i, in := range op.Inputs {
			fmt.Fprintf(w, "  %q -> %q [label=%q];\n", digest.Digest(in.Digest), dgst, mountOf(op, i))
		}
	}
	_, err = fmt.Fprintln(w, "}")
	return err
}

// readLLB reads the output of convertllb.Result, which has no reader of its own.
func readLLB(data []byte) (map[digest.Digest]*pb.Op, map[digest.Digest]llb.OpMetadata, error) {
	var raw struct {
		Def      map[digest.Digest]json.RawMessage `json:"def"`
		Metadata map[digest.Digest]llb.OpMetadata  `json:"metadata"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, nil, err
	}
	ops := make(map[digest.Digest]*pb.Op, len(raw.Def))
	for dgst, data := range raw.Def {
		op := &pb.Op{}
		if err := protojson.Unmarshal(data, op); err != nil {
			return nil, nil, err
		}
		ops[dgst] = op
	}
	return ops, raw.Metadata, nil
}

// vertex returns the label and the shape with which a graph shows an operation.
func vertex(op *pb.Op) (label, shape string) {
	switch v := op.Op.(type) {
	case *pb.Op_Source:
		return v.Source.Identifier, "ellipse"
	case *pb.Op_Exec:
		return strings.Join(v.Exec.Meta.Args, " "), "box"
	case *pb.Op_Merge:
		return "merge", "invtriangle"
	case *pb.Op_Diff:
		return "diff", "doublecircle"
	case *pb.Op_Build:
		return "build", "box3d"
	case *pb.Op_File:
		return fileActions(v.File), "note"
	}
	return "", ""
}

func fileActions(f *pb.FileOp) string {
	var names []string
	for _, act := range f.Actions {
		switch a := act.Action.(type) {
		case *pb.FileAction_Copy:
			names = append(names, fmt.Sprintf("copy %s to %s", a.Copy.Src, a.Copy.Dest))
		case *pb.FileAction_Mkfile:
			names = append(names, "make file "+a.Mkfile.Path)
		case *pb.FileAction_Mkdir:
			names = append(names, "make folder "+a.Mkdir.Path)
		case *pb.FileAction_Symlink:
			names = append(names, "link "+a.Symlink.Newpath)
		case *pb.FileAction_Rm:
			names = append(names, "remove "+a.Rm.Path)
		}
	}
	return strings.Join(names, ", ")
}

// mountOf returns the path at which a step mounts its input number i. It
// returns "" for the root.
func mountOf(op *pb.Op, i int) string {
	exec, ok := op.Op.(*pb.Op_Exec)
	if !ok {
		return ""
	}
	for _, m := range exec.Exec.Mounts {
		if int(m.Input) == i && m.Dest != "/" {
			return m.Dest
		}
	}
	return ""
}
