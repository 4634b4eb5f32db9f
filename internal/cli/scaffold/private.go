package scaffold

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/larder-build/larder/internal/golang/gomod"
)

// fetched returns the modules from outside the tree that its modules require, after replacements. It also notes the
// folders outside the tree that replace modules.
func (t *survey) fetched() (list []module.Version) {
	t.outside = map[string]string{}
	for _, m := range t.modules {
		lines := m.Replaces()
		for _, r := range m.mod.Require {
			line, ok := lines.Of(r.Mod)
			switch {
			case slices.ContainsFunc(t.modules, func(m goModule) bool { return m.Path == r.Mod.Path }):
			case !ok:
				list = append(list, r.Mod)
			case line.New.Version != "":
				list = append(list, line.New)
			default:
				t.noteOutside(line)
			}
		}
	}
	return list
}

// noteOutside notes the folder of a replace line if it is outside the tree. Builds get it as a named context.
func (t *survey) noteOutside(line gomod.Replace) {
	dir := path.Join(path.Dir(line.File), line.New.Path)
	switch name := strings.ToLower(line.Old.Path); {
	case path.IsAbs(line.New.Path):
		t.note("%s:%d replaces %s by an absolute path, which no build has: make it relative", line.File, line.Syntax.Start.Line, line.Old.Path)
	case !fs.ValidPath(dir) && t.outside[name] == "":
		t.outside[name] = dir
		t.note("%s stands for %s, from outside of this tree: %s passes it as a named context", dir, line.Old.Path, BakeFile)
	}
}

// notePrivate notes modules that a public proxy can't have, by GOPRIVATE and by their names. Other modules on the host
// of this tree's module may be private or not: many projects use a host that is open to all.
func (t *survey) notePrivate(goprivate string) {
	var patterns, found, near []string
	for _, mod := range t.fetched() {
		looks, beside := false, false
		for _, m := range t.modules {
			looks = looks || gomod.LooksPrivate(mod.Path, m.Path) != ""
			beside = beside || gomod.Host(mod.Path) == gomod.Host(m.Path)
		}
		switch host := gomod.Host(mod.Path); {
		case goprivate != "" && module.MatchPrefixPatterns(goprivate, mod.Path):
			patterns = append(patterns, strings.Split(goprivate, ",")...)
			found = append(found, mod.Path)
		case looks:
			patterns, found = append(patterns, host), append(found, mod.Path)
		case beside && !gomod.PublicHost(host):
			near = append(near, host)
		}
	}
	t.private = strings.Join(sorted(patterns), ",")
	if len(found) > 0 {
		t.note("private modules, it seems: %s; %s sets GOPRIVATE, and has lines for their credentials", strings.Join(sorted(found), ", "), BakeFile)
	}
	for _, host := range sorted(near) {
		t.note("if the modules of %s are private, write these files anew by GOPRIVATE=%[1]s larder init --force", host)
	}
}

// sorted returns a sorted list without duplicates.
func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
