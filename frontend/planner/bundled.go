package planner

import (
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// ImageContexts returns the images that a file names (in FROM, COPY --from and RUN --mount=from=, for any of the request's
// platforms, and as its frontend) and that a named context may stand for: by their full references, each once, sorted.
// BuildKit looks for a context by the short name, and before all else. So an image is left out if it has the short name of
// a stage of the file, of a virtual base or of a context of Larder's own, since the context would take their place, too.
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

// contextName returns the name that BuildKit looks for a context by.
func contextName(ref reference.Named) string {
	return strings.ToLower(strings.TrimSuffix(reference.FamiliarString(ref), ":latest"))
}

// means reports whether a name means something else than an image in the file, or to Larder.
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
