package planner

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the plan as text for people.
func (p *Plan) WriteText(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("file", "%s (%s)", p.Filename, levelText(p))
	if p.Module != "" {
		row("module", "%s", p.Module)
	}
	for i, pkg := range p.Packages {
		mark := ""
		if i == len(p.Packages)-1 && len(p.Packages) > 1 {
			mark = ", the one that is built"
		}
		row("package", "%s (target %s%s)", pkg.Dir, pkg.target, mark)
	}
	row("platforms", "%s, built on %s", strings.Join(p.Platforms, ", "), p.BuildPlatform)
	for _, t := range p.Toolchains {
		row("toolchain", "%s: %s", t.Version, t.Why)
		row("", "from %s, checked by %s", t.Source, checkedBy(t))
	}
	for _, m := range p.Modules {
		m.text(row)
	}
	for i, r := range p.Rewrites {
		row(first(i, "rewritten"), "line %d: %s", r.Line, r.What)
	}
	for i, line := range p.CA {
		row(first(i, "secret ca"), "line %d: named by the step's environment", line)
	}
	for i, n := range p.Notes {
		row(first(i, "note"), "line %d: %s", n.Line, n.Text)
	}
	for i, warning := range p.Warnings {
		row(first(i, "warning"), "line %d: %s: %s", warning.Location[0].Start.Line, warning.Rule, warning.Message)
	}
	for i, s := range p.Steps {
		row(first(i, "steps"), "%s", s)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	switch {
	case !p.Go:
		_, err := fmt.Fprintln(w, "\nNothing in the file is rewritten: it is built as docker/dockerfile builds it.")
		return err
	case p.Level != 0:
		return p.writeSideBySide(w)
	}
	_, err := fmt.Fprintf(w, "\nThe Dockerfile that BuildKit's converter is given:\n\n%s", indent(p.Dockerfile))
	return err
}

// first returns the name for the first of several rows, and "" for the others.
func first(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func (m *Modules) text(row func(name, format string, args ...any)) {
	switch {
	case m.Vendored:
		row("modules", "from vendor/ in the context, which has no checksums: unverified")
	case len(m.Sources) == 0:
		row("modules", "none: the standard library alone")
	default:
		row("modules", "%s with source, %d go.mod files, from %s", modules(m.Zips), m.GoMods, sourceList(m.Sources))
		row("module key", "%s", m.Key)
	}
}

// String returns the step's name, platform and network.
func (s Step) String() string {
	network := "no network"
	if s.Network {
		network = "NETWORK"
	}
	if s.Platform != "" {
		return fmt.Sprintf("%s, for %s (%s)", s.Name, s.Platform, network)
	}
	return fmt.Sprintf("%s (%s)", s.Name, network)
}

func levelText(p *Plan) string {
	switch {
	case p.Syntax != "":
		return "its syntax line asks for " + p.Syntax
	case p.Level == 0:
		return "no instructions: an image of the main package"
	case p.Level == 1:
		return "a Go Dockerfile: it has GO instructions"
	}
	return "a Dockerfile"
}

func checkedBy(t Toolchain) string {
	if t.Pinned {
		return "a pinned sum"
	}
	return "the checksum database"
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line != "\n" {
			b.WriteString("    ")
		}
		b.WriteString(line)
	}
	return b.String()
}
