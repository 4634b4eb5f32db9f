package frontend

import (
	"fmt"
	"path"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// A syntax is the frontend that a Dockerfile asks for.
type syntax struct {
	kind syntaxKind
	ref  string // as the file, or the build argument, names it
}

type syntaxKind int

const (
	syntaxLarder syntaxKind = iota // Larder's, or none is named
	syntaxDocker                   // docker/dockerfile
	syntaxOther
)

// published is the name that Larder's own image has in its registry.
const published = "ghcr.io/larder-build/larder:1"

// syntaxArg is the build argument that stands before a file's own syntax line.
const syntaxArg = "BUILDKIT_SYNTAX"

// syntaxOf finds which frontend a file asks for by its "# syntax=" line or, with more weight, the build argument
// BUILDKIT_SYNTAX. Under whatever registry, larder is Larder's and docker/dockerfile is BuildKit's own.
func syntaxOf(file []byte, buildArgs map[string]string) syntax {
	ref, _, _, ok := parser.DetectSyntax(file)
	if arg, given := buildArgs[syntaxArg]; given {
		ref, _, _ = strings.Cut(strings.TrimSpace(arg), " ")
		ok = true
	}
	if !ok {
		return syntax{kind: syntaxLarder}
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return syntax{syntaxOther, ref}
	}
	repository := path.Join("/", reference.Path(named))
	switch {
	case path.Base(repository) == "larder":
		return syntax{syntaxLarder, ref}
	case strings.HasSuffix(repository, "/docker/dockerfile"), strings.HasSuffix(repository, "/docker/dockerfile-upstream"):
		return syntax{syntaxDocker, ref}
	}
	return syntax{syntaxOther, ref}
}

// checkPlanned refuses to plan a file that another frontend builds.
func (s syntax) checkPlanned(filename string) error {
	if s.kind != syntaxOther {
		return nil
	}
	return fmt.Errorf("%s asks for the frontend %s, which alone knows what it builds: 'larder build' runs it; to see Larder's plan, write # syntax=%s", filename, s.ref, published)
}
