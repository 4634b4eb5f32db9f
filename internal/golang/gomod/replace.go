package gomod

import (
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// A Replace is a replace line and the file that it is in.
type Replace struct {
	*modfile.Replace
	File string
}

// Replaces are the replace lines of a build by the module that they replace: those of go.work, and those of the main
// modules.
type Replaces struct{ work, mods map[module.Version]Replace }

// AddWork adds the lines of a go.work. They apply before others.
func (r *Replaces) AddWork(file string, lines []*modfile.Replace) { add(&r.work, file, lines) }

// AddMod adds the lines of a main module's go.mod. If two modules have different lines for one version, the go command
// refuses them.
func (r *Replaces) AddMod(file string, lines []*modfile.Replace) { add(&r.mods, file, lines) }

func add(to *map[module.Version]Replace, file string, lines []*modfile.Replace) {
	if *to == nil {
		*to = map[module.Version]Replace{}
	}
	for _, line := range lines {
		(*to)[line.Old] = Replace{line, file}
	}
}

// Of returns the line that replaces a version of a module. A line with the version applies before a line without one.
func (r *Replaces) Of(mod module.Version) (Replace, bool) {
	for _, lines := range []map[module.Version]Replace{r.work, r.mods} {
		for _, version := range []string{mod.Version, ""} {
			if line, ok := lines[module.Version{Path: mod.Path, Version: version}]; ok {
				return line, true
			}
		}
	}
	return Replace{}, false
}

// Used returns the module that replaces a module, or the module itself if no line replaces it.
func (r *Replaces) Used(mod module.Version) module.Version {
	if line, ok := r.Of(mod); ok {
		return line.New
	}
	return mod
}
