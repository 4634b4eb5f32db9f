package shellgo

import (
	"maps"
	"path"
)

// A state is what is known of a shell at one point of its script. Its methods return the state after a change.
type state struct {
	vars    map[string]variable // those that the script sets; never changed in place
	dir     string
	lostDir bool // the folder isn't known
	dead    bool // the script doesn't get here
}

type variable struct {
	text     string
	known    bool
	exported bool
	from     string // see assignment
}

// An outcome has the state after a command that succeeded, and after one that failed. A state that can't occur is dead.
type outcome struct{ yes, no state }

func either(st state) outcome { return outcome{st, st} }

func surely(st state) outcome { return outcome{st, state{dead: true}} }

// after returns the state for what follows, whether the command succeeded or failed.
func (o outcome) after() state { return merge(o.yes, o.no) }

func (o outcome) forget(names []string) outcome {
	return outcome{o.yes.forget(names...), o.no.forget(names...)}
}

// merge returns what is the same in both states.
func merge(a, b state) state {
	if a.dead {
		return b
	}
	if b.dead {
		return a
	}
	if a.lostDir || b.lostDir || a.dir != b.dir {
		a = a.loseDir()
	}
	vars := map[string]variable{}
	for name, v := range a.vars {
		vars[name] = v
		if other, ok := b.vars[name]; !ok || other != v {
			vars[name] = variable{exported: v.exported || other.exported}
		}
	}
	for name, v := range b.vars {
		if _, ok := a.vars[name]; !ok {
			vars[name] = variable{exported: v.exported}
		}
	}
	a.vars = vars
	return a
}

func (st state) set(name string, v variable) state {
	vars := map[string]variable{}
	maps.Copy(vars, st.vars)
	vars[name] = v
	st.vars = vars
	return st
}

func (st state) assign(a assignment) state {
	return st.set(a.name, variable{a.text, a.known, st.vars[a.name].exported, a.from})
}

func (st state) assignExported(a assignment) state {
	return st.set(a.name, variable{a.text, a.known, true, a.from})
}

func (st state) forget(names ...string) state {
	if len(names) == 0 {
		return st
	}
	vars := map[string]variable{}
	maps.Copy(vars, st.vars)
	for _, name := range names {
		vars[name] = variable{exported: vars[name].exported}
	}
	st.vars = vars
	return st
}

// export changes only a variable that the script sets. A variable of the environment is exported already.
func (st state) export(name string, exported bool) state {
	v, ok := st.vars[name]
	if !ok && exported {
		return st
	}
	v.exported = exported
	v.known = v.known && ok
	return st.set(name, v)
}

// goVars are the variables that matter most to go. They may be in the environment even if the script doesn't set them.
var goVars = []string{
	"CGO_ENABLED", "GO111MODULE", "GOARCH", "GOCACHE", "GOENV", "GOFLAGS", "GOMODCACHE", "GONOPROXY", "GONOSUMDB",
	"GOOS", "GOPATH", "GOPRIVATE", "GOPROXY", "GOROOT", "GOSUMDB", "GOTOOLCHAIN", "GOWORK", "HOME", "XDG_CACHE_HOME",
}

// forgetAll returns the state after any variable may have been set or removed.
func (st state) forgetAll() state {
	vars := map[string]variable{}
	for _, name := range goVars {
		vars[name] = variable{}
	}
	for name, v := range st.vars {
		vars[name] = variable{exported: v.exported}
	}
	st.vars = vars
	return st
}

// child returns the state that a program sees when the shell runs it.
func (st state) child() state {
	vars := map[string]variable{}
	for name, v := range st.vars {
		if v.exported {
			vars[name] = v
		} else {
			vars[name] = variable{}
		}
	}
	st.vars = vars
	return st
}

func (st state) loseDir() state {
	st.dir, st.lostDir = "", true
	return st
}

func (st state) chdir(dir string) state {
	switch {
	case path.IsAbs(dir):
		st.dir, st.lostDir = path.Clean(dir), false
	case !st.lostDir:
		if st.dir = path.Join(st.dir, dir); st.dir == "." {
			st.dir = ""
		}
	}
	return st
}

// chdirTo returns the state after a change to a folder, which may not be known.
func (st state) chdirTo(dir string, known bool) state {
	if !known {
		return st.loseDir()
	}
	return st.chdir(dir)
}

// env returns what is known of the variables when go is called.
func (st state) env() (known map[string]string, unknown map[string]bool, from map[string]string) {
	for name, v := range st.vars {
		if v.from != "" && v.exported {
			if from == nil {
				from = map[string]string{}
			}
			from[name] = v.from
		}
		if v.known && v.exported {
			if known == nil {
				known = map[string]string{}
			}
			known[name] = v.text
			continue
		}
		if unknown == nil {
			unknown = map[string]bool{}
		}
		unknown[name] = true
	}
	return known, unknown, from
}
