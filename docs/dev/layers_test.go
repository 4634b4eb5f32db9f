package dev_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// pure are the packages that take data and return data. Their tests need no network, no folder and no time of day, so a
// golden file can hold all that they do.
var pure = []string{
	"frontend/changes", "frontend/dockerfile", "frontend/pin", "frontend/plain", "frontend/planner", "frontend/planpage", "frontend/planner/shellgo", "llb",
	"internal/cli/scaffold", "internal/commit", "internal/expand",
	"internal/golang/gomod", "internal/golang/gorecipe", "internal/golang/goslice", "internal/golang/gotoolchain", "internal/golang/gotree", "internal/golang/gowords",
	"internal/inbuild/elflibs", "internal/inbuild/junit", "internal/inbuild/testjson",
	"internal/proof/license", "internal/proof/materials", "internal/proof/offline", "internal/proof/spdx",
	"internal/redact", "internal/step",
}

// above are packages of internal that cmd/larder alone is built on: they stand between it and the frontend.
var above = []string{
	"internal/cli/bakefile",  // makes build requests of the targets of a bake file
	"internal/cli/lastbuild", // keeps what package changes compares
	"internal/cli/request",   // makes a build request of a command's flags, which the planner has to know
	"internal/bundle/stock",  // finds what a bundle needs, which the plan of a Dockerfile says
}

// A rule says what packages may not import. A pattern is a path, or a path and "/..." for all below it as well.
type rule struct {
	of      []string // the packages that it is for
	but     []string // those of them that it isn't for
	never   []string // what they don't import, as whole paths
	except  []string // what of that they may
	because string
}

var rules = []rule{
	{
		of: []string{"..."}, never: []string{module + "cmd/...", module + "examples/..."},
		because: "a command is wiring: what others need of it belongs to a package",
	},
	{
		of: []string{"llb/...", "internal/..."}, but: above, never: []string{module + "frontend/..."},
		because: "the frontend decides what is built: what it is built of must not know",
	},
	{
		of: []string{"internal/..."}, never: []string{module + "llb/..."},
		because: "states are made of values from below, and steps run without a builder",
	},
	{
		of: []string{"frontend/...", "llb/...", "internal/..."}, but: above, never: paths(above),
		because: "these are for the command alone: in a gateway there is neither a command line nor a bundle to stock",
	},
	{
		of: []string{"..."}, never: []string{module + "internal/testkit"},
		because: "what tests run with must not get into a binary",
	},
	{
		of: pure, never: []string{"os/...", "io/ioutil", "net", "net/http/...", "syscall/...", "plugin", "golang.org/x/sys/..."},
		because: "pure packages read no file, no environment and no network: what they need is given to them",
	},
	{
		of: pure, never: []string{module + "..."}, except: paths(pure),
		because: "what a pure package is built on must be pure, too",
	},
}

func paths(list []string) (all []string) {
	for _, path := range list {
		all = append(all, module+path)
	}
	return all
}

// A pkg is what go list tells of a package: its tests aren't in it.
type pkg struct {
	ImportPath, Dir  string
	GoFiles, Imports []string
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

func matches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		parent, all := strings.CutSuffix(pattern, "...")
		return path == pattern || all && (strings.HasPrefix(path, parent) || path == strings.TrimSuffix(parent, "/"))
	})
}

// broken returns what a package imports against the rules.
func broken(p pkg) (found []string) {
	for _, r := range rules {
		if !matches(r.of, p.name()) || matches(r.but, p.name()) {
			continue
		}
		for _, path := range p.Imports {
			if matches(r.never, path) && !matches(r.except, path) {
				found = append(found, fmt.Sprintf("%s imports %s: %s", p.name(), path, r.because))
			}
		}
	}
	return found
}

func listed(t *testing.T) (list []pkg) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Dir,GoFiles,Imports", "./...")
	cmd.Dir = testkit.Root(t)
	out, err := cmd.Output()
	require.NoError(t, err)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			require.NoError(t, err)
		}
		list = append(list, p)
	}
}

func TestLayers(t *testing.T) {
	list := listed(t)
	for _, p := range list {
		for _, text := range broken(p) {
			t.Error(text)
		}
		if matches(pure, p.name()) {
			for _, place := range clocks(t, p) {
				t.Errorf("%s asks for the time: pure packages give the same for the same input", place)
			}
		}
	}
	// A rule for a package that was moved is no rule.
	for _, r := range rules {
		for _, pattern := range slices.Concat(r.of, r.but) {
			require.True(t, slices.ContainsFunc(list, func(p pkg) bool { return matches([]string{pattern}, p.name()) }), "no package is %s", pattern)
		}
	}
}

// clocks returns where a package reads the clock, or waits.
func clocks(t *testing.T, p pkg) (places []string) {
	reads := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for _, name := range p.GoFiles {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.SelectorExpr); ok && slices.Contains(reads, call.Sel.Name) {
				if of, ok := call.X.(*ast.Ident); ok && of.Name == "time" {
					places = append(places, files.Position(call.Pos()).String())
				}
			}
			return true
		})
	}
	return places
}

// The rules forbid what they are there to forbid.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		of, imports string
		forbidden   bool
	}{
		{"frontend", module + "cmd/larder", true},
		{"internal/bundle", module + "frontend/planner", true},
		{"internal/bundle/stock", module + "frontend/planner", false},
		{"internal/bundle", module + "internal/bundle/stock", true},
		{"frontend", module + "internal/cli/request", true},
		{"cmd/larder", module + "internal/bundle/stock", false},
		{"internal/inbuild", module + "llb", true},
		{"llb", module + "frontend", true},
		{"frontend", module + "llb", false},
		{"cmd/larder", module + "internal/testkit", true},
		{"frontend/planner", "os", true},
		{"frontend/planner", "os/exec", true},
		{"internal/golang/gomod", "net", true},
		{"llb", "net/http/httputil", true},
		{"llb", "net/url", false},
		{"llb", module + "internal/builder", true},
		{"llb", module + "internal/golang/gomod", false},
		{"internal/bundle", "os", false},
	} {
		found := broken(pkg{ImportPath: module + c.of, Imports: []string{c.imports}})
		require.Equal(t, c.forbidden, len(found) > 0, "%s imports %s: %v", c.of, c.imports, found)
	}
}

func TestClocks(t *testing.T) {
	dir := testkit.Tree(t, "-- x.go --\npackage x\n\nimport \"time\"\n\nvar _ = time.Unix(0, 0)\n\nvar now = time.Now\n")
	require.Equal(t, []string{filepath.Join(dir, "x.go") + ":7:11"}, clocks(t, pkg{Dir: dir, GoFiles: []string{"x.go"}}))
}
