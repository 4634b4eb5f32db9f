// Package plain writes a Go Dockerfile as a plain one, for users who want to leave Larder. BuildKit's own frontend and
// buildah build the same files from it. It uses cache mounts instead of Larder's layers, golang images instead of FROM
// go, and RUN lines instead of GO lines. Only caches are mounted, so that builders without mounts can build it, too. If
// something can't be written so, the error names the line.
package plain

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/system"
)

// Names that a plan uses instead of the virtual bases.
const (
	goPrefix   = planner.ContextPrefix + "go:"
	staticBase = planner.StaticContext
)

// A Request says which file to write as a plain one.
type Request struct {
	File   dockerfile.File
	Plan   *planner.Plan // of that file
	Target string        // the stage that is built; "" for the last
}

// Write returns the text of the plain Dockerfile.
func Write(req Request) ([]byte, error) {
	w := &writer{Request: req, planned: dockerfile.Parse(req.File.Name, []byte(req.Plan.Dockerfile))}
	switch {
	case len(req.Plan.Wide.Outside) > 0:
		return nil, fmt.Errorf("%s: its module needs folders beside the build context: no plain Dockerfile reaches them: build a folder above, with --module", req.File.Name)
	case req.File.HeaderOnly():
		return w.levelZero()
	}
	if err := w.checkPlatforms(); err != nil {
		return nil, err
	}
	w.dropSyntax()
	for i := range req.File.Stages {
		if err := w.stage(i); err != nil {
			return nil, err
		}
	}
	if err := w.checkTarget(); err != nil {
		return nil, err
	}
	if w.static != "" {
		if err := w.addStaticStage(); err != nil {
			return nil, err
		}
	}
	return w.finish(req.File.Apply(w.edits))
}

// finish checks that the text has nothing of Larder's left, and returns it.
func (w *writer) finish(data []byte) ([]byte, error) {
	f := dockerfile.Parse(w.File.Name, data)
	if f.Err != nil || f.Broken || len(f.GoLines) > 0 {
		return nil, fmt.Errorf("%s: what is written of it isn't a plain Dockerfile: this is a bug of larder", w.File.Name)
	}
	return data, nil
}

// A writer is the state of one call of Write.
type writer struct {
	Request
	planned dockerfile.File // what BuildKit is given: it has the same lines
	edits   []dockerfile.Edit
	static  string // the toolchain whose time zones FROM static has; "" if there is none
	stages  []stage
}

// A stage holds what is known about a stage of the file.
type stage struct {
	golang string // FROM go: the release
	goes   bool   // it has GO lines
	src    string // what was copied to /src for GO lines: the COPY
	user   string // of USER, if that isn't root
	places map[string]int
}

// failed makes an error about an instruction.
func (w *writer) failed(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: no plain Dockerfile can be written: "+format, append([]any{w.File.Name, line}, args...)...)
}

// checkPlatforms refuses platform variants that a plain file would have to give to the go command itself.
func (w *writer) checkPlatforms() error {
	for _, p := range w.Plan.Platforms {
		if strings.Count(p, "/") > 1 && p != "linux/arm/v7" {
			return fmt.Errorf("%s: no plain Dockerfile can be written for the platform %s: its variant would have to be told to go by the file: leave it out", w.File.Name, p)
		}
	}
	return nil
}

// dropSyntax removes the "# syntax=" line. Without it, BuildKit uses its own frontend.
func (w *writer) dropSyntax() {
	if _, _, at, ok := parser.DetectSyntax(w.File.Data); ok && len(at) > 0 {
		for line := 1; ; line++ {
			start, end := w.File.Line(line)
			if start == end && end == len(w.File.Data) {
				return
			}
			if text := string(w.File.Data[start:end]); strings.Contains(strings.ToLower(text), "syntax") {
				next, _ := w.File.Line(line + 1)
				w.edits = append(w.edits, dockerfile.Edit{Start: start, End: next})
				return
			}
		}
	}
}

// stage writes a stage.
func (w *writer) stage(i int) error {
	st := w.File.Stages[i]
	s := stage{places: map[string]int{}}
	if parent := w.File.StageParents()[i]; parent >= 0 {
		s = w.stages[parent]
		s.places = maps.Clone(s.places)
	}
	line := st.Location[0].Start.Line
	if err := w.base(&s, st, line); err != nil {
		return err
	}
	last := len(w.File.Data)
	if i+1 < len(w.File.Stages) {
		last, _ = w.File.Line(w.File.Stages[i+1].Location[0].Start.Line)
	}
	for _, at := range slices.Sorted(maps.Keys(w.File.Nodes)) {
		start, _ := w.File.Line(at)
		if at <= line || start >= last {
			continue
		}
		n := w.File.Nodes[at]
		var err error
		if g := w.File.GoLines[at]; g != nil {
			err = w.goLine(&s, g)
		} else {
			err = w.instruction(&s, n)
		}
		if err != nil {
			return err
		}
	}
	w.stages = append(w.stages, s)
	return nil
}

