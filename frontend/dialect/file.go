// Package dialect is the Go Dockerfile: it reads one, plans what Larder has to supply for it, and rewrites it, line for
// line, into the plain Dockerfile that BuildKit's own converter takes. It is pure: text and a read-only view of the
// build context in, data and text out.
package dialect

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// A File is a Go Dockerfile. Its zero value is an empty one.
type File struct {
	Name string
	Data []byte

	nodes   map[int]*parser.Node // the instructions, by their first line
	goLines map[int]*goLine      // the GO instructions, by their first line
	stages  []instructions.Stage // a GO instruction is a RUN command here
	args    []instructions.ArgCommand
	escape  rune
	lines   []int // where each line starts; the last is the end of the file

	inject    bool  // RUN commands that call go get what they need
	noNetwork bool  // those that do nothing else have no network
	slice     bool  // GO is given the part of the build context that it compiles
	err       error // the first error that is Larder's own
	broken    bool  // BuildKit's parser has an error to report
}

// Parse reads a Go Dockerfile. What is wrong with the instructions that BuildKit knows is left to BuildKit's converter
// to report, at its place, in its own words; what is wrong with those that are Larder's, New reports.
func Parse(name string, data []byte) File {
	f := File{Name: name, Data: data, inject: true, slice: true}
	f.readDirectives()
	ast, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return f
	}
	f.escape = ast.EscapeToken
	f.lines = lineStarts(data)
	f.nodes, f.goLines = map[int]*parser.Node{}, map[int]*goLine{}
	inStage := false
	for _, n := range ast.AST.Children {
		original := *n
		f.nodes[n.StartLine] = &original
		switch {
		case strings.EqualFold(n.Value, command.From):
			inStage = true
		case strings.EqualFold(n.Value, instructionGo):
			f.keep(f.addGoLine(n, inStage))
		case strings.EqualFold(n.Value, command.Onbuild):
			f.keep(f.checkOnbuild(n))
		}
	}
	f.stages, f.args, err = instructions.Parse(ast.AST, linter.New(&linter.Config{}))
	f.broken = err != nil
	return f
}

// keep remembers the first error.
func (f *File) keep(err error) {
	if f.err == nil {
		f.err = err
	}
}

// checkOnbuild refuses a trigger that would need a plan of a build that isn't this one.
func (f *File) checkOnbuild(n *parser.Node) error {
	if n.Next == nil || len(n.Next.Children) == 0 {
		return nil
	}
	trigger := n.Next.Children[0]
	if strings.EqualFold(trigger.Value, instructionGo) {
		return f.errorAt(n, n.Value, "ONBUILD GO: a trigger runs in a build of its own, which isn't planned here: write GO in the Dockerfile of that build")
	}
	for _, flag := range trigger.Flags {
		value, ok := strings.CutPrefix(flag, "--mount=")
		if !ok || !strings.EqualFold(trigger.Value, command.Run) {
			continue
		}
		if m, _ := parseMount(value); m.kind == mountModules || m.kind == mountCache {
			return f.errorAt(n, value, fmt.Sprintf("ONBUILD RUN --mount=type=%s: a trigger runs in a build of its own, which isn't planned here: write the RUN in the Dockerfile of that build", m.kind))
		}
	}
	return nil
}

var directive = regexp.MustCompile(`^#\s*larder:([A-Za-z-]+)\s*=\s*(\S*)\s*$`)

// readDirectives reads the "# larder:NAME=VALUE" comments at the head of the file.
func (f *File) readDirectives() {
	line := 0
	for text := range bytes.Lines(bytes.TrimPrefix(f.Data, []byte("\xef\xbb\xbf"))) {
		line++
		text = bytes.TrimSpace(text)
		if len(text) > 0 && text[0] != '#' {
			return
		}
		m := directive.FindSubmatch(text)
		if m == nil {
			continue
		}
		at := []parser.Range{{Start: parser.Position{Line: line}, End: parser.Position{Line: line, Character: len(text)}}}
		name, value := string(m[1]), string(m[2])
		setting := map[string]*bool{"inject": &f.inject, "slice": &f.slice}[name]
		switch {
		case name == "network" && (value == "none" || value == "default"):
			f.noNetwork = value == "none"
		case name == "network":
			f.keep(parser.WithLocation(fmt.Errorf("larder:network=%s: expected none or default", value), at))
		case setting == nil:
			f.keep(parser.WithLocation(fmt.Errorf("unknown directive larder:%s: there are larder:inject, larder:network and larder:slice", name), at))
		case value == "on" || value == "off":
			*setting = value == "on"
		default:
			f.keep(parser.WithLocation(fmt.Errorf("larder:%s=%s: expected on or off", name, value), at))
		}
	}
}

// HeaderOnly reports whether the file has no instruction, just comments: all that it builds is up to Larder.
func (f File) HeaderOnly() bool {
	for line := range bytes.Lines(bytes.TrimPrefix(f.Data, []byte("\xef\xbb\xbf"))) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// stageParents returns for each stage the one that it is made of by its name, or -1.
func (f File) stageParents() (parents []int) {
	named := map[string]int{}
	for i, st := range f.stages {
		parent, ok := named[strings.ToLower(st.BaseName)]
		if !ok {
			parent = -1
		}
		parents = append(parents, parent)
		if st.Name != "" {
			named[strings.ToLower(st.Name)] = i
		}
	}
	return parents
}

// anyRun reports whether something is so of any RUN.
func (f File) anyRun(is func(instructions.Command) bool) bool {
	for _, st := range f.stages {
		for _, cmd := range st.Commands {
			if _, ok := cmd.(*instructions.RunCommand); ok && is(cmd) {
				return true
			}
		}
	}
	return false
}

// WithoutInjection returns the file with each RUN left as it is, unless it asks for something by name.
func (f File) WithoutInjection() File {
	f.inject = false
	return f
}
