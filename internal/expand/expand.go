// Package expand expands the variables of a Dockerfile's words as BuildKit does, within bounds: a file of thirty lines
// that each say ${A}${A} needs more memory than a machine has.
package expand

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

const (
	// maxWord is the greatest number of bytes that variables may add to a word: Linux gives no process a longer variable
	// (MAX_ARG_STRLEN in execve(2)).
	maxWord = 128 << 10
	// maxTotal is the greatest number of bytes that variables may add to all words of a file.
	maxTotal = 64 << 20
	// maxGrown is the greatest length of a variable's value after ${NAME//PATTERN/TEXT}.
	maxGrown = 64 << 20
	// maxSearched is the greatest length of a word with a pattern, with its variables: the time of a search grows with the
	// square of the length.
	maxSearched = 16 << 10
)

// pattern matches the start of an expansion that searches a value. Its first group matches if the expansion replaces
// all matches.
var pattern = regexp.MustCompile(`\$\{[\pL\pN_]*(?:(//)|[/#%])`)

// A TooLongError says that a word, or all words of a file, would get too long.
type TooLongError struct {
	Word  string
	Limit int // in bytes; that of a file if it is for all of its words
}

func (e *TooLongError) Error() string {
	if e.Limit == maxTotal {
		return fmt.Sprintf("the words of this file would be longer than %d bytes with their variables: use shorter ones, or fewer", e.Limit)
	}
	start := e.Word
	if len(start) > 40 {
		start = strings.ToValidUTF8(start[:40], "") + "…"
	}
	return fmt.Sprintf("%q would be longer than %d bytes with its variables: use shorter ones, or fewer", start, e.Limit)
}

// A Lex expands the words of one file. It isn't safe for concurrent use.
type Lex struct {
	lex  *shell.Lex
	left int // of maxTotal
	err  error
}

// New returns a Lex that expands as lex does.
func New(lex *shell.Lex) *Lex { return &Lex{lex: lex, left: maxTotal} }

// Err returns the first TooLongError that Word returned, or nil.
func (l *Lex) Err() error { return l.err }

// Word expands a word with the variables of env. The error is BuildKit's, or a TooLongError.
func (l *Lex) Word(word string, env shell.EnvGetter) (shell.ProcessWordResult, error) {
	m := &meter{EnvGetter: env, limit: limit(word)}
	if m.limit <= 0 {
		return shell.ProcessWordResult{}, l.refuse(word, maxSearched)
	}
	result, err := l.lex.ProcessWordWithMatches(word, m)
	if m.over {
		return shell.ProcessWordResult{}, l.refuse(word, m.limit)
	}
	if l.left -= m.cost(word); l.left < 0 {
		return shell.ProcessWordResult{}, l.refuse(word, maxTotal)
	}
	return result, err
}

func (l *Lex) refuse(word string, limit int) error {
	err := &TooLongError{Word: word, Limit: limit}
	if l.err == nil {
		l.err = err
	}
	return err
}

// limit returns how many bytes of variables may go into a word. A word that replaces all matches of n patterns, which
// may be nested, makes at most ((its length)/(n+1))^(n+1) bytes.
func limit(word string) int {
	searches := pattern.FindAllStringSubmatch(word, -1)
	if searches == nil {
		return maxWord
	}
	factors := 1
	for _, s := range searches {
		if s[1] != "" {
			factors++
		}
	}
	length := maxSearched
	for ; power(length/factors, factors) > maxGrown; length /= 2 {
	}
	return length - len(word)
}

// power returns base to the power of n, or a number above maxGrown if it is above that.
func power(base, n int) int {
	all := 1
	for range n {
		if all *= base; all > maxGrown {
			break
		}
	}
	return all
}

// A meter counts the bytes of variables in a word, and gives empty values once there are too many.
type meter struct {
	shell.EnvGetter
	limit, taken int
	over         bool
}

// Get implements shell.EnvGetter.
func (m *meter) Get(name string) (string, bool) {
	value, ok := m.EnvGetter.Get(name)
	if m.taken += len(value); m.taken > m.limit {
		m.over, value = true, ""
	}
	return value, ok
}

// cost returns the number of bytes that a word counts for the file's total. A word that searches counts more, for the
// time that the search takes.
func (m *meter) cost(word string) int {
	if !pattern.MatchString(word) {
		return m.taken
	}
	length := m.taken + len(word)
	return m.taken + length*length/64
}
