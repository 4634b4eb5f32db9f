package frontend

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/proof/offline"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/solver/errdefs"
)

// A refusal is the error of a build with LARDER_OFFLINE=1 that would use a network.
type refusal struct{ text string }

func (r *refusal) Error() string { return offlineArg + "=1: " + r.text }

func refused(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// refuse makes one error of all violations: each with its line, what is wrong and what to do. The error carries the
// places too, for a client that shows them.
func (g *guard) refuse(all []offline.Violation) error {
	text := "the build would use a network:"
	var places []*errdefs.Source
	for _, v := range all {
		if _, _, line := v.Line(); strings.Contains(line, planner.ContextPrefix) {
			v.At = nil // the line is of a file that Larder wrote, for a build without instructions
		}
		if v.At != nil {
			places = append(places, v.At)
		}
		text += "\n  " + g.describe(v)
	}
	var err error = &refusal{text}
	for _, at := range places {
		err = errdefs.WithSource(err, at)
	}
	return err
}

func (g *guard) describe(v offline.Violation) string {
	what := fmt.Sprintf("%s: %s", v, g.remedy(v))
	kind, _ := step.Kind(v.Args)
	file, number, text := v.Line()
	switch {
	case file == "" && v.Name == "":
		return what
	case file == "":
		return v.Name + "\n    " + what
	case kind != "":
		what = v.Name + ": " + what // the line is that of the step which needs this one
	}
	return fmt.Sprintf("%s:%d: %s\n    %s", file, number, text, what)
}

// remedy says what to do about a violation.
func (g *guard) remedy(v offline.Violation) string {
	const folder = "pass a folder in its place, as the build context or with --build-context NAME=FOLDER"
	switch v.Kind {
	case offline.Image:
		return g.imageRemedy(v.Subject, v.Name)
	case offline.Web:
		if strings.Contains(v.Subject, "/"+gomod.ToolchainPath+"/@v/") {
			return toolchainRemedy
		}
		return folder
	case offline.Git, offline.Source:
		return folder
	case offline.Step:
		switch kind, _ := step.Kind(v.Args); kind {
		case step.KindOf(&step.Modules{}):
			return "pass the modules with --build-context " + planner.ModulesContext + "=FOLDER, or commit a vendor folder"
		case step.KindOf(&step.FetchToolchain{}):
			return toolchainRemedy
		}
	case offline.Nested, offline.Unknown:
		return "build without it"
	}
	return "leave --network out, so that the step has none"
}

const toolchainRemedy = "pass a folder that holds golang.org/toolchain with --build-context " + planner.ToolchainContext + "=FOLDER"

// imageRemedy says what to do about an image. The step's name may show that the image is a named context already.
func (g *guard) imageRemedy(ref, step string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "name an image"
	}
	name := reference.FamiliarName(named)
	if tagged, ok := named.(reference.Tagged); ok && tagged.Tag() != "latest" {
		name += ":" + tagged.Tag()
	}
	if given, ok := strings.CutPrefix(step, "[context "); ok {
		name, _, _ = strings.Cut(given, "]")
		name, _, _ = strings.Cut(name, "::") // a platform
	}
	what := ""
	if own, err := reference.ParseNormalizedNamed(g.opts["source"]); err == nil && own.Name() == named.Name() {
		what = "it is this frontend's own, which runs steps: "
	}
	return fmt.Sprintf("%spass it with --build-context %s=oci-layout://FOLDER, or allow its registry with --build-arg %s=%s", what, name, allowArg, reference.Domain(named))
}

// explain adds to the error of a build that some images were given an empty config, since that may be the cause.
func (g *guard) explain(err error) error {
	var refusal *refusal
	if len(g.unread) == 0 || errors.As(err, &refusal) {
		return err
	}
	unread := slices.Compact(slices.Sorted(slices.Values(g.unread)))
	return fmt.Errorf("%w (%s=1: nothing was asked about %s: %s)", err, offlineArg, strings.Join(unread, ", "), g.imageRemedy(unread[0], ""))
}
