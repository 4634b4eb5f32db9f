// Package pin finds the images that a Dockerfile names by a tag, and writes their digests beside the tags, as
// NAME:TAG@DIGEST. The build then uses the digest. The tag shows people, Renovate and Larder where the digest came
// from. The package changes nothing else in the file. It leaves a name alone if it can't be sure of it.
package pin

import (
	"bytes"
	"fmt"
	"go/version"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/opencontainers/go-digest"
)

// A Name is the name of an image in a Dockerfile, or of a Go release in FROM go:VERSION.
type Name struct {
	Text string // as the file has it
	Line int    // from 1

	Image  string        // its full name, with the tag and without the digest: docker.io/library/alpine:3.22
	Digest digest.Digest // that the file has, or ""

	Release string // of FROM go:1.26, 1.26: then there is no image

	start int // place in the file
}

// A Left is a name that isn't changed, and the reason.
type Left struct {
	Text string
	Line int
	Why  string
}

// Find returns the names that may have a digest, in the order of the file, and those that are left alone. It looks at
// FROM, COPY --from, RUN --mount=from and the "# syntax=" line. Stages, scratch and Larder's own bases are in neither
// list, except a FROM go with an incomplete release. It fails if the file can't be read as a Dockerfile, or if a name
// isn't one of an image.
func Find(f dockerfile.File) (names []Name, left []Left, err error) {
	if f.Err != nil {
		return nil, nil, f.Err
	}
	if f.Broken {
		return nil, nil, fmt.Errorf("%s can't be read as a Dockerfile: 'larder build --check' tells what is wrong with it", f.Name)
	}
	s := &search{File: f, stages: map[string]bool{"scratch": true, "static": true}}
	s.syntax()
	for _, st := range f.Stages {
		s.all = append(s.all, strings.ToLower(st.Name))
	}
	for _, line := range slices.Sorted(maps.Keys(f.Nodes)) {
		s.instruction(f.Nodes[line])
	}
	return s.names, s.left, s.err
}

// search is the state of one call of Find.
type search struct {
	dockerfile.File
	stages map[string]bool // that FROM knows so far, in lower case
	all    []string        // names of all stages, in lower case

	names []Name
	left  []Left
	err   error
}

// instruction looks for names in an instruction.
func (s *search) instruction(n *parser.Node) {
	j, joined := s.Join(n)
	leave := func(text, why string) { s.left = append(s.left, Left{text, n.StartLine, why}) }
	switch strings.ToLower(n.Value) {
	case command.From:
		s.from(n, j, joined)
	case command.Onbuild:
		if strings.Contains(n.Original, "from=") {
			leave(strings.TrimSpace(n.Original), "a trigger's images are those of another build")
		}
	case command.Copy, command.Run:
		if !joined {
			if strings.Contains(n.Original, "from=") {
				leave(strings.TrimSpace(n.Original), "it isn't written as Larder reads it")
			}
			return
		}
		for _, span := range j.Flags(s.Escape) {
			s.flag(n, j, span.Start, span.End)
		}
	}
}

// from looks for the name in a FROM instruction.
func (s *search) from(n *parser.Node, j dockerfile.LogicalLine, joined bool) {
	if n.Next == nil {
		return
	}
	name := n.Next.Value
	defer func() {
		if n.Next.Next != nil && n.Next.Next.Next != nil {
			s.stages[strings.ToLower(n.Next.Next.Next.Value)] = true // AS NAME
		}
	}()
	kind, release, tagged := strings.Cut(name, ":")
	switch {
	case s.stages[strings.ToLower(name)]:
	case kind == "go" && !tagged:
	case !joined:
		s.left = append(s.left, Left{name, n.StartLine, "it isn't written as Larder reads it"})
	default:
		at := max(0, strings.IndexFunc(j.Text, isSpace))
		if flags := j.Flags(s.Escape); len(flags) > 0 {
			at = flags[len(flags)-1].End
		}
		at += len(j.Text[at:]) - len(strings.TrimLeftFunc(j.Text[at:], isSpace))
		end := at + len(name)
		if !strings.HasPrefix(j.Text[at:], name) || end < len(j.Text) && !isSpace(rune(j.Text[end])) {
			s.left = append(s.left, Left{name, n.StartLine, "it isn't written as Larder reads it"})
			return
		}
		if kind == "go" {
			if v := "go" + release; version.IsValid(v) && version.Lang(v) == v {
				s.add(n.StartLine, j, at, Name{Text: name, Release: release})
			}
			return
		}
		s.image(n.StartLine, j, at, name)
	}
}

// isSpace reports whether BuildKit separates words at a character.
func isSpace(r rune) bool { return strings.ContainsRune("\t\v\f\r ", r) }

