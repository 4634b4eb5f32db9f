package dialect

import (
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// replaceLines are the replace lines of a build by what they replace: those of go.work, which count first, and those of
// the main modules.
type replaceLines [2]map[module.Version]*modfile.Replace

func (m Module) replaceLines() replaceLines {
	lines := replaceLines{{}, {}}
	for _, r := range m.replaced {
		lines[0][r.Old] = r
	}
	for _, member := range m.Members {
		for _, r := range member.mod.Replace {
			lines[1][r.Old] = r // where two modules differ, the go command refuses them
		}
	}
	return lines
}

// of returns the line that replaces a version of a module, or nil. One that names the version counts before one that
// names none.
func (l replaceLines) of(mod module.Version) *modfile.Replace {
	for _, lines := range l {
		if r := lines[mod]; r != nil {
			return r
		}
		if r := lines[module.Version{Path: mod.Path}]; r != nil {
			return r
		}
	}
	return nil
}
