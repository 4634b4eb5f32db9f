package shellgo

import (
	"mvdan.cc/sh/v3/syntax"
)

// A walker goes through one script in the order in which it runs. It keeps what is known at each point.
type walker struct {
	*callCollector
	src    string
	posix  bool
	within *command // the command whose word has the script
	exec   bool     // no script is around this one
	depth  int
}

func (w *walker) file(file *syntax.File, st state, bare bool) outcome {
	return w.list(file.Stmts, st, bare)
}

func (w *walker) list(stmts []*syntax.Stmt, st state, bare bool) outcome {
	out := surely(st)
	for _, s := range stmts {
		if w.err != nil {
			break
		}
		out = w.stmt(s, out.after(), bare)
	}
	return out
}

func (w *walker) stmt(s *syntax.Stmt, st state, bare bool) outcome {
	defer w.leave()
	if !w.enter(st) {
		return either(st)
	}
	bare = bare && !s.Negated && !s.Background && isQuiet(s.Redirs)
	out := surely(st)
	if call, ok := s.Cmd.(*syntax.CallExpr); ok {
		out = w.simple(call, s.Redirs, st, bare)
	} else if s.Cmd != nil {
		out = w.compound(s.Cmd, st, bare)
	}
	for _, r := range s.Redirs {
		w.substitutions(r, st)
	}
	switch {
	case s.Background:
		return surely(st)
	case s.Negated:
		return outcome{out.no, out.yes}
	}
	return out
}

// enter goes one level deeper, and reports whether to walk that level.
func (w *walker) enter(st state) bool {
	if w.depth++; w.depth > maxDepth || len(st.vars) > maxVars {
		w.err = errTooBig
	}
	return w.err == nil
}

func (w *walker) leave() { w.depth-- }

// isQuiet reports whether redirections lead only to /dev/null, or from one output to the other.
func isQuiet(redirs []*syntax.Redirect) bool {
	for _, r := range redirs {
		if r.N != nil && r.N.Value != "0" && r.N.Value != "1" && r.N.Value != "2" {
			return false
		}
		target := r.Word.Lit()
		switch r.Op {
		case syntax.DplOut:
			if target != "1" && target != "2" && target != "/dev/null" {
				return false
			}
		case syntax.RdrOut, syntax.RdrClob, syntax.AppOut, syntax.RdrIn, syntax.RdrAll, syntax.AppAll:
			if target != "/dev/null" {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// compound walks a command that isn't simple.
func (w *walker) compound(cmd syntax.Command, st state, bare bool) outcome {
	switch c := cmd.(type) {
	case *syntax.BinaryCmd:
		return w.binary(c, st, bare)
	case *syntax.Subshell:
		w.list(c.Stmts, st, bare)
	case *syntax.Block:
		return w.list(c.Stmts, st, bare)
	case *syntax.IfClause:
		return w.ifClause(c, st, bare)
	case *syntax.WhileClause:
		return w.while(c, st, bare)
	case *syntax.ForClause:
		return w.forClause(c, st, bare)
	case *syntax.CaseClause:
		return w.caseClause(c, st, bare)
	case *syntax.DeclClause:
		return w.declClause(c, st)
	case *syntax.TimeClause:
		if c.Stmt != nil {
			return w.stmt(c.Stmt, st, bare)
		}
	case *syntax.TestClause:
		w.other("[[")
		w.substitutions(c, st)
	case *syntax.LetClause:
		w.other("let")
		w.substitutions(c, st)
	default:
		w.substitutions(c, st)
	}
	return either(st)
}

// binary walks a pipe, or a list of commands with && and ||. The parser nests lists to the left.
func (w *walker) binary(b *syntax.BinaryCmd, st state, bare bool) outcome {
	if !isAndOr(b) {
		w.stmt(b.X, st, false)
		w.stmt(b.Y, st, false)
		return either(st)
	}
	chain := []*syntax.BinaryCmd{b}
	for {
		left, ok := b.X.Cmd.(*syntax.BinaryCmd)
		if !ok || !isAndOr(left) || b.X.Negated || len(b.X.Redirs) > 0 {
			break
		}
		b = left
		chain = append(chain, b)
	}
	out := w.stmt(b.X, st, bare)
	for i := len(chain) - 1; i >= 0; i-- {
		if chain[i].Op == syntax.AndStmt {
			next := w.stmt(chain[i].Y, alive(out.yes, out.no), bare)
			out = outcome{next.yes, merge(out.no, next.no)}
		} else {
			next := w.stmt(chain[i].Y, alive(out.no, out.yes), bare)
			out = outcome{merge(out.yes, next.yes), next.no}
		}
	}
	return out
}

func isAndOr(b *syntax.BinaryCmd) bool { return b.Op == syntax.AndStmt || b.Op == syntax.OrStmt }

// alive returns the first state or, if it is dead, the second. It is for commands that seem never to run, such as those
// after || if cd fails.
func alive(st, instead state) state {
	if st.dead {
		return instead
	}
	return st
}

func (w *walker) ifClause(c *syntax.IfClause, st state, bare bool) outcome {
	defer w.leave()
	if !w.enter(st) {
		return either(st)
	}
	if len(c.Cond) == 0 { // else
		return w.list(c.Then, st, bare)
	}
	cond := w.list(c.Cond, st, false)
	then := w.list(c.Then, alive(cond.yes, cond.no), bare)
	rest := surely(cond.no)
	if c.Else != nil {
		rest = w.ifClause(c.Else, alive(cond.no, cond.yes), bare)
	}
	return outcome{merge(then.yes, rest.yes), merge(then.no, rest.no)}
}

// while walks a loop. Variables that the loop changes aren't known even at its start, since each turn comes after
// another.
func (w *walker) while(c *syntax.WhileClause, st state, bare bool) outcome {
	st = w.mayHaveRun(w.mayHaveRun(st, c.Cond...), c.Do...)
	cond := w.list(c.Cond, st, false)
	body := w.list(c.Do, merge(cond.yes, cond.no), bare)
	return either(merge(st, body.after()))
}

func (w *walker) forClause(c *syntax.ForClause, st state, bare bool) outcome {
	w.substitutions(c.Loop, st)
	st = w.mayHaveRun(st, c.Do...)
	if loop, ok := c.Loop.(*syntax.WordIter); ok {
		st = st.forget(loop.Name.Value)
	}
	return either(merge(st, w.list(c.Do, st, bare).after()))
}

func (w *walker) caseClause(c *syntax.CaseClause, st state, bare bool) outcome {
	w.substitutions(c.Word, st)
	out := either(st)
	start := st
	for _, item := range c.Items {
		for _, p := range item.Patterns {
			w.substitutions(p, st)
		}
		o := w.list(item.Stmts, start, bare)
		out = outcome{merge(out.yes, o.yes), merge(out.no, o.no)}
		start = st
		if item.Op != syntax.Break { // it goes on with the next one
			start = merge(st, o.after())
		}
	}
	return out
}

// substitutions walks the commands in $(), backquotes and <() inside a node.
func (w *walker) substitutions(n syntax.Node, st state) {
	syntax.Walk(n, func(n syntax.Node) bool {
		switch s := n.(type) {
		case *syntax.CmdSubst:
			w.list(s.Stmts, st, false)
			return false
		case *syntax.ProcSubst:
			w.list(s.Stmts, st, false)
			return false
		}
		return true
	})
}
