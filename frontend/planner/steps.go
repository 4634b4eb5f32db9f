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
			Step{Name: fmt.Sprintf("take %s for %s from %s", t.Version, p.BuildPlatform, t.Source), Network: t.Source.Network() || !t.Pinned, Context: ToolchainRoot(t.Version)},
			Step{Name: fmt.Sprintf("check and unpack %s", t.Version), Context: ToolchainRoot(t.Version)})
	}
	for _, m := range p.Modules {
		if len(m.Sources) == 0 {
			continue
		}
		step := Step{Name: "check and unpack " + modules(m.Zips), Context: m.Context}
		if FetchNeeded(m.Sources) {
			step = Step{Name: fmt.Sprintf("fetch and unpack %s from %s", modules(m.Zips), m.from()), Network: m.Network(), Context: m.Context}
		}
		p.Steps = append(p.Steps, step)
		if m.FIPS != nil {
			p.Steps = append(p.Steps, Step{Name: "unpack GOFIPS140=" + m.FIPS.Version + " of " + m.FIPS.Toolchain, Context: m.Context})
		}
	}
	for _, d := range p.Deps {
		for _, r := range d.Ready {
			p.Steps = append(p.Steps, Step{Name: "take what is compiled for " + d.For + " from the named context " + r.Context, Platform: r.Platform, Context: d.Context})
		}
		if len(d.Ready) == len(p.Platforms) {
			continue
		}
		what := "what is imported from elsewhere"
		if d.Standard {
			what = "what is imported of the standard library"
		}
		if d.GoMod != nil {
			p.Steps = append(p.Steps, Step{Name: "list what is compiled first, for " + d.For, Context: d.Context})
		}
		p.Steps = append(p.Steps, Step{Name: "compile " + what + ", for " + d.For, Context: d.Context})
	}
	for _, c := range p.Compiled {
		p.Steps = append(p.Steps, Step{Name: "compile what is linked, for " + c.For, Context: c.Context})
	}
	if p.Static {
		p.Steps = append(p.Steps, Step{Name: "make the static base: CA roots, time zones, users", Context: StaticContext})
	}
	for _, r := range p.Rewrites {
		if r.Runs {
			p.Steps = append(p.Steps, Step{Name: fmt.Sprintf("line %d: %s", r.Line, dockerfile.Abbreviate(strings.Join(strings.Fields(r.Text), " "))), Network: r.Network, Line: r.Line})
		}
	}
	if len(p.CgoCopies) > 0 {
		p.Steps = append(p.Steps, Step{Name: "look in the image for the libraries of what cgo made"})
	}
	if len(p.Packages) == 0 {
		return
	}
	built := p.Packages[len(p.Packages)-1]
	for _, platform := range p.Platforms {
		p.Steps = append(p.Steps, Step{Name: "go build " + built.Dir, Platform: platform, Context: BinaryContext(built)})
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
