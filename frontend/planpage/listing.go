package planpage

import (
	"html/template"
	"strings"

	"github.com/larder-build/larder/frontend/planner"
)

// A listing is the Dockerfile, with what becomes of each instruction.
type listing struct {
	Blocks []block
	More   int    // lines that aren't shown
	Given  string // what BuildKit is given in place of a file without instructions, or has more than the file
}

// A block is an instruction, or the lines between two.
type block struct {
	First    int
	Lines    []string
	What     string // what becomes of it; "" if BuildKit is given it as it is
	Changed  bool
	Idle     bool   // it isn't part of what is built
	Given    string // what BuildKit is given in its place
	Notes    []string
	Warnings []planner.Warning
	Step     *step // nil for none
}

// Numbered returns the lines with their numbers.
func (b block) Numbered() (list []numbered) {
	for i, text := range b.Lines {
		list = append(list, numbered{b.First + i, text})
	}
	return list
}

type numbered struct {
	Number int
	Text   string
}

// cost returns about how many bytes of HTML a block takes, and no less.
func (b block) cost() int {
	size := 500
	add := func(texts ...string) {
		for _, text := range texts {
			size += 100 + len(template.HTMLEscapeString(text))
		}
	}
	add(b.Lines...)
	add(b.Notes...)
	add(b.What, b.Given)
	for _, w := range b.Warnings {
		add(w.Rule, w.URL, w.Message)
	}
	return size
}

func newListing(p Page, g *graph) listing {
	given := strings.Split(p.Plan.Dockerfile, "\n")
	lines := strings.Split(strings.TrimSuffix(string(p.File.Data), "\n"), "\n")
	var l listing
	l.Blocks, l.More = blocks(p, lines)
	w := &annotator{Page: p, graph: g, given: given, changes: map[int][]string{}, notes: map[int][]string{}, warnings: map[int][]planner.Warning{}, idle: idle(p, g)}
	for _, r := range p.Plan.Rewrites {
		w.changes[r.Line] = append(w.changes[r.Line], r.What)
	}
	for _, line := range p.Plan.CA {
		w.notes[line] = append(w.notes[line], "it is given the secret ca, and its environment names that")
	}
	for _, n := range p.Plan.Notes {
		w.notes[n.Line] = append(w.notes[n.Line], n.Text)
	}
	for _, warning := range p.Plan.Warnings {
		if len(warning.Location) > 0 {
			line := warning.Location[0].Start.Line
			w.warnings[line] = append(w.warnings[line], warning)
		}
	}
	left := maxListing
	for i := range l.Blocks {
		w.annotate(&l.Blocks[i])
		if left -= l.Blocks[i].cost(); left < 0 {
			l.Blocks, l.More = l.Blocks[:i], len(lines)-(l.Blocks[i].First-1)
			break
		}
	}
	if len(given) > len(lines)+1 && l.More == 0 {
		l.Given = shorten(strings.Trim(strings.Join(given[len(lines):], "\n"), "\n"), 10*maxLine)
	}
	return l
}

// blocks cuts a file into its instructions and what is between them. It returns how many lines are too many.
func blocks(p Page, lines []string) (list []block, more int) {
	size := 0
	for at := 1; at <= len(lines); {
		end := at
		if n := p.File.Nodes[at]; n != nil {
			end = max(at, min(n.EndLine, len(lines)))
		} else {
			for end < len(lines) && p.File.Nodes[end+1] == nil {
				end++
			}
		}
		b := block{First: at}
		for _, text := range lines[at-1 : end] {
			if text = shorten(strings.TrimSuffix(text, "\r"), maxLine); size+len(text) > maxListing || at+len(b.Lines) > maxLines {
				break
			}
			size += len(text)
			b.Lines = append(b.Lines, text)
		}
		if len(b.Lines) > 0 {
			list = append(list, b)
		}
		if at+len(b.Lines) <= end {
			return list, len(lines) - (at + len(b.Lines) - 1)
		}
		at = end + 1
	}
	return list, 0
}

// idle returns the first lines of the stages that the target isn't made of, and of what is in them.
func idle(p Page, g *graph) map[int]bool {
	lines := map[int]bool{}
	for i, st := range p.File.Stages {
		if len(g.reached) == 0 || g.reached[i] || len(st.Location) == 0 {
			continue
		}
		lines[st.Location[0].Start.Line] = true
		for _, cmd := range st.Commands {
			if at := cmd.Location(); len(at) > 0 {
				lines[at[0].Start.Line] = true
			}
		}
	}
	return lines
}

// An annotator says what becomes of blocks.
type annotator struct {
	Page
	graph    *graph
	given    []string
	changes  map[int][]string
	notes    map[int][]string
	warnings map[int][]planner.Warning
	idle     map[int]bool
}

func (w *annotator) annotate(b *block) {
	instruction := w.File.Nodes[b.First] != nil
	for line := b.First; line < b.First+len(b.Lines); line++ {
		if !instruction || line == b.First { // a directive has a line of a comment
			b.Notes = append(b.Notes, w.notes[line]...)
			b.Warnings = append(b.Warnings, w.warnings[line]...)
		}
	}
	b.Notes, b.Warnings = b.Notes[:min(len(b.Notes), maxNeeds)], b.Warnings[:min(len(b.Warnings), maxNeeds)]
	if !instruction {
		return
	}
	b.Step = w.graph.byLine[b.First]
	if b.Step != nil && b.Step.Number == 0 {
		b.Step = nil // the image doesn't need it
	}
	if b.Step != nil && b.Step.Line == b.First {
		b.Step.Linked = true
	}
	what := w.changes[b.First]
	b.Idle = w.idle[b.First]
	b.Changed = len(what) > 0 && !b.Idle
	switch {
	case b.Idle:
		b.What = "not built for this target"
	case b.Changed:
		b.What = show(strings.Join(what, "; "))
	}
	if !b.Changed || b.First > len(w.given) {
		return
	}
	given := strings.Trim(strings.Join(w.given[b.First-1:min(b.First-1+len(b.Lines), len(w.given))], "\n"), "\n")
	if given == "" || given == "#" {
		given = "nothing"
	}
	b.Given = shorten(given, 4*maxLine)
}
