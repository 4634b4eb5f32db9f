package shellgo

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// changes lists what statements may change in the shell that runs them.
type changes struct {
	names []string // variables
	all   bool     // any variable
	dir   bool
}

// changesOf lists the changes of statements, whatever their order: in a loop, the body also runs before itself. Changes
// inside a subshell don't count.
func (w *walker) changesOf(stmts ...*syntax.Stmt) changes {
	var c changes
	for _, s := range stmts {
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst:
				return false
			case *syntax.WordIter:
				c.names = append(c.names, n.Name.Value)
			case *syntax.Assign:
				if n.Name != nil {
					c.names = append(c.names, n.Name.Value)
				}
			case *syntax.ParamExp:
				c.names = appendDefault(c.names, n)
			case *syntax.CallExpr:
				if len(n.Args) > 0 { // assignments in front of it are for the command only
					w.changesOfCall(n, &c)
					return false
				}
			}
			return true
		})
	}
	return c
}

func (w *walker) changesOfCall(call *syntax.CallExpr, c *changes) {
	c.names = append(c.names, defaults(call.Args)...)
	var words []word
	for _, a := range call.Args {
		words = append(words, w.readWord(a, nil, false))
	}
	for len(words) > 1 && (words[0].Text == "command" || words[0].Text == "builtin") {
		words = words[1:]
	}
	switch name := words[0].Text; {
	case name == "cd" || name == "pushd" || name == "popd":
		c.dir = true
	case name == "." || name == "source":
		c.dir, c.all = true, true
	case setsVariables[name]:
		for _, a := range words[1:] {
			name, _, _ := strings.Cut(a.head, "=")
			if syntax.ValidName(name) {
				c.names = append(c.names, name)
			} else if !a.Literal {
				c.all = true
			}
		}
	}
}

// setsVariables are the builtins whose arguments name variables.
var setsVariables = map[string]bool{
	"declare": true, "export": true, "getopts": true, "local": true, "mapfile": true, "printf": true, "read": true,
	"readarray": true, "readonly": true, "typeset": true, "unset": true,
}

// appendDefault adds the variable that an expansion such as ${NAME:=value} sets.
func appendDefault(names []string, p *syntax.ParamExp) []string {
	if p.Param == nil || p.Exp == nil || p.Exp.Op != syntax.AssignUnset && p.Exp.Op != syntax.AssignUnsetOrNull {
		return names
	}
	return append(names, p.Param.Value)
}

// defaults lists the variables that expansions in words or assignments set.
func defaults[N syntax.Node](nodes []N) []string {
	var names []string
	for _, node := range nodes {
		syntax.Walk(node, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.CmdSubst, *syntax.ProcSubst:
				return false
			case *syntax.ParamExp:
				names = appendDefault(names, n)
			}
			return true
		})
	}
	return names
}

// blur returns the state if changes may have happened or not.
func (st state) blur(c changes) state {
	if c.all {
		st = st.forgetAll()
	}
	if c.dir {
		st = st.loseDir()
	}
	return st.forget(c.names...)
}

// mayHaveRun returns the state after statements have run any number of times, or never.
func (w *walker) mayHaveRun(st state, stmts ...*syntax.Stmt) state {
	return st.blur(w.changesOf(stmts...))
}
