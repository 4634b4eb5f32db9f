package planner

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// ImageContexts returns the images of a file that a named context may replace, by their full references, each once,
// sorted. It finds them in FROM, COPY --from and RUN --mount=from=, for all of the request's platforms, and in the
// syntax line. BuildKit looks up a context by the image's short name, before it looks for stages. So ImageContexts
// leaves out an image whose short name is also that of a stage, of a virtual base or of one of Larder's contexts, since
// the context would replace these, too.
func ImageContexts(filename string, data []byte, req Request) []string {
	f := dockerfile.Parse(filename, data)
	names := map[string]bool{}
	if ref, _, _, ok := parser.DetectSyntax(data); ok {
		names[ref] = true
	}
	if ref, _, _ := strings.Cut(strings.TrimSpace(req.BuildArgs["BUILDKIT_SYNTAX"]), " "); ref != "" {
		names[ref] = true
	}
	for _, platform := range req.Platforms {
		of := req
		of.Platforms = []string{platform}
		for _, i := range imagesIn(f, of) {
			names[i.name] = true
		}
	}
	var list []string
	for name := range names {
		ref, err := reference.ParseNormalizedNamed(name)
		if err != nil || means(f, contextName(ref)) {
			continue // what is no reference is told where it is built
		}
		list = append(list, reference.TagNameOnly(ref).String())
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// contextName returns the name under which BuildKit looks for an image's context.
func contextName(ref reference.Named) string {
	return strings.ToLower(strings.TrimSuffix(reference.FamiliarString(ref), ":latest"))
}

// ContextName returns the name under which BuildKit looks for a named context in the place of an image, or of what else has
// that name.
func ContextName(name string) string {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return strings.ToLower(name)
	}
	return contextName(ref)
}

// means reports whether a name is already taken: by a stage of the file, by a virtual base or by Larder.
func means(f dockerfile.File, name string) bool {
	kind, _, _ := strings.Cut(name, ":")
	if slices.Contains([]string{baseGo, baseStatic, "scratch", "context", "dockerfile"}, kind) || name == "larder" || strings.HasPrefix(name, "larder-") || strings.HasPrefix(name, ContextPrefix) {
		return true
	}
	for _, st := range f.Stages {
		if other, err := reference.ParseNormalizedNamed(strings.ToLower(st.Name)); err == nil && contextName(other) == name {
			return true
		}
	}
	return false
}
