package shellgo

import (
	"path"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// A command is a simple command: its words, and what surrounds it.
type command struct {
	words      []word
	start, end int
	bare       bool
	assigns    bool // there are assignments in front of it
	external   bool // a program runs it, not the shell: its name is that of no builtin
	replaces   bool // exec runs it: nothing follows
}

// simple walks a simple command, and the substitutions in its words.
func (w *walker) simple(c *syntax.CallExpr, redirs []*syntax.Redirect, st state, bare bool) outcome {
	env := st
	for _, a := range c.Assigns {
		w.substitutions(a, st)
		if set, ok := w.assign(a, env.vars); ok && len(c.Args) > 0 {
			env = env.assignExported(set)
		} else if ok {
			env = env.assign(set)
		}
	}
	if len(c.Args) == 0 {
		return surely(env).forget(defaults(c.Assigns))
	}
	run := command{bare: bare, assigns: len(c.Assigns) > 0, start: int(c.Args[0].Pos().Offset()), end: int(c.End().Offset())}
	for _, r := range redirs {
		run.end = max(run.end, int(r.Word.End().Offset()))
	}
	for _, a := range c.Args {
		run.words = append(run.words, w.readWord(a, st.vars, false))
	}
	out := w.run(run, st, env)
	for _, a := range c.Args {
		w.substitutions(a, st)
	}
	return out.forget(defaults(c.Args))
}

// assign reads an assignment.
func (w *walker) assign(a *syntax.Assign, vars map[string]variable) (assignment, bool) {
	if a.Name == nil {
		return assignment{}, false
	}
	set := assignment{name: a.Name.Value, known: a.Array == nil && a.Index == nil}
	if a.Value != nil {
		value := w.readWord(a.Value, vars, true)
		set.text, set.known = value.value, set.known && value.known
		if value.head == "" && !a.Append {
			set.from = value.from
		}
	}
	if a.Append {
		before := vars[set.name]
		set.text, set.known = before.text+set.text, set.known && before.known
	}
	return set, true
}

// run finds out what a command runs. st is the state of the shell, and env the state with assignments for this command
// only.
func (w *walker) run(c command, st, env state) outcome {
	c, env = unwrap(c, env)
	name := c.words[0]
	switch {
	case isGo(c.words):
		w.addCall(c, env)
	case w.script(c, env):
	case name.Literal && path.Base(name.Text) == "find":
		w.addCommand(c, env)
		w.find(c, env)
	case c.external || !name.Literal:
		w.addCommand(c, env)
	case name.Text == "eval":
		w.err = errNotFollowed
	default:
		w.addCommand(c, env)
		return builtin(c, st)
	}
	if c.replaces {
		return outcome{state{dead: true}, state{dead: true}}
	}
	return either(st)
}

// isGo reports whether the words of a command call go. xx-go does, unless it is called with its own flags to set it up.
func isGo(words []word) bool {
	name := words[0]
	if name.Literal && path.Base(name.Text) == "xx-go" {
		return len(words) > 1 && !strings.HasPrefix(words[1].head, "-")
	}
	return name.Literal && name.Text == "go" || strings.HasSuffix(name.tail, "/go")
}

// addCommand records a command other than go.
func (w *walker) addCommand(c command, env state) {
	w.other(c.words[0].Text)
	cmd := Command{Name: c.words[0].Text, Start: c.start, End: c.end, Bare: c.bare && !c.assigns && w.within == nil, Dir: env.dir, DirKnown: !env.lostDir}
	for _, a := range c.words[1:] {
		cmd.Args = append(cmd.Args, Argument{Word: a.Word, Value: a.value, Known: a.known, Outer: a.outer})
	}
	w.command(cmd)
}

// addCall records a call of go.
func (w *walker) addCall(c command, env state) {
	args := c.words[1:]
	call := Call{Start: c.start, End: c.end, Bare: c.bare}
	if w.within != nil {
		call.Start, call.End, call.Bare = w.within.start, w.within.end, c.bare && w.exec
	}
	if i, n, dir := chdirFlag(args); n > 0 {
		env = env.chdirTo(dir.value, dir.known)
		args = append(args[:i:i], args[i+n:]...)
	}
	for _, a := range args {
		call.Args = append(call.Args, a.Word)
	}
	call.Env, call.Unknown, call.From = env.env()
	call.Dir, call.DirKnown = env.dir, !env.lostDir
	w.call(call)
}

// chdirFlag finds go's flag -C: its index, the number of its words, and its folder. The flag comes first, or first
// after the names of the subcommand.
func chdirFlag(args []word) (i, n int, dir word) {
	for i < len(args) && i < 2 && !strings.HasPrefix(args[i].head, "-") {
		i++
		if i == 1 && args[0].Text != "mod" && args[0].Text != "work" {
			break
		}
	}
	if i == len(args) {
		return 0, 0, word{}
	}
	flag, _, ok := strings.Cut(args[i].head, "=")
	switch {
	case flag != "-C" && flag != "--C":
		return 0, 0, word{}
	case ok:
		dir = args[i]
		dir.value = strings.TrimPrefix(dir.value, flag+"=")
		return i, 1, dir
	case i+1 < len(args):
		return i, 2, args[i+1]
	}
	return 0, 0, word{}
}

// shells are the shells whose -c script is read. The value says whether the script is in the language of sh, and not of
// bash.
var shells = map[string]bool{"ash": true, "bash": false, "dash": true, "sh": true}

// script walks the script of a command such as sh -c SCRIPT. It reports whether there is one that it can read.
func (w *walker) script(c command, env state) bool {
	posix, ok := shells[path.Base(c.words[0].Text)]
	if !ok || !c.words[0].Literal {
		return false
	}
	src, ok := shellScript(c.words[1:])
	if !ok {
		return false
	}
	_, ok = w.nested(src, posix, c, env.child())
	return ok
}

// shellScript returns the script after -c in the arguments of a shell.
func shellScript(args []word) (string, bool) {
	isScript := false
	for i := 0; i < len(args); i++ {
		text := args[i].Text
		switch {
		case !args[i].Literal:
			return "", false
		case text == "--rcfile" || text == "--init-file":
			i++
		case text != "--" && strings.HasPrefix(text, "--"):
		case len(text) > 1 && strings.ContainsRune("-+", rune(text[0])) && text != "--":
			isScript = isScript || text[0] == '-' && strings.Contains(text, "c")
			i += strings.Count(strings.ToLower(text), "o")
		default:
			if text == "--" && i+1 < len(args) {
				text, isScript = args[i+1].Text, isScript && args[i+1].Literal
			}
			return text, isScript
		}
	}
	return "", false
}

// nested walks a script that is a word of a command.
func (w *walker) nested(src string, posix bool, c command, st state) (outcome, bool) {
	file, err := parse(src, posix)
	if err != nil {
		return outcome{}, false
	}
	in := &walker{callCollector: w.callCollector, src: src, posix: posix, within: w.within, exec: w.exec, depth: w.depth}
	if in.within == nil {
		in.within = &c
	}
	defer in.leave()
	if !in.enter(st) {
		return outcome{}, false
	}
	return in.file(file, st, c.bare), true
}

// find walks the commands that find runs.
func (w *walker) find(c command, env state) {
	defer w.leave()
	if !w.enter(env) {
		return
	}
	for i := 0; i < len(c.words); i++ {
		switch c.words[i].Text {
		case "-execdir", "-okdir":
			env = env.loseDir()
		case "-exec", "-ok":
		default:
			continue
		}
		inner := command{start: c.start, end: c.end, external: true}
		for i++; i < len(c.words) && c.words[i].Text != ";" && c.words[i].Text != "+"; i++ {
			inner.words = append(inner.words, c.words[i].replaced("{}"))
		}
		if len(inner.words) > 0 {
			w.run(inner, env, env)
		}
	}
}

// replaced returns the word after a program has replaced a mark in it, such as {}.
func (w word) replaced(mark string) word {
	if before, after, ok := strings.Cut(w.Text, mark); ok && w.Literal {
		w.Literal, w.known, w.head, w.tail = false, false, before, after
	}
	return w
}
