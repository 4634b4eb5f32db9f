// Package gowords splits GO lines and texts of GOFLAGS into words. It exists so that the plan of a build and the step
// that runs the line see the same words.
//
// BuildKit's lexer can split a line, too, but not as a go command needs it: it drops an argument that is empty (as in
// -ldflags "$NONE"), it joins "<<" and the word after it, and of a word with ${X:-y} it loses what stands before that.
// So a line is split here, and the lexer expands one quoted text or variable at a time.
package gowords

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/larder-build/larder/internal/expand"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// Expand splits a line into words and expands its variables, as other instructions of a Dockerfile do. The variables
// are given in env, as NAME=VALUE; others are empty. A variable outside of quotes may become several words, or none.
func Expand(line string, escape rune, env []string) ([]string, error) {
	words, err := split(line, expand.New(shell.NewLex(escape)), false, escape, env)
	if err != nil {
		return nil, fmt.Errorf("can't expand the line GO %s: %w", line, err)
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("nothing is left of the line GO %s: expected a subcommand of the go command", strings.TrimSpace(line))
	}
	return words, nil
}

// Split splits a line into words. It removes quotes and escapes, and keeps variables as they are. Its errors are the
// lexer's.
func Split(line string, escape rune) ([]string, error) {
	lex := shell.NewLex(escape)
	lex.SkipUnsetEnv = true
	return split(line, expand.New(lex), true, escape, nil)
}

// split splits a line into words. It expands variables unless kept is true.
func split(line string, lex *expand.Lex, kept bool, escape rune, env []string) ([]string, error) {
	s := &wordScanner{text: []rune(line), escape: escape}
	vars := shell.EnvsFromSlice(env)
	var words fields
	for s.pos < len(s.text) {
		start := s.pos
		if unicode.IsSpace(s.text[start]) {
			s.pos++
			words.end()
			continue
		}
		s.skip()
		s.pos = min(s.pos, len(s.text))
		piece := string(s.text[start:s.pos])
		first := s.text[start]
		if s.pos-start == 1 && first != '$' && first != s.escape && first != '\'' && first != '"' {
			words.add(piece)
			continue
		}
		value, err := lex.Word(piece, vars)
		if err != nil {
			return nil, err
		}
		if first == '$' && !kept {
			words.split(value.Result)
		} else {
			words.add(value.Result)
		}
	}
	words.end()
	return words.list, nil
}

// fields collects words.
type fields struct {
	list []string
	word strings.Builder
	open bool // there is a word, if maybe an empty one
}

func (f *fields) add(text string) {
	f.word.WriteString(text)
	f.open = true
}

// split adds the value of an unquoted variable. It may be several words, or none.
func (f *fields) split(value string) {
	for _, r := range value {
		if unicode.IsSpace(r) {
			f.end()
		} else {
			f.add(string(r))
		}
	}
}

func (f *fields) end() {
	if f.open {
		f.list = append(f.list, f.word.String())
	}
	f.word.Reset()
	f.open = false
}

// A wordScanner scans a line as BuildKit's lexer would. Each step skips one character, quoted text, escaped character
// or variable. It leaves it to the lexer to report quotes and variables that don't end.
type wordScanner struct {
	text   []rune
	escape rune
	pos    int
}

// skip skips one character, quoted text, escaped character or ${…}.
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

// skipVariable skips the rest of a variable after its $. A second $ is the name of a variable that is never set.
func (s *wordScanner) skipVariable() {
	switch c := s.peek(); {
	case c == '{':
		s.pos++
		s.until('}', s.skip)
	case c == '_' || unicode.IsLetter(c):
		for c := s.peek(); c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c); c = s.peek() {
			s.pos++
		}
	case unicode.IsDigit(c):
		for unicode.IsDigit(s.peek()) {
			s.pos++
		}
	case c != 0 && strings.ContainsRune("@*#?-$!", c):
		s.pos++
	}
}

// skipInQuotes is like skip, but inside double quotes, where only some characters can be escaped.
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
