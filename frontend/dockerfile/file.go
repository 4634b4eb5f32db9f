// Package dockerfile reads the syntax of Go Dockerfiles: the instructions that BuildKit's parser knows, GO lines,
// mounts of Larder's own kinds, and the "# larder:" directives. It finds their places in the file, and edits the file
// so that every line stays where it is. It knows nothing of modules, and plans nothing.
package dockerfile

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

	Nodes   map[int]*parser.Node // the instructions, by their first line
	GoLines map[int]*GoLine      // the GO instructions, by their first line
	Stages  []instructions.Stage // a GO instruction is a RUN command here
	Args    []instructions.ArgCommand
	Escape  rune
	lines   []int // where each line starts; the last is the end of the file

	Inject    bool  // RUN commands that call go get what they need
	NoNetwork bool  // those that do nothing else have no network
	Slice     bool  // GO is given the part of the build context that it compiles
	Err       error // the first error that is Larder's own
	Broken    bool  // BuildKit's parser has an error to report
}

// Parse reads a Go Dockerfile. It keeps the first error in what is Larder's own, which planner.New returns. It reports
// no error in instructions that BuildKit knows: BuildKit's converter reports these better.
func Parse(name string, data []byte) File {
	f := File{Name: name, Data: data, Inject: true, Slice: true}
	f.readDirectives()
	ast, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return f
	}
	f.Escape = ast.EscapeToken
	f.lines = lineStarts(data)
	f.Nodes, f.GoLines = map[int]*parser.Node{}, map[int]*GoLine{}
	inStage := false
	for _, n := range ast.AST.Children {
		original := *n
		f.Nodes[n.StartLine] = &original
		switch {
		case strings.EqualFold(n.Value, command.From):
			inStage = true
		case strings.EqualFold(n.Value, instructionGo):
			f.keep(f.addGoLine(n, inStage))
		case strings.EqualFold(n.Value, command.Onbuild):
			f.keep(f.checkOnbuild(n))
		}
	}
	f.Stages, f.Args, err = instructions.Parse(ast.AST, linter.New(&linter.Config{}))
	f.Broken = err != nil
	return f
}

// keep remembers the first error.
func (f *File) keep(err error) {
	if f.Err == nil {
		f.Err = err
	}
}

// checkOnbuild refuses a trigger of Larder's own, since a trigger runs in another build, which isn't planned here.
func (f *File) checkOnbuild(n *parser.Node) error {
	if n.Next == nil || len(n.Next.Children) == 0 {
		return nil
	}
	trigger := n.Next.Children[0]
	if strings.EqualFold(trigger.Value, instructionGo) {
		return f.ErrorAt(n, n.Value, "ONBUILD GO: a trigger runs in a build of its own, which isn't planned here: write GO in the Dockerfile of that build")
	}
	for _, flag := range trigger.Flags {
		value, ok := strings.CutPrefix(flag, "--mount=")
		if !ok || !strings.EqualFold(trigger.Value, command.Run) {
			continue
		}
		if m, _ := ParseMount(value); m.Kind == KindModules || m.Kind == KindCompileCache {
			return f.ErrorAt(n, value, fmt.Sprintf("ONBUILD RUN --mount=type=%s: a trigger runs in a build of its own, which isn't planned here: write the RUN in the Dockerfile of that build", m.Kind))
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
		setting := map[string]*bool{"inject": &f.Inject, "slice": &f.Slice}[name]
		switch {
		case name == "network" && (value == "none" || value == "default"):
			f.NoNetwork = value == "none"
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

// HeaderOnly reports whether the file has only comments and no instruction. Then Larder decides what is built.
func (f File) HeaderOnly() bool {
	for line := range bytes.Lines(bytes.TrimPrefix(f.Data, []byte("\xef\xbb\xbf"))) {
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// StageParents returns for each stage the index of the stage that its FROM names, or -1.
func (f File) StageParents() (parents []int) {
	named := map[string]int{}
	for i, st := range f.Stages {
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

// AnyRun reports whether a predicate is true of any RUN.
func (f File) AnyRun(is func(instructions.Command) bool) bool {
	for _, st := range f.Stages {
		for _, cmd := range st.Commands {
			if _, ok := cmd.(*instructions.RunCommand); ok && is(cmd) {
				return true
			}
		}
	}
	return false
}

// WithoutInjection returns the file with automatic mounts turned off: each RUN is left as it is, unless it asks for a
// mount.
func (f File) WithoutInjection() File {
	f.Inject = false
	return f
}
