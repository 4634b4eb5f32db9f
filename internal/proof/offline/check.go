// Package offline finds operations that would use a network in a build's definition. It checks the definition that the
// builder gets, right before steps run, whoever made it. It refuses operations that it doesn't know.
//
// It sees sources and steps. What the builder does by itself, such as to push the result, is in no definition.
package offline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// A Kind is the kind of a violation.
type Kind int

// These are the kinds of violations.
const (
	Image   Kind = iota // an image of a registry that isn't allowed; the subject is its reference
	Git                 // a git repository; the subject is its URL
	Web                 // a file of the web; the subject is its URL
	Source              // a source of an unknown scheme; the subject is its URL
	Step                // a step with a network; the subject says whose
	Asked               // a step without one, of a line that asks for one; the subject is the flag
	Nested              // a definition made by a step, which can't be looked into
	Unknown             // an operation that isn't known here
)

// A Violation is an operation that uses a network, or may use one.
type Violation struct {
	Kind    Kind
	Subject string          // what it is about, without credentials
	Name    string          // the vertex's, as the progress display shows it; may be empty
	Args    []string        // of a step
	At      *errdefs.Source // the first place in a file that it, or what is made of it, comes from; nil if none is known
}

// String describes the violation in a few words.
func (v Violation) String() string {
	switch v.Kind {
	case Image:
		return "the image " + v.Subject + " comes from a registry"
	case Git:
		return "the git repository " + v.Subject + " is fetched"
	case Web:
		return v.Subject + " is downloaded"
	case Source:
		return v.Subject + " is a source that Larder doesn't know"
	case Step:
		return "the step runs with " + v.Subject
	case Asked:
		return "the line has " + v.Subject + ", and no step has a network"
	case Nested:
		return "the step makes more steps, which can't be looked into beforehand"
	}
	return "it is an operation that this version of Larder doesn't know"
}

// A Report is the result of Check.
type Report struct {
	Violations []Violation // in the order of the file, and then those without a place in one

	Definition digest.Digest  // of the head, and with it of all that it is made from; empty for an empty definition
	Sources    map[string]int // how many there are, by scheme
	Images     []string       // references of what comes from allowed registries, sorted
	Steps      int            // that run a command
	Insecure   int            // of these, with security.insecure
	SSH        int            // of these, with an SSH agent
	Replayed   int            // of these, with a network that answers from what was recorded
}

// Check looks at every operation of a definition, whether the result needs it or not.
func Check(def *pb.Definition, allow Policy) Report {
	c := checker{def: def, allow: allow, flags: map[*pb.SourceInfo]map[int]string{}}
	c.report.Sources = map[string]int{}
	for i, data := range def.GetDef() {
		c.dgst = digest.FromBytes(data)
		c.report.Definition = c.dgst
		c.op(data, i == len(def.Def)-1)
	}
	c.report.Images = slices.Compact(slices.Sorted(slices.Values(c.report.Images)))
	c.report.Violations = sorted(c.report.Violations)
	return c.report
}

type checker struct {
	def    *pb.Definition
	allow  Policy
	report Report
	dgst   digest.Digest                     // of the operation at hand
	flags  map[*pb.SourceInfo]map[int]string // see networkFlags
	users  map[digest.Digest][]digest.Digest // see usersOf
}

func (c *checker) op(data []byte, last bool) {
	var op pb.Op
	if err := op.UnmarshalVT(data); err != nil || len(op.ProtoReflect().GetUnknown()) > 0 {
		c.add(Violation{Kind: Unknown})
		return
	}
	switch o := op.Op.(type) {
	case *pb.Op_Source:
		c.source(o.Source)
	case *pb.Op_Exec:
		c.exec(o.Exec)
	case *pb.Op_File, *pb.Op_Merge, *pb.Op_Diff, *pb.Op_Passthrough:
	case *pb.Op_Build:
		c.add(Violation{Kind: Nested})
	default:
		if !last || op.Op != nil { // the head of a definition has inputs alone
			c.add(Violation{Kind: Unknown})
		}
	}
}

func (c *checker) source(src *pb.SourceOp) {
	scheme, rest, _ := strings.Cut(src.GetIdentifier(), "://")
	v, refused := c.allow.Source(src)
	switch {
	case refused:
		c.add(v)
	case v.Kind == Image:
		c.report.Images = append(c.report.Images, rest)
	}
	c.report.Sources[scheme]++
}

func (c *checker) exec(exec *pb.ExecOp) {
	c.report.Steps++
	if exec.GetSecurity() != pb.SecurityMode_SANDBOX {
		c.report.Insecure++
	}
	if slices.ContainsFunc(exec.GetMounts(), func(m *pb.Mount) bool { return m.GetMountType() == pb.MountType_SSH }) {
		c.report.SSH++
	}
	v := Violation{Kind: Step, Args: exec.GetMeta().GetArgs()}
	switch mode := exec.GetNetwork(); {
	case len(exec.ProtoReflect().GetUnknown()) > 0:
		v.Kind = Unknown
	case c.allow.Replayed && (mode == pb.NetMode_UNSET || mode == pb.NetMode_HOST):
		c.report.Replayed++
		return
	case mode == pb.NetMode_UNSET:
		v.Subject = "the builder's network"
	case mode == pb.NetMode_HOST:
		v.Subject = "the network of the builder's host"
	case mode != pb.NetMode_NONE:
		v.Subject = fmt.Sprintf("network mode %d, which Larder doesn't know", mode)
	default:
		flag := c.networkFlag()
		if flag == "" {
			return
		}
		v.Kind, v.Subject = Asked, flag
	}
	c.add(v)
}

// add records a violation by the current operation.
func (c *checker) add(v Violation) {
	v.Name = c.def.GetMetadata()[string(c.dgst)].GetDescription()["llb.customname"]
	v.At = c.place(c.dgst)
	c.report.Violations = append(c.report.Violations, v)
}

// sorted sorts violations by their files, and leaves out those with the same text.
func sorted(all []Violation) []Violation {
	slices.SortStableFunc(all, func(a, b Violation) int {
		if a.At == nil || b.At == nil {
			return cmp.Or(cmp.Compare(boolInt(a.At == nil), boolInt(b.At == nil)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.String(), b.String()))
		}
		return cmp.Or(cmp.Compare(a.At.GetInfo().GetFilename(), b.At.GetInfo().GetFilename()), cmp.Compare(line(a.At), line(b.At)), cmp.Compare(a.String(), b.String()), slices.Compare(a.Args, b.Args))
	})
	return slices.CompactFunc(all, func(a, b Violation) bool {
		if a.String() != b.String() || (a.At == nil) != (b.At == nil) {
			return false
		}
		if a.At == nil {
			return a.Name == b.Name
		}
		return a.At.GetInfo().GetFilename() == b.At.GetInfo().GetFilename() && line(a.At) == line(b.At) && slices.Equal(a.Args, b.Args)
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
