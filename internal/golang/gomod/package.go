package gomod

import (
	"strings"

	"golang.org/x/mod/module"
)

// ModuleOf returns the module of a list that a package is in, by its import path: of nested modules, the innermost. It is
// the zero value if there is none.
func ModuleOf(pkg string, list []module.Version) (in module.Version) {
	for _, m := range list {
		if strings.HasPrefix(pkg+"/", m.Path+"/") && len(m.Path) > len(in.Path) {
			in = m
		}
	}
	return in
}
