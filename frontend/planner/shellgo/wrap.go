package shellgo

import (
	"path"
	"slices"
	"strings"
)

// A wrapper is a command that only runs the command in its arguments.
type wrapper struct {
	values   string // the one-letter flags that have a value
	long     string // the long flags whose value is the next word
	operands int    // how many words come before the command
}

var wrappers = map[string]wrapper{
	"builtin": {},
	"command": {},
	"exec":    {values: "a"},
	"nice":    {values: "n", long: " --adjustment "},
	"nohup":   {},
	"sudo":    {values: "CDRTUghprtu", long: " --user --group --chdir --host --prompt "},
	"time":    {values: "fo", long: " --format --output "},
	"timeout": {values: "ks", long: " --kill-after --signal ", operands: 1},
	"xargs": {values: "EILPadns",
		long: " --arg-file --delimiter --max-args --max-chars --max-lines --max-procs --process-slot-var "},
}

// unwrap returns the command that a wrapper runs in the end, and the state for it.
func unwrap(c command, env state) (command, state) {
	for range maxWrappers {
		next, nextEnv, ok := unwrapOne(c, env)
		if !ok || len(next.words) == 0 {
			break
		}
		c, env = next, nextEnv
	}
	return c, env
}

func unwrapOne(c command, env state) (command, state, bool) {
	name, args := path.Base(c.words[0].Text), c.words[1:]
	wrap, ok := wrappers[name]
	if !c.words[0].Literal || !ok && name != "env" {
		return c, env, false
	}
	if name == "env" {
		if len(args) > 0 && strings.HasPrefix(args[0].Text, "-") {
			return c, env, false // a flag may change what it runs, and where
		}
		c.words, env = assignments(args, env)
		c.external = true
		return c, env, true
	}
	n := wrap.flags(args)
	flags := args[:n]
	if name == "command" && (hasFlag(flags, 'v') || hasFlag(flags, 'V')) {
		return c, env, false
	}
	c.words = args[min(n+wrap.operands, len(args)):]
	switch name {
	case "builtin", "command":
		return c, env, true
	case "exec":
		c.bare, c.replaces = false, true
	case "sudo":
		if !hasFlag(flags, 'E') {
			env = env.forgetAll()
		}
		env = env.forget("HOME")
		c.words, env = assignments(c.words, env)
	case "xargs":
		c.bare = false
		c.words = appendInput(flags, c.words)
	}
	c.external = true
	return c, env, true
}

// flags counts the words before the operands.
func (wrap wrapper) flags(args []word) int {
	for i := 0; i < len(args); i++ {
		text := args[i].Text
		switch {
		case text == "--":
			return i + 1
		case len(text) < 2 || text[0] != '-':
			return i
		case strings.HasPrefix(text, "--"):
			if strings.Contains(wrap.long, " "+text+" ") {
				i++
			}
		case strings.IndexAny(text, wrap.values) == len(text)-1:
			i++
		}
	}
	return len(args)
}

// hasFlag reports whether flags have a flag of one letter.
func hasFlag(flags []word, letter rune) bool {
	return slices.ContainsFunc(flags, func(f word) bool {
		return strings.HasPrefix(f.Text, "-") && !strings.HasPrefix(f.Text, "--") && strings.ContainsRune(f.Text, letter)
	})
}

// assignments removes words such as A=b from the front of a command, and applies them to env.
func assignments(words []word, env state) ([]word, state) {
	for len(words) > 0 {
		a, ok := words[0].assignment()
		if !ok {
			break
		}
		env = env.assignExported(a)
		words = words[1:]
	}
	return words, env
}

// appendInput returns the command that xargs runs. A placeholder stands for what xargs reads.
func appendInput(flags, words []word) []word {
	if len(words) == 0 {
		return nil
	}
	out := slices.Clone(words)
	for i, f := range flags {
		mark, ok := strings.CutPrefix(f.Text, "-I")
		if !ok {
			continue
		}
		if mark == "" && i+1 < len(flags) {
			mark = flags[i+1].Text
		}
		for j, word := range out {
			if mark != "" {
				out[j] = word.replaced(mark)
			}
		}
	}
	return append(out, word{Word: Word{Text: "$@"}})
}
