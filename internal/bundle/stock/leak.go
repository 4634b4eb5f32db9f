package stock

import (
	"fmt"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotree"
)

// leak returns a warning for the user, before any network is asked, that a module of a tree looks private and that a
// public proxy or checksum database will see its name. It is empty if there is no such module.
func (s *Stocker) leak(m gotree.Module, sumdb bool) string {
	public := slices.IndexFunc(s.proxies, func(e modfetch.Entry) bool {
		return e.Source != nil && planner.Source{URL: e.Shown}.Public()
	})
	for _, sum := range m.Set.Zips() {
		why := gomod.LooksPrivate(sum.Path, m.Path)
		if why == "" {
			continue
		}
		var told []string
		if public >= 0 && !s.private(sum.Path) {
			told = append(told, s.proxies[public].Shown)
		}
		if sumdb && s.Go.GOSUMDB != "off" && !s.unlisted(sum.Path) {
			told = append(told, "the checksum database")
		}
		if len(told) > 0 {
			return fmt.Sprintf("%s looks private: %s; what isn't at hand is asked of %s: set GOPRIVATE=%s, unless that may be", sum.Path, why, strings.Join(told, " and "), gomod.Host(sum.Path))
		}
	}
	return ""
}
