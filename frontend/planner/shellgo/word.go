package shellgo

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A word is a word of a command, and what is known of it.
type word struct {
	Word
	head, tail string // the literal text before its first expansion, and after its last one
	value      string // what it expands to, if that is known
	known      bool
	outer      bool   // see Argument
	from       string // the variable, which the script doesn't set, whose value is all that follows head
}

func literalWord(text string) word {
	return word{Word: Word{text, true}, head: text, tail: text, value: text, known: true}
}

// An assignment sets a variable.
type assignment struct {
	name, text string
	known      bool
	from       string // the variable that it has its value of, if that isn't one of the script's
}

// assignment reads a word such as A=b.
func (w word) assignment() (assignment, bool) {
	name, _, ok := strings.Cut(w.head, "=")
	if !ok || !syntax.ValidName(name) {
		return assignment{}, false
	}
	a := assignment{name: name, known: w.known}
	if w.known {
		a.text = w.value[len(name)+1:]
	}
	if w.head == name+"=" {
		a.from = w.from
	}
	return a, true
}

// A wordReader builds a word from its parts.
type wordReader struct {
	vars       map[string]variable
	value      strings.Builder
	head, tail strings.Builder
	bare       strings.Builder // the text outside of quotes
	expansions int
	unknown    bool
	inner      bool   // not all that is unknown are variables that the script doesn't set
	from       string // the last variable that the script doesn't set
}

// readWord reads a word of the source. In an assignment, patterns and braces are plain text.
func (w *walker) readWord(sw *syntax.Word, vars map[string]variable, assigns bool) word {
	r := wordReader{vars: vars}
	r.parts(sw.Parts, false)
	bare := r.bare.String()
	first, _ := sw.Parts[0].(*syntax.Lit)
	pattern := first != nil && strings.HasPrefix(first.Value, "~") ||
		assigns && strings.Contains(bare, ":~") ||
		!assigns && (isPattern(bare) || !w.posix && hasBraces(bare))
	out := word{head: r.head.String(), tail: r.tail.String(), value: r.value.String(), known: !r.unknown && !pattern}
	out.outer = r.unknown && !r.inner && !pattern
	if r.expansions == 1 && out.tail == "" {
		out.from = r.from
	}
	if out.Literal = r.expansions == 0 && !pattern; out.Literal {
		out.Text = out.value
	} else {
		out.Text = w.source(sw)
	}
	return out
}

func (w *walker) source(n syntax.Node) string {
	return w.src[n.Pos().Offset():n.End().Offset()]
}

func (r *wordReader) parts(parts []syntax.WordPart, quoted bool) {
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			r.lit(p.Value, quoted)
		case *syntax.SglQuoted:
			if p.Dollar && strings.Contains(p.Value, `\`) {
				r.inner = true
				r.expansion("", false)
			} else {
				r.text(p.Value)
			}
		case *syntax.DblQuoted:
			r.parts(p.Parts, true)
		case *syntax.ParamExp:
			name := plainName(p)
			v, set := r.vars[name]
			if !set {
				r.from = name
			}
			r.inner = r.inner || set || name == ""
			r.expansion(v.text, v.known && (quoted || isPlain(v.text)))
		default:
			r.inner = true
			r.expansion("", false)
		}
	}
}

func (r *wordReader) text(s string) {
	r.value.WriteString(s)
	r.tail.WriteString(s)
	if r.expansions == 0 {
		r.head.WriteString(s)
	}
}

func (r *wordReader) expansion(value string, known bool) {
	r.expansions++
	r.unknown = r.unknown || !known
	r.value.WriteString(value)
	r.tail.Reset()
}

// lit reads a literal part, which still has its backslashes.
func (r *wordReader) lit(s string, quoted bool) {
	var text strings.Builder
	for i := 0; i < len(s); i++ {
		escapes := s[i] == '\\' && i+1 < len(s) && (!quoted || strings.IndexByte("$`\"\\\n", s[i+1]) >= 0)
		if escapes {
			i++
		} else if !quoted {
			r.bare.WriteByte(s[i])
		}
		text.WriteByte(s[i])
	}
	r.text(text.String())
}

// plainName returns NAME for $NAME and ${NAME}, or "" for other expansions.
func plainName(p *syntax.ParamExp) string {
	if p.Param == nil || p.Excl || p.Length || p.Width || p.Index != nil || p.Slice != nil || p.Repl != nil ||
		p.Names != 0 || p.Exp != nil {
		return ""
	}
	return p.Param.Value
}

// isPlain reports whether a value stays one unchanged word without quotes.
func isPlain(s string) bool { return s != "" && !strings.ContainsAny(s, " \t\n*?[]\\~") }

func isPattern(s string) bool {
	open := strings.IndexByte(s, '[')
	return strings.ContainsAny(s, "*?") || open >= 0 && strings.IndexByte(s[open:], ']') > 0
}

func hasBraces(s string) bool {
	open := strings.IndexByte(s, '{')
	if open < 0 {
		return false
	}
	rest := s[open:]
	return strings.IndexByte(rest, '}') > 0 && (strings.Contains(rest, ",") || strings.Contains(rest, ".."))
}
