package shellgo

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// changes is what statements may change in the shell that runs them.
type changes struct {
	names []string // variables
	all   bool     // any variable
	dir   bool
	calls bool // functions of the script: what they change isn't in here
}

// changesOf looks through statements, not in the order in which they run: a loop's body comes after itself. What subshells
// in them change counts only if deep.
func (w *walker) changesOf(deep bool, stmts ...*syntax.Stmt) changes {
	var c changes
	for _, s := range stmts {
		syntax.Walk(s, func(n syntax.Node) bool {
			switch n := n.(type) {
			case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst:
				return deep
			case *syntax.WordIter:
				c.names = append(c.names, n.Name.Value)
			case *syntax.Assign:
				if n.Name != nil {
					c.names = append(c.names, n.Name.Value)
				}
			case *syntax.ParamExp:
				c.names = appendDefault(c.names, n)
			case *syntax.CallExpr:
				if len(n.Args) > 0 { // assignments in front of it are for the command only, which may be a function
					w.changesOfCall(n, &c)
					return deep
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
	case name == "eval" || name == "." || name == "source":
		c.dir, c.all = true, true
	case w.funcs.names[name]:
		c.calls = true
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

// appendDefault adds the variable that ${NAME:=value} sets.
func appendDefault(names []string, p *syntax.ParamExp) []string {
	if p.Param == nil || p.Exp == nil || p.Exp.Op != syntax.AssignUnset && p.Exp.Op != syntax.AssignUnsetOrNull {
		return names
	}
	return append(names, p.Param.Value)
}

// defaults lists the variables that words or assignments set by being expanded.
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

// blur is the state when changes may have happened, or not.
func (st state) blur(c changes) state {
	if c.all {
		st = st.forgetAll()
	}
	if c.dir {
		st = st.loseDir()
	}
	return st.forget(c.names...)
}

// mayHaveRun is the state when statements have run any number of times.
func (w *walker) mayHaveRun(st state, stmts ...*syntax.Stmt) state {
	c := w.changesOf(false, stmts...)
	if c.calls {
		st = w.funcs.call(w, st)
	}
	return st.blur(c)
}

// A functions is the functions that a script declares.
type functions struct {
	names  map[string]bool
	bodies []*syntax.Stmt
	around []*syntax.Stmt // the script
	called *changes       // by calling any of them
	before *changes       // by anything, up to when one is called
}

// call is the state after a function.
func (f *functions) call(w *walker, st state) state {
	if f.called == nil {
		c := w.changesOf(false, f.bodies...)
		f.called = &c
	}
	return st.blur(*f.called)
}

// enter is the state in which a function may find itself.
func (f *functions) enter(w *walker, st state) state {
	if f.before == nil {
		c := w.changesOf(true, f.around...)
		f.before = &c
	}
	return st.blur(*f.before)
}

// declare notes the functions of a script in advance: one may be called by another that comes first.
func (f *functions) declare(file *syntax.File) (has bool) {
	f.called, f.before = nil, nil
	f.around = append(f.around, file.Stmts...)
	syntax.Walk(file, func(n syntax.Node) bool {
		if decl, ok := n.(*syntax.FuncDecl); ok {
			if f.names == nil {
				f.names = map[string]bool{}
			}
			if decl.Name != nil { // the parser takes () without one
				f.names[decl.Name.Value] = true
			}
			f.bodies = append(f.bodies, decl.Body)
			has = true
		}
		return true
	})
	return has
}
