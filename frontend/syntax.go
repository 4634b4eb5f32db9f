package frontend

import (
	"fmt"
	"path"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// A syntax is the frontend that a Dockerfile names.
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

// published is the name of Larder's own image in its registry.
const published = "ghcr.io/larder-build/larder:1"

// syntaxArg is the build argument that overrides the file's syntax line.
const syntaxArg = "BUILDKIT_SYNTAX"

// syntaxOf finds which frontend a file names by its "# syntax=" line. The build argument BUILDKIT_SYNTAX overrides the
// line. An image called larder is Larder, and one called docker/dockerfile is BuildKit's own, in any registry.
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

// checkPlanned fails if another frontend builds the file.
func (s syntax) checkPlanned(filename string) error {
	if s.kind != syntaxOther {
		return nil
	}
	return fmt.Errorf("%s asks for the frontend %s, which alone knows what it builds: 'larder build' runs it; to see Larder's plan, write # syntax=%s", filename, s.ref, published)
}