// flag looks for a name in a flag of COPY or RUN.
func (s *search) flag(n *parser.Node, j dockerfile.LogicalLine, start, end int) {
	text := j.Text[start:end]
	name := ""
	if value, ok := strings.CutPrefix(text, "--from="); ok {
		name = value
	} else if value, ok := strings.CutPrefix(text, "--mount="); ok {
		m, err := dockerfile.ParseMount(value)
		if err != nil {
			return // it has no image, or the build says what is wrong with it
		}
		name = m.From
	}
	_, notNumber := strconv.Atoi(name)
	kind, _, _ := strings.Cut(name, ":")
	lower := strings.ToLower(name)
	if name == "" || notNumber == nil || slices.Contains(s.all, lower) || lower == "scratch" || lower == "static" || kind == "go" {
		return
	}
	i := strings.LastIndex(text, "from="+name)
	if rest := i + len("from=") + len(name); i < 0 || rest < len(text) && text[rest] != ',' {
		s.left = append(s.left, Left{name, n.StartLine, "it isn't written as Larder reads it"})
		return
	}
	s.image(n.StartLine, j, start+i+len("from="), name)
}

// image adds the name of an image, which is at an offset of a joined line.
func (s *search) image(line int, j dockerfile.LogicalLine, at int, name string) {
	n, why, err := parse(name)
	switch {
	case err != nil && s.err == nil:
		s.err = fmt.Errorf("%s:%d: %w", s.Name, line, err)
	case err != nil:
	case why != "":
		s.left = append(s.left, Left{name, line, why})
	default:
		s.add(line, j, at, n)
	}
}

// add adds a name if it is on one line of the file.
func (s *search) add(line int, j dockerfile.LogicalLine, at int, n Name) {
	from, _, ok := j.Place(at, at+len(n.Text))
	if !ok {
		s.left = append(s.left, Left{n.Text, line, "it goes over several lines"})
		return
	}
	n.start, n.Line = from, s.LineOf(from)
	s.names = append(s.names, n)
}

// parse reads the name of an image. If no digest can be written beside it, why is the reason.
func parse(name string) (n Name, why string, err error) {
	if strings.ContainsAny(name, "$\"'\\`") {
		return n, "there are variables or quotes in it", nil
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return n, "", fmt.Errorf("%q is not the name of an image: %w", name, err)
	}
	n = Name{Text: name}
	if d, ok := ref.(reference.Digested); ok {
		n.Digest = d.Digest()
	}
	tagged, ok := ref.(reference.Tagged)
	if !ok && n.Digest != "" {
		return n, "it has a digest and no tag, so nothing says what it was taken from", nil
	}
	tag := "latest"
	if ok {
		tag = tagged.Tag()
	}
	full, err := reference.WithTag(reference.TrimNamed(ref), tag)
	if err != nil {
		return n, "", fmt.Errorf("%q is not the name of an image: %w", name, err)
	}
	n.Image = full.String()
	return n, "", nil
}

// With returns the name with a digest beside its tag.
func (n Name) With(d digest.Digest) string {
	text, _, _ := strings.Cut(n.Text, "@")
	if ref, err := reference.ParseNormalizedNamed(text); err == nil && reference.IsNameOnly(ref) {
		text += ":latest"
	}
	return text + "@" + d.String()
}

// Edit returns the edit that replaces the name by a text.
func (n Name) Edit(text string) dockerfile.Edit {
	return dockerfile.Edit{Start: n.start, End: n.start + len(n.Text), Text: text}
}

// comment matches a directive as BuildKit reads it.
var comment = regexp.MustCompile(`^[ \t]*#[ \t]*([A-Za-z][A-Za-z0-9]*)[ \t]*=[ \t]*(\S+)`)

// syntax looks for the name in the "# syntax=" line.
func (s *search) syntax() {
	ref, _, _, ok := parser.DetectSyntax(s.Data)
	if !ok {
		return
	}
	at, line := 0, 0
	for text := range bytes.Lines(s.Data) {
		line++
		bare := bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))
		m := comment.FindSubmatchIndex(bare)
		if m != nil && strings.EqualFold(string(bare[m[2]:m[3]]), "syntax") && string(bare[m[4]:m[5]]) == ref {
			n, why, err := parse(ref)
			if err != nil {
				s.err = fmt.Errorf("%s:%d: the syntax line: %w", s.Name, line, err)
			} else if why != "" {
				s.left = append(s.left, Left{ref, line, why})
			} else {
				n.start, n.Line = at+len(text)-len(bare)+m[4], line
				s.names = append(s.names, n)
			}
			return
		}
		at += len(text)
	}
	s.left = append(s.left, Left{ref, 1, "it isn't written as Larder reads it"})
}
