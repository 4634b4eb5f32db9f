package inbuild

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// expandLine splits a GO line into words and expands the variables in it as other instructions of a Dockerfile do.
//
// BuildKit's lexer drops an argument that is empty, and joins "<<" and the word after it, as no instruction of its own
// minds. A go command does: -ldflags "$NONE" has a value. So the line is split before the lexer sees it, which then
// expands each word, and splits what a variable without quotes stands for.
func expandLine(line, escape string, env []string) ([]string, error) {
	s := &wordScanner{text: []rune(line), escape: []rune(escape)[0]}
	lex, vars := shell.NewLex(s.escape), shell.EnvsFromSlice(env)
	var words []string
	for s.next() {
		expanded, err := lex.ProcessWords(s.word, vars)
		if err != nil {
			return nil, fmt.Errorf("can't expand the line GO %s: %w", line, err)
		}
		if len(expanded) == 0 && s.quoted {
			expanded = []string{""}
		}
		words = append(words, expanded...)
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("nothing is left of the line GO %s: expected a subcommand of the go command", strings.TrimSpace(line))
	}
	return words, nil
}

// A wordScanner splits a line at white space that is neither quoted nor escaped nor within ${…}, where BuildKit's lexer
// would see it so. What is unterminated is left to the lexer, which says so.
type wordScanner struct {
	text   []rune
	escape rune
	pos    int

	word   string // as it is written
	quoted bool   // some of it is within quotes, outside of ${…}
}

func (s *wordScanner) next() bool {
	for s.pos < len(s.text) && unicode.IsSpace(s.text[s.pos]) {
		s.pos++
	}
	start := s.pos
	s.quoted = false
	for s.pos < len(s.text) && !unicode.IsSpace(s.text[s.pos]) {
		if c := s.text[s.pos]; c == '\'' || c == '"' {
			s.quoted = true
		}
		s.skip()
	}
	s.pos = min(s.pos, len(s.text))
	s.word = string(s.text[start:s.pos])
	return s.pos > start
}

// skip goes past one character, or one quoted text, escaped character or ${…}.
func (s *wordScanner) skip() {
	c := s.text[s.pos]
	s.pos++
	switch c {
	case s.escape:
		s.pos++
	case '\'':
		for s.pos < len(s.text) && s.text[s.pos] != '\'' {
			s.pos++
		}
		s.pos++
	case '"':
		s.until('"', s.skipInQuotes)
	case '$':
		s.skipVariable()
	}
}

// skipVariable goes past what follows a $. A second $ is the name of a variable that is never set.
func (s *wordScanner) skipVariable() {
	switch s.peek() {
	case '$':
		s.pos++
	case '{':
		s.pos++
		s.until('}', s.skip)
	}
}

// skipInQuotes is skip for the inside of double quotes, where only some characters can be escaped.
func (s *wordScanner) skipInQuotes() {
	c := s.text[s.pos]
	s.pos++
	switch {
	case c == s.escape:
		if p := s.peek(); p == '"' || p == '$' || p == s.escape {
			s.pos++
		}
	case c == '$':
		s.skipVariable()
	}
}

func (s *wordScanner) until(end rune, skip func()) {
	for s.pos < len(s.text) && s.text[s.pos] != end {
		skip()
	}
	s.pos++
}

func (s *wordScanner) peek() rune {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}
