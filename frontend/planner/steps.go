package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
)

// addSteps lists the builder's steps in an order in which they can run.
func (p *Plan) addSteps() {
	for _, t := range p.Toolchains {
		p.Steps = append(p.Steps,
			Step{Name: fmt.Sprintf("take %s for %s from %s", t.Version, p.BuildPlatform, t.Source), Network: t.Source.Network() || !t.Pinned},
			Step{Name: fmt.Sprintf("check and unpack %s", t.Version)})
	}
	for _, m := range p.Modules {
		if len(m.Sources) == 0 {
			continue
		}
		step := Step{Name: "check and unpack " + modules(m.Zips)}
		if FetchNeeded(m.Sources) {
			step = Step{Name: fmt.Sprintf("fetch and unpack %s from %s", modules(m.Zips), m.from()), Network: m.Network()}
		}
		p.Steps = append(p.Steps, step)
		if m.FIPS != nil {
			p.Steps = append(p.Steps, Step{Name: "unpack GOFIPS140=" + m.FIPS.Version + " of " + m.FIPS.Toolchain})
		}
	}
	for _, d := range p.Deps {
		for _, r := range d.Ready {
			p.Steps = append(p.Steps, Step{Name: "take what is compiled for " + d.For + " from the named context " + r.Context, Platform: r.Platform})
		}
		if len(d.Ready) == len(p.Platforms) {
			continue
		}
		what := "what is imported from elsewhere"
		if d.Standard {
			what = "what is imported of the standard library"
		}
		if d.GoMod != nil {
			p.Steps = append(p.Steps, Step{Name: "list what is compiled first, for " + d.For})
		}
		p.Steps = append(p.Steps, Step{Name: "compile " + what + ", for " + d.For})
	}
	for _, c := range p.Compiled {
		p.Steps = append(p.Steps, Step{Name: "compile what is linked, for " + c.For})
	}
	if p.Static {
		p.Steps = append(p.Steps, Step{Name: "make the static base: CA roots, time zones, users"})
	}
	for _, r := range p.Rewrites {
		if r.Runs {
			p.Steps = append(p.Steps, Step{Name: fmt.Sprintf("line %d: %s", r.Line, dockerfile.Abbreviate(strings.Join(strings.Fields(r.Text), " "))), Network: r.Network})
		}
	}
	if len(p.CgoCopies) > 0 {
		p.Steps = append(p.Steps, Step{Name: "look in the image for the libraries of what cgo made"})
	}
	if len(p.Packages) == 0 {
		return
	}
	for _, platform := range p.Platforms {
		p.Steps = append(p.Steps, Step{Name: "go build " + p.Packages[len(p.Packages)-1].Dir, Platform: platform})
	}
}

// FetchNeeded reports whether modules have to be fetched. A single folder can be used as it is.
func FetchNeeded(sources []Source) bool {
	return len(sources) != 1 || !sources[0].atHand()
}

// Network reports whether a network is needed to fetch the modules.
func (m *Modules) Network() bool {
	return m.Private > 0 || slices.ContainsFunc(m.Sources, Source.Network)
}

// from says in words where modules come from.
func (m *Modules) from() string {
	switch m.Private {
	case 0:
		return sourceList(m.Sources)
	case m.Zips:
		return "version control"
	}
	return fmt.Sprintf("%s, %d of them from version control", sourceList(m.Sources), m.Private)
}

func sourceList(sources []Source) string {
	list := ""
	for i, s := range sources {
		if i > 0 {
			list += ", then "
		}
		list += s.String()
	}
	return list
}

func modules(n int) string {
	if n == 1 {
		return "1 module"
	}
	return fmt.Sprintf("%d modules", n)
}
