// Package shellgo finds the calls of the go command in shell source, and says what is known of each: its arguments, its
// environment and its folder. It runs nothing and reads no files. It calls unknown what it can't know for sure.
package shellgo

import (
	"errors"
	"fmt"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A Call is one call of the go command or of xx-go. xx-go runs go for the target platform of a Docker build:
// https://github.com/tonistiigi/xx.
type Call struct {
	// Start and End are byte offsets in the source: from the first word of the simple command after its assignments,
	// which is "go" or what runs it, such as "env", to the end of its last word or redirection. The body of a
	// here-document is outside. In a script in a word, as of sh -c, they are those of the command that has the word.
	Start, End int
	// Args is what follows "go". Go's own flag -C is taken out and applied to Dir.
	Args []Word
	// Env has the values of the variables that the script surely sets for the call.
	Env map[string]string
	// Unknown has the variables that the script sets to something else than what the environment of the script has, or
	// may, but not to what: it isn't literal, or happens on some ways only, or takes the variable away, or sets it without
	// export, which counts only if the environment has it already.
	Unknown map[string]bool
	// From has, of the unknown variables, those that are set to the value of another one, such as GOARCH=$TARGETARCH, which
	// the script itself doesn't set, and the name of that.
	From map[string]string
	// Dir is the folder that cd and -C lead to: absolute, or relative to where the script starts, "" if that's the same.
	Dir string
	// DirKnown is false, and Dir of no use, if a cd isn't literal, or may or may not have happened.
	DirKnown bool
	// Bare is true if nothing takes the call's output, and its exit status only decides whether the script goes on: the
	// call is a statement in a list. It isn't in a pipe, substitution, function, condition or the background, is not
	// negated, and is redirected to /dev/null at most. A call in a script in a word isn't bare.
	Bare bool
}

// A Word is an argument of a call.
type Word struct {
	Text    string // the word's value without quotes, if it is literal, else its source
	Literal bool
}

// A Script lists the commands that a piece of shell source runs.
type Script struct {
	// Calls are the calls of go in the order of the source.
	Calls []Call
	// Others names the other commands, in the order of the source, each once: the first word, with its folder, or its
	// source if it isn't literal. Builtins are among them. What only runs another command, such as env,
	// time or sudo, and a shell whose script is read, are not.
	Others []string
	// Commands are the calls of those other commands that aren't builtins which only change the shell, in the order of the
	// source.
	Commands []Command
}

// A Command is one call of a command other than go.
type Command struct {
	Name       string // as in Script.Others
	Args       []Argument
	Start, End int // as those of a Call, without the body of a here-document
	Dir        string
	DirKnown   bool
	// Bare is as that of a Call, and the command has no assignments in front of it: a list of commands can stand there.
	Bare bool
}

// An Argument is a word of a command, and its value after expansion.
type Argument struct {
	Word
	Value string // if it is known
	Known bool
	// Outer is true for a word that isn't known for one reason alone: it has variables that the script doesn't set.
	Outer bool
}

// Limits that bound the cost of any input. The nesting that they allow fits a goroutine's stack.
const (
	maxSource   = 32 << 10
	maxDepth    = 200
	maxCalls    = 1000
	maxCommands = 5000
	maxVars     = 500
	maxWrappers = 20
)

var errTooBig = errors.New("the script is too big or too deeply nested to be read")

// errNotFollowed is the error for shell features that RUN lines of Go projects rarely use. To follow them would take
// much code, and not to change such a line is safe.
var errNotFollowed = errors.New("a script with functions, eval, coproc or select isn't followed")

// Parse reads shell source. If posix is set, the shell is sh, else bash. It returns an error if the parser can't read
// the source, or if the source isn't followed. The caller must not change such a command.
func Parse(src string, posix bool) (Script, error) {
	file, err := parse(src, posix)
	if err != nil {
		return Script{}, err
	}
	w := &walker{callCollector: &callCollector{}, src: src, posix: posix}
	w.file(file, state{}, true)
	if w.callCollector.err != nil {
		return Script{}, w.callCollector.err
	}
	return w.callCollector.Script, nil
}

// Exec reads the words of a command that no shell runs (the JSON form of RUN). It follows all that Parse follows, and
// sh -c SCRIPT. Start and End are 0, and Bare is true only if the command runs nothing but the call.
func Exec(words []string) Script {
	w := &walker{callCollector: &callCollector{}, exec: true}
	c := command{bare: true, external: true}
	size := 0
	for _, text := range words {
		c.words = append(c.words, literalWord(text))
		if size += len(text) + 1; size > maxSource {
			w.err = errTooBig
		}
	}
	if len(words) > 0 && w.err == nil {
		w.run(c, state{}, state{})
	}
	if w.callCollector.err != nil {
		return Script{Others: words[:1]}
	}
	script := w.callCollector.Script
	if len(script.Calls) != 1 || len(script.Others) > 0 {
		for i := range script.Calls {
			script.Calls[i].Bare = false
		}
	}
	return script
}

// parse parses shell source. It returns an error if the parser panics, because a user's text must not end the builds of
// others.
func parse(src string, posix bool) (file *syntax.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, fmt.Errorf("the parser failed: %v", r)
		}
	}()
	if len(src) > maxSource {
		return nil, errTooBig
	}
	lang := syntax.LangBash
	if posix {
		lang = syntax.LangPOSIX
	}
	file, err = syntax.NewParser(syntax.Variant(lang)).Parse(strings.NewReader(src), "")
	if err == nil && !isFollowed(file) {
		err = errNotFollowed
	}
	return file, err
}

// isFollowed reports whether a script runs its commands in the order of the source, except for loops.
func isFollowed(file *syntax.File) bool {
	followed := true
	syntax.Walk(file, func(n syntax.Node) bool {
		switch c := n.(type) {
		case *syntax.FuncDecl, *syntax.CoprocClause:
			followed = false
		case *syntax.ForClause:
			followed = followed && !c.Select
		}
		return followed
	})
	return followed
}

// A callCollector collects the commands of a script, and of the scripts in its words.
type callCollector struct {
	Script
	seen map[string]bool
	err  error
}

func (f *callCollector) other(name string) {
	if f.seen[name] {
		return
	}
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	f.seen[name] = true
	f.Others = append(f.Others, name)
}

func (f *callCollector) command(c Command) {
	if len(f.Commands) == maxCommands {
		f.err = errTooBig
		return
	}
	f.Commands = append(f.Commands, c)
}

func (f *callCollector) call(c Call) {
	if len(f.Calls) == maxCalls {
		f.err = errTooBig
		return
	}
	f.Calls = append(f.Calls, c)
}
