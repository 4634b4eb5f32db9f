package dockerfile

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// An Edit replaces a part of the file. The planner's edits neither add nor remove a line, so all positions stay true.
type Edit struct {
	Start, End int    // byte offsets in the file; End is behind the last byte
	Text       string // what stands there instead
}

// Apply returns the file's text with edits made. The edits must not overlap.
func (f File) Apply(edits []Edit) []byte {
	slices.SortStableFunc(edits, func(a, b Edit) int { return a.Start - b.Start })
	var out bytes.Buffer
	at := 0
	for _, e := range edits {
		out.Write(f.Data[at:e.Start])
		out.WriteString(e.Text)
		at = e.End
	}
	out.Write(f.Data[at:])
	return out.Bytes()
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, b := range data {
		if b == '\n' && i+1 < len(data) {
			starts = append(starts, i+1)
		}
	}
	return append(starts, len(data))
}

// Line returns the offsets where a line starts and ends. Lines count from 1. The line ending isn't part of the line.
func (f File) Line(n int) (start, end int) {
	if n < 1 || n >= len(f.lines) {
		return len(f.Data), len(f.Data)
	}
	start, end = f.lines[n-1], f.lines[n]
	for end > start && (f.Data[end-1] == '\n' || f.Data[end-1] == '\r') {
		end--
	}
	return start, end
}

// ReplaceLines replaces each line of an instruction by a text.
func (f File) ReplaceLines(n *parser.Node, texts func(i, count int) string) []Edit {
	var edits []Edit
	count := n.EndLine - n.StartLine + 1
	for i := range count {
		start, end := f.Line(n.StartLine + i)
		edits = append(edits, Edit{start, end, texts(i, count)})
	}
	return edits
}

// A LogicalLine is an instruction as one line, the way BuildKit's parser joins its lines: without continuations,
// comments and a heredoc's body. Pos has the offset in the file of each byte of Text.
type LogicalLine struct {
	Text string
	Pos  []int
}

var (
	continued = map[rune]*regexp.Regexp{
		'\\': regexp.MustCompile(`([^\\])\\[ \t]*$|^\\[ \t]*$`),
		'`':  regexp.MustCompile("([^`])`[ \t]*$|^`[ \t]*$"),
	}
	utf8BOM = []byte("\xef\xbb\xbf")
)

// Join joins the lines of an instruction. The bool is false if the result differs from the parser's.
func (f File) Join(n *parser.Node) (LogicalLine, bool) {
	var j LogicalLine
	text := make([]byte, 0, len(n.Original))
	for line := n.StartLine; line <= n.EndLine; line++ {
		start, end := f.Line(line)
		part := f.Data[start:end]
		if line == 1 && bytes.HasPrefix(part, utf8BOM) {
			part, start = part[len(utf8BOM):], start+len(utf8BOM)
		}
		bare := bytes.TrimLeftFunc(part, unicode.IsSpace)
		if line == n.StartLine {
			start, part = start+len(part)-len(bare), bare
		} else if len(bare) == 0 || bare[0] == '#' {
			continue
		}
		m := continued[f.Escape].FindSubmatchIndex(part)
		if m != nil {
			part = part[:max(m[0], m[3])]
		}
		for i, b := range part {
			text = append(text, b)
			j.Pos = append(j.Pos, start+i)
		}
		if m == nil {
			break
		}
	}
	j.Text = string(text)
	return j, j.Text == n.Original
}

// Place returns the offsets in the file of a part of the joined text. ok is false if the part isn't on one line there.
func (j LogicalLine) Place(start, end int) (from, to int, ok bool) {
	if start >= end || end > len(j.Pos) {
		return 0, 0, false
	}
	from, to = j.Pos[start], j.Pos[end-1]+1
	return from, to, to-from == end-start
}

// A span is a part of a text, as offsets.
type span struct{ Start, End int }

// Flags finds the flags of a joined instruction as BuildKit's parser does.
func (j LogicalLine) Flags(escape rune) []span {
	var spans []span
	i := strings.IndexFunc(j.Text, unicode.IsSpace)
	for i >= 0 {
		for i < len(j.Text) && unicode.IsSpace(rune(j.Text[i])) {
			i++
		}
		if !strings.HasPrefix(j.Text[i:], "--") {
			break
		}
		end := wordEnd(j.Text, i, escape)
		if j.Text[i:end] == "--" {
			break
		}
		spans = append(spans, span{i, end})
		i = end
	}
	return spans
}

func wordEnd(text string, i int, escape rune) int {
	quote := byte(0)
	for ; i < len(text); i++ {
		c := text[i]
		switch {
		case rune(c) == escape:
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case unicode.IsSpace(rune(c)):
			return i
		}
	}
	return len(text)
}

// KeywordEnd returns the offset in the file right after an instruction's first word.
func (j LogicalLine) KeywordEnd() int {
	i := strings.IndexFunc(j.Text, unicode.IsSpace)
	if i < 0 {
		i = len(j.Text)
	}
	return j.Pos[i-1] + 1
}

// ErrorAt returns an error with a text, at the place that Find returns.
func (f File) ErrorAt(n *parser.Node, piece, text string) error {
	return parser.WithLocation(errors.New(text), f.Find(n, piece))
}

// Find returns the place of a piece of an instruction's text. If the piece isn't found on one line, it returns the
// place of the instruction.
func (f File) Find(n *parser.Node, piece string) []parser.Range {
	for line := n.StartLine; piece != "" && line <= n.EndLine; line++ {
		start, end := f.Line(line)
		if i := bytes.Index(f.Data[start:end], []byte(piece)); i >= 0 {
			return []parser.Range{{
				Start: parser.Position{Line: line, Character: i},
				End:   parser.Position{Line: line, Character: i + len(piece)},
			}}
		}
	}
	return n.Location()
}

// LineOf returns the line of an offset in the file. Lines count from 1.
func (f File) LineOf(at int) int {
	i, found := slices.BinarySearch(f.lines, at)
	if found {
		return i + 1
	}
	return i
}

// Placeholders returns the file with each GO line as a RUN. BuildKit's parser finds in it what is wrong with the rest.
func (f File) Placeholders() []byte {
	var edits []Edit
	for _, g := range f.GoLines {
		edits = append(edits, f.ReplaceLines(g.Node, func(i, count int) string {
			switch {
			case count == 1:
				return `RUN ["go"]`
			case i == 0:
				return "RUN " + string(f.Escape)
			case i == count-1:
				return `["go"]`
			}
			return string(f.Escape)
		})...)
	}
	return f.Apply(edits)
}
