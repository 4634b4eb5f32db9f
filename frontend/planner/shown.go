package planner

import (
	"strings"

	"github.com/larder-build/larder/internal/expand"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// A Rewrite is an instruction that BuildKit's converter gets in a changed form.
type Rewrite struct {
	Line    int    `json:"line"`    // the first line in the Dockerfile
	EndLine int    `json:"endLine"` // the last one
	Text    string `json:"text"`    // the user's, joined to one line
	What    string `json:"what"`    // what the change is for
	Runs    bool   `json:"runs"`    // it is a step that is run
	Network bool   `json:"network"` // the step may use a network

	// Injected says that it was given something without being asked: see Note for how to leave it alone.
	Injected bool `json:"injected,omitempty"`

	swaps  [][2]string // what is given in place of what; none for a GO line, which is replaced whole
	escape rune
}

// Shown returns the name of an instruction's step for the user. given is the name that BuildKit's converter gave it.
// Variables are expanded as the converter expands them.
func (r Rewrite) Shown(given string, env func() shell.EnvGetter) string {
	if len(r.swaps) > 0 {
		for _, s := range r.swaps {
			given = strings.Replace(given, s[0], s[1], 1)
		}
		return given
	}
	lex := shell.NewLex(r.escape)
	lex.RawQuotes, lex.RawEscapes, lex.SkipUnsetEnv = true, true, true
	name := r.Text
	if expanded, err := expand.New(lex).Word(r.Text, env()); err == nil {
		name = expanded.Result
	}
	word, rest, _ := strings.Cut(name, " ")
	return strings.ToUpper(word) + " " + rest
}

// StepCommand is the text that the command of a GO line's step starts with.
const StepCommand = step.Go + " "

// ShownHistory returns an entry of an image's history, with a GO line as the user wrote it.
func ShownHistory(createdBy string) string {
	before, after, ok := strings.Cut(createdBy, StepCommand)
	if !ok {
		return createdBy
	}
	_, line, ok := strings.Cut(" "+after, " -- ")
	if !ok {
		return createdBy
	}
	return "GO " + strings.TrimPrefix(before, "RUN ") + line
}
