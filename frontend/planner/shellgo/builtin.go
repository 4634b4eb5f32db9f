package shellgo

import (
	"mvdan.cc/sh/v3/syntax"
)

// builtin returns the outcome of a builtin, or of another command that the shell runs.
func builtin(c command, st state) outcome {
	args := c.words[1:]
	switch name := c.words[0].Text; name {
	case "cd", "pushd":
		return surely(changeDir(args, st))
	case "popd":
		return surely(st.loseDir())
	case "export", "readonly", "declare", "typeset", "local":
		return surely(declare(name, args, st))
	case "unset":
		return surely(forgetArgs(args, st))
	case "getopts", "mapfile", "read", "readarray":
		return either(forgetArgs(args, st))
	case "printf":
		if len(args) > 1 && args[0].Text == "-v" {
			st = st.forget(args[1].Text)
		}
		return surely(st)
	case ":", "true", "echo", "set", "shopt", "umask", "mkdir":
		return surely(st)
	case "false":
		return outcome{state{dead: true}, st}
	case "exit":
		return outcome{state{dead: true}, state{dead: true}}
	case ".", "source":
		return either(st.forgetAll().loseDir())
	default:
		return either(st)
	}
}

// changeDir returns the state after cd.
func changeDir(args []word, st state) state {
	for len(args) > 0 && args[0].Literal && len(args[0].Text) > 1 && args[0].Text[0] == '-' {
		args = args[1:]
	}
	if len(args) != 1 || args[0].Text == "-" {
		return st.loseDir() // it leads home, or back
	}
	return st.chdirTo(args[0].value, args[0].known)
}

// forgetArgs returns the state after a builtin that sets or removes the variables its arguments name.
func forgetArgs(args []word, st state) state {
	for _, a := range args {
		if !a.Literal {
			st = st.forgetAll()
		} else if syntax.ValidName(a.Text) {
			st = st.forget(a.Text)
		}
	}
	return st
}

// declare returns the state after export or a similar builtin. Its arguments are names and assignments.
func declare(name string, args []word, st state) state {
	exports, withdraws := exporting(name, args)
	for _, a := range args {
		set, ok := a.assignment()
		switch {
		case ok:
			st = st.assign(set)
		case !a.Literal:
			st = st.forgetAll()
			continue
		case syntax.ValidName(a.Text):
			set.name = a.Text
		default:
			continue
		}
		if exports || withdraws {
			st = st.export(set.name, exports)
		}
	}
	return st
}

// exporting reports whether export or a similar builtin exports the named variables, or withdraws that.
func exporting(name string, args []word) (exports, withdraws bool) {
	n := wrapper{}.flags(args)
	withdraws = name == "export" && hasFlag(args[:n], 'n')
	return name == "export" && !withdraws || hasFlag(args[:n], 'x'), withdraws
}

// declClause walks export and similar builtins in bash. There the parser reads assignments in their arguments.
func (w *walker) declClause(c *syntax.DeclClause, st state) outcome {
	name := c.Variant.Value
	w.other(name)
	var args []word
	for _, a := range c.Args {
		args = append(args, w.declared(a, st.vars))
	}
	w.substitutions(c, st)
	return surely(declare(name, args, st))
}

// declared returns the word for an argument of export and similar builtins in bash.
func (w *walker) declared(a *syntax.Assign, vars map[string]variable) word {
	if a.Name == nil {
		return w.readWord(a.Value, vars, true)
	}
	if a.Naked {
		return literalWord(a.Name.Value)
	}
	set, _ := w.assign(a, vars)
	text := set.name + "=" + set.text
	return word{Word: Word{Text: text, Literal: set.known}, head: set.name + "=", value: text, known: set.known, from: set.from}
}
