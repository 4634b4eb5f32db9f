package gomod

import (
	"strings"

	"golang.org/x/mod/module"
)

// ModuleOf returns the module in a list that contains a package, by its import path. If modules are nested, it returns
// the innermost. If there is none, it returns the zero value.
func ModuleOf(pkg string, list []module.Version) (in module.Version) {
	for _, m := range list {
		if strings.HasPrefix(pkg+"/", m.Path+"/") && len(m.Path) > len(in.Path) {
			in = m
		}
	}
	return in
}
