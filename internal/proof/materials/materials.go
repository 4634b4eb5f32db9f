package materials

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/redact"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Kind is the kind of a source.
type Kind string

// These are the kinds of sources.
const (
	Image Kind = "image" // of a registry or an OCI layout
	Web   Kind = "web"   // a file of the web
	Git   Kind = "git"   // a repository
	Local Kind = "local" // sent by the client
	Other Kind = "other" // of a scheme that isn't known here
)

// A Source is what the builder takes from outside. Its URL has no credentials.
type Source struct {
	Kind     Kind
	Name     string // an image's reference without digest, a URL, or a local folder's name
	Digest   string // ALGORITHM:HEX, or the commit of a repository; empty if it isn't known beforehand
	Platform string // of an image, such as linux/arm64; may be empty
}

// A Toolchain is a toolchain that a step of Larder's checks and unpacks. If it is pinned, its sum is in the definition;
// otherwise a step asks the checksum database for the sum of Version and Platform.
type Toolchain struct {
	H1                string
	Version, Platform string
}

// A Report is the result of Find. Its lists are sorted and have no duplicates.
type Report struct {
	Sources    []Source
	Modules    []gomod.Sum // whose zips are checked and unpacked
	Toolchains []Toolchain
	Steps      int      // that run a command
	Network    []string // names of steps that have a network, or may

	Bundle   *Bundle    // set by who knows of one: Find doesn't
	Compiled []Compiled // as Bundle: layers of compiled packages that no step of the build has made
}

// Find looks at every operation of a definition, except those with which an earlier build compiled the packages that
// its modules need. From that layer the go command takes only packages that it would otherwise compile itself from the
// modules of this build.
func Find(def *pb.Definition) (Report, error) {
	var r Report
	g, err := parse(def)
	if err != nil {
		return r, err
	}
	earlier := g.earlier()
	for i, op := range g.ops {
		if earlier[op] {
			continue
		}
		switch o := op.GetOp().(type) {
		case *pb.Op_Source:
			r.Sources = append(r.Sources, source(o.Source, op.GetPlatform()))
		case *pb.Op_Exec:
			r.Steps++
			if o.Exec.GetNetwork() != pb.NetMode_NONE {
				r.Network = append(r.Network, cmp.Or(g.name(i), strings.Join(o.Exec.GetMeta().GetArgs(), " ")))
			}
			if err := r.ownStep(g, op); err != nil {
				return r, err
			}
		case *pb.Op_Build:
			r.Network = append(r.Network, cmp.Or(g.name(i), "a step that makes more steps"))
		}
	}
	r.sort()
	return r, nil
}

// ownStep reads the arguments of a step of Larder's own, and adds the modules or the toolchain that it unpacks. Any
// step with the same arguments does the same.
func (r *Report) ownStep(g *graph, op *pb.Op) error {
	own, err := step.Read(op.GetExec().GetMeta().GetArgs())
	if err != nil {
		return fmt.Errorf("reading a step of Larder's own: %w", err)
	}
	switch s := own.(type) {
	case *step.Modules:
		set, err := gomod.ParseSums(gomod.File{Name: s.Sums, Data: g.fileAt(op, s.Sums)})
		if err != nil {
			return fmt.Errorf("the list of modules of a step: %w", err)
		}
		r.Modules = append(r.Modules, set.Zips()...)
	case *step.UnpackToolchain:
		if s.H1 != "" {
			r.Toolchains = append(r.Toolchains, Toolchain{H1: s.H1})
		}
	case *step.FetchToolchain:
		if s.H1 == "" { // of a pinned one the step that unpacks it tells
			r.Toolchains = append(r.Toolchains, Toolchain{Version: s.Version, Platform: s.Platform})
		}
	}
	return nil
}

func (r *Report) sort() {
	slices.SortFunc(r.Sources, func(a, b Source) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Platform, b.Platform))
	})
	r.Sources = slices.Compact(r.Sources)
	slices.SortFunc(r.Modules, func(a, b gomod.Sum) int { return cmp.Compare(a.String(), b.String()) })
	r.Modules = slices.Compact(r.Modules)
	slices.SortFunc(r.Toolchains, func(a, b Toolchain) int {
		return cmp.Or(cmp.Compare(a.H1, b.H1), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Platform, b.Platform))
	})
	r.Toolchains = slices.Compact(r.Toolchains)
	slices.Sort(r.Network)
	r.Network = slices.Compact(r.Network)
}

// NotHermetic lists the reasons why a build isn't hermetic: inputs that weren't declared beforehand by something that
// can't change, and steps with a network. Each is a sentence without a full stop. If the list is empty, the build is
// hermetic.
func (r Report) NotHermetic() []string {
	reasons := []string{}
	for _, name := range r.Network {
		reasons = append(reasons, "the step "+name+" had a network")
	}
	for _, s := range r.Sources {
		switch {
		case s.Kind == Local:
			reasons = append(reasons, "the folder "+s.Name+" was sent by the client, without a digest")
		case s.Digest == "":
			reasons = append(reasons, s.Name+" was taken without a digest")
		}
	}
	return reasons
}

// Base returns the base image of a definition's result, and whether there is one.
func Base(def *pb.Definition) (Source, bool) {
	g, err := parse(def)
	if err != nil {
		return Source{}, false
	}
	op := g.base()
	if op.GetSource() == nil {
		return Source{}, false
	}
	s := source(op.GetSource(), op.GetPlatform())
	return s, s.Kind == Image
}

func source(src *pb.SourceOp, p *pb.Platform) Source {
	scheme, rest, _ := strings.Cut(src.GetIdentifier(), "://")
	s := Source{Kind: Other, Name: redact.URL(src.GetIdentifier())}
	switch scheme {
	case srctypes.LocalScheme:
		s.Kind, s.Name = Local, rest
	case srctypes.DockerImageScheme, srctypes.DockerImageBlobScheme, srctypes.OCIScheme, srctypes.OCIBlobScheme:
		s.Kind, s.Name = Image, rest
		if named, err := reference.ParseNormalizedNamed(rest); err == nil {
			s.Name, s.Digest = imageName(named)
		}
		if p != nil {
			s.Platform = platforms.FormatAll(platforms.Normalize(ocispecs.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}))
		}
	case srctypes.HTTPScheme, srctypes.HTTPSScheme:
		s.Kind, s.Digest = Web, src.GetAttrs()[pb.AttrHTTPChecksum]
	case srctypes.GitScheme:
		s.Kind, s.Digest = Git, commit(src)
	}
	return s
}

// imageName returns an image's reference without its digest, and the digest.
func imageName(named reference.Named) (name, dgst string) {
	name = named.Name()
	if tagged, ok := named.(reference.Tagged); ok {
		name += ":" + tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		dgst = digested.Digest().String()
	}
	return name, dgst
}

// commit returns the commit that a git source names, or "" if it names a branch or a tag, or an abbreviated one.
func commit(src *pb.SourceOp) string {
	_, ref, _ := strings.Cut(src.GetIdentifier(), "#")
	ref, _, _ = strings.Cut(ref, ":")
	for _, s := range []string{src.GetAttrs()[pb.AttrGitChecksum], ref} {
		if (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdef") == "" {
			return s
		}
	}
	return ""
}
