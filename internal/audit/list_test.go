package audit

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
)

// A list has no file and no line that a finding could be at, nor a build list: each version in it is looked at.
func TestList(t *testing.T) {
	w := newWorld(t)
	w.options.Trees = []Tree{{
		Name: "stock",
		Modules: []module.Version{
			{Path: "vuln.example/lib", Version: "v1.0.0"}, {Path: "vuln.example/lib", Version: "v1.1.0"}, {Path: "vuln.example/lib", Version: "v1.2.0"},
			{Path: "gone.example/gone", Version: "v0.1.0"},
		},
		Toolchains: []string{"go1.26.8", "go1.26.8", "go1.98.1"},
	}}
	w.options.MaxAge = Age{}
	r := w.run()
	var out bytes.Buffer
	require.NoError(t, r.WriteText(&out))
	require.Equal(t, `stock: error: [vulnerability] GO-2021-0002 in the standard library of Go 1.26.8: Archives may be anything (whether it is called is not known); build with Go 1.99.0 or newer
stock: error: [vulnerability] GO-2021-0002 in the standard library of Go 1.98.1: Archives may be anything (whether it is called is not known); build with Go 1.99.0 or newer
stock: error: [vulnerability] GO-2021-0001 in vuln.example/lib@v1.0.0: Parse reads too �[1mmuch (whether it is called is not known); go get vuln.example/lib@v1.2.0
stock: error: [vulnerability] GO-2021-0001 in vuln.example/lib@v1.1.0: Parse reads too �[1mmuch (whether it is called is not known); go get vuln.example/lib@v1.2.0
stock: warning: [deprecated] gone.example/gone is deprecated: use new.example/new; move to what its author names
stock: note: [unchecked] vulnerabilities are told by versions alone, as no program is known that uses it; name the source trees, too
stock: note: [unchecked] the modules at hand lack the .info, .zip of vuln.example/lib@v1.1.0: not everything is checked; fetch it
stock: note: [version-skew] vuln.example/lib@v1.0.0 and vuln.example/lib@v1.2.0 are in it; use the newer one in all source trees
stock: note: [version-skew] vuln.example/lib@v1.1.0 and vuln.example/lib@v1.2.0 are in it; use the newer one in all source trees
4 module versions: 4 errors, 1 warning, 4 notes
`, out.String())
	require.Equal(t, []string{"stock"}, r.Modules[0].UsedBy)
	require.Equal(t, []string{"stock"}, r.Trees)

	var sarif bytes.Buffer
	require.NoError(t, r.WriteSARIF(&sarif, "v1.0.0"))
	require.Contains(t, sarif.String(), `"uri": "stock"`)
	require.NotContains(t, sarif.String(), `"region"`)
}
