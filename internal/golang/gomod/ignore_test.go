package gomod

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

func TestIgnores(t *testing.T) {
	var i Ignores
	for dir, lines := range map[string][]string{".": {"./web", "node/modules"}, "tools": {"./gen", "fixtures"}} {
		var list []*modfile.Ignore
		for _, line := range lines {
			list = append(list, &modfile.Ignore{Path: line})
		}
		i.Add(dir, list)
	}
	for dir, want := range map[string]bool{
		"web": true, "web/app": true, "website": false, "api/web": false,
		"node/modules": true, "a/node/modules/b": true, "node": false, "node/modules2": false,
		"tools/gen": true, "gen": false, "tools/a/gen": false, "tools/a/fixtures": true, "fixtures": false, "tools": false, ".": false,
	} {
		require.Equal(t, want, i.Has(dir), dir)
	}
}