// instruction reads and checks an instruction that isn't Larder's.
func (w *writer) instruction(s *stage, n *parser.Node) error {
	words := []string{}
	for next := n.Next; next != nil; next = next.Next {
		words = append(words, next.Value)
	}
	switch strings.ToLower(n.Value) {
	case "user":
		s.user = ""
		if len(words) == 1 && !slices.Contains([]string{"root", "0", "root:root", "0:0"}, words[0]) {
			s.user = words[0]
		}
	case "workdir":
		if len(words) == 1 {
			s.places[words[0]] = n.StartLine
		}
	case "copy", "add":
		if len(words) > 0 {
			s.places[words[len(words)-1]] = n.StartLine
		}
		return w.checkCopy(n, words)
	case "run":
		return w.runMounts(n)
	}
	return nil
}

// checkCopy refuses to copy the files of a whole stage if its base image is replaced: the files would differ.
func (w *writer) checkCopy(n *parser.Node, words []string) error {
	for _, flag := range n.Flags {
		name, ok := strings.CutPrefix(flag, "--from=")
		if !ok || len(words) < 2 {
			continue
		}
		for i, st := range w.File.Stages[:min(len(w.stages), len(w.File.Stages))] {
			if s := w.stages[i]; !strings.EqualFold(st.Name, name) && fmt.Sprint(i) != name || s.golang == "" && !s.goes {
				continue
			}
			for _, from := range words[:len(words)-1] {
				from = path.Clean("/" + from)
				if slices.Contains([]string{"/", "/src", "/usr", "/usr/local", "/usr/local/go", "/go", "/etc", "/root"}, from) || strings.HasPrefix(from, "/src/") {
					return w.failed(n.StartLine, "%s of the stage %s would have other files: copy what was built alone", from, name)
				}
			}
		}
	}
	return nil
}

// checkTarget refuses to export a whole stage if its base image is replaced: the files would differ.
func (w *writer) checkTarget() error {
	i := len(w.stages) - 1
	for n, st := range w.File.Stages {
		if w.Target != "" && strings.EqualFold(st.Name, w.Target) {
			i = n
		}
	}
	if s := w.stages[i]; s.golang != "" || s.goes {
		return w.failed(w.File.Stages[i].Location[0].Start.Line, "the image would have the files of the stage that compiles, which are others there: copy what was built into a stage of its own")
	}
	return nil
}

// base writes a FROM line.
func (w *writer) base(s *stage, st instructions.Stage, line int) error {
	n := w.planned.Nodes[line]
	if n == nil || n.Next == nil {
		return w.failed(line, "it isn't known what FROM %s is", st.BaseName)
	}
	name := ""
	release, isGo := strings.CutPrefix(n.Next.Value, goPrefix)
	switch {
	case isGo:
		s.golang, _, _ = strings.Cut(release, "-${")
		if name = "golang:" + s.golang; st.Platform == "" {
			name = "--platform=$BUILDPLATFORM " + name
		}
	case n.Next.Value == staticBase:
		name = "scratch"
		var err error
		if w.static, err = w.staticRelease(); err != nil {
			return w.failed(line, "%w", err)
		}
	default:
		return nil
	}
	start, end, ok := w.word(w.File.Nodes[line], st.BaseName)
	if !ok {
		return w.failed(line, "write the name of the base on the line of its FROM")
	}
	w.edits = append(w.edits, dockerfile.Edit{Start: start, End: end, Text: name})
	if isGo {
		w.after(line, append(slices.Clone(goArgs), "ENV GOOS=$TARGETOS GOARCH=$TARGETARCH CGO_ENABLED=0 GOFLAGS=-mod=readonly GOENV=off GOTOOLCHAIN=local")...)
	} else {
		w.after(line, staticLines...)
	}
	return nil
}

// goArgs declare the build arguments that the go command needs.
var goArgs = []string{"ARG TARGETOS", "ARG TARGETARCH", "ARG GOPROXY", "ARG GOSUMDB", "ARG GOPRIVATE", "ARG GONOPROXY", "ARG GONOSUMDB"}

// staticLines are the lines below a FROM static.
var staticLines = []string{
	"COPY --from=" + staticStage + " /static/ /",
	"COPY --from=" + staticStage + " --chown=65532:65532 /static/home/nonroot/ /home/nonroot/",
	"ENV PATH=" + system.DefaultPathEnvUnix,
	"ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
	"USER 65532:65532",
	"WORKDIR /home/nonroot",
}

// word finds a word of an instruction, and returns its offsets in the file.
func (w *writer) word(n *parser.Node, word string) (start, end int, ok bool) {
	for line := n.StartLine; line <= n.EndLine; line++ {
		from, to := w.File.Line(line)
		text := string(w.File.Data[from:to])
		at := 0
		for part := range strings.FieldsSeq(text) {
			at += strings.Index(text[at:], part)
			if part == word {
				return from + at, from + at + len(word), true
			}
			at += len(part)
		}
	}
	return 0, 0, false
}

// after adds lines below an instruction.
func (w *writer) after(line int, lines ...string) {
	_, end := w.File.Line(w.File.Nodes[line].EndLine)
	w.edits = append(w.edits, dockerfile.Edit{Start: end, End: end, Text: "\n" + strings.Join(lines, "\n")})
}
