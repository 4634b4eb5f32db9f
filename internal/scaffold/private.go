package scaffold

import (
	"slices"
	"strings"

	"golang.org/x/mod/module"

	"github.com/larder-build/larder/internal/gomod"
)

// notePrivate finds modules that a public proxy can't have, by GOPRIVATE and by their names: on a host with such a name,
// or on the host of a module of this tree, if that is none of the public ones.
func (t *survey) notePrivate(goprivate string) {
	hosts := map[string]bool{}
	for _, m := range t.modules {
		hosts[gomod.Host(m.path)] = true
	}
	var patterns, found []string
	for _, m := range t.modules {
		for _, r := range m.requires {
			host := gomod.Host(r.Mod.Path)
			switch {
			case slices.ContainsFunc(t.modules, func(m goModule) bool { return m.path == r.Mod.Path }):
				continue
			case goprivate != "" && module.MatchPrefixPatterns(goprivate, r.Mod.Path):
				patterns = append(patterns, strings.Split(goprivate, ",")...)
			case hosts[host] && !gomod.PublicHost(host) || gomod.LooksPrivate(r.Mod.Path, "") != "":
				patterns = append(patterns, host)
			default:
				continue
			}
			found = append(found, r.Mod.Path)
		}
	}
	slices.Sort(patterns)
	t.private = strings.Join(slices.Compact(patterns), ",")
	if slices.Sort(found); len(found) > 0 {
		t.note("private modules, it seems: %s; %s sets GOPRIVATE", strings.Join(slices.Compact(found), ", "), BakeFile)
	}
}
