package offline

import (
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/larder-build/larder/internal/redact"
)

// A Policy names the registries that an offline build may use. Its zero value allows none.
type Policy struct {
	// Replayed says that the builder answers requests of steps, and downloads of files, only from a recording.
	Replayed bool

	allowed []registry
}

// A registry is a host, or the repositories of a host that are repo or lie below it.
type registry struct{ host, repo string }

// ParsePolicy reads a list of registries, separated by commas, such as "registry.internal,registry.internal:5000/base":
// each is a host with or without a port, or a repository or a folder of repositories on one. The error names an invalid
// entry.
func ParsePolicy(list string) (Policy, error) {
	var p Policy
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSuffix(strings.TrimSpace(entry), "/")
		if entry == "" {
			continue
		}
		host, repo, _ := strings.Cut(entry, "/")
		// What tells a host from a part of a repository's name is docker's rule, without its default host.
		if !strings.ContainsAny(host, ".:") && host != "localhost" {
			return Policy{}, fmt.Errorf("%q is no registry: expected a host or a repository with its host, such as registry.internal or docker.io/library/alpine", entry)
		}
		probe := entry
		if repo == "" {
			probe = host + "/x"
		}
		if named, err := reference.ParseNormalizedNamed(probe); err != nil || !reference.IsNameOnly(named) {
			return Policy{}, fmt.Errorf("%q is no registry: expected HOST[:PORT][/REPOSITORY], without a scheme, tag or digest", entry)
		}
		p.allowed = append(p.allowed, registry{host, repo})
	}
	return p, nil
}

// Strings returns the policy's entries, sorted; never nil.
func (p Policy) Strings() []string {
	out := []string{}
	for _, r := range p.allowed {
		out = append(out, strings.TrimSuffix(r.host+"/"+r.repo, "/"))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Image reports whether an image may be fetched. A reference without a host is one of docker.io.
func (p Policy) Image(ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	host, repo := reference.Domain(named), reference.Path(named)
	return slices.ContainsFunc(p.allowed, func(r registry) bool {
		return r.host == host && (r.repo == "" || r.repo == repo || strings.HasPrefix(repo, r.repo+"/"))
	})
}

// Source returns the violation of a source, and whether there is one. Schemes are those of BuildKit; an unknown scheme
// is refused.
func (p Policy) Source(src *pb.SourceOp) (Violation, bool) {
	scheme, rest, ok := strings.Cut(src.GetIdentifier(), "://")
	v := Violation{Kind: Source, Subject: redact.URL(src.GetIdentifier())}
	if !ok || len(src.ProtoReflect().GetUnknown()) > 0 {
		return v, true
	}
	switch scheme {
	case srctypes.LocalScheme, srctypes.OCIScheme, srctypes.OCIBlobScheme:
		return v, false // sent by the client
	case srctypes.DockerImageScheme, srctypes.DockerImageBlobScheme:
		v.Kind, v.Subject = Image, rest
		return v, !p.Image(rest)
	case srctypes.GitScheme:
		v.Kind = Git
	case srctypes.HTTPScheme, srctypes.HTTPSScheme:
		v.Kind = Web
		return v, !p.Replayed
	}
	return v, true
}
