package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestMain makes the test binary the govulncheck that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "govulncheck" {
		if err := Govulncheck(context.Background(), os.Args[2:], os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const mit = `MIT License

Copyright (c) 2020 An Author

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

// world is three services, the modules that they use and a vulnerability database.
type world struct {
	t               testing.TB
	modules, vulnDB string
	sums            string // lines of go.sum for all modules
	options         Options
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, modules: t.TempDir(), vulnDB: testkit.Tree(t, database)}
	lib := map[string]string{
		"LICENSE":  mit,
		"lib.go":   "package lib\n\n//go:noinline\nfunc Parse(s string) int { return len(s) }\n\ntype T struct{}\n\nfunc (*T) Read() {}\n\n//go:noinline\nfunc Safe() {}\n",
		"sub/s.go": "package sub\n\nfunc F() {}\n",
	}
	w.module("vuln.example/lib", "v1.0.0", lib)
	w.module("vuln.example/lib", "v1.2.0", lib)
	w.module("back.example/Taken", "v1.0.0", map[string]string{"COPYING": "Ask me.\n", "t.go": "package taken\n"})
	w.module("back.example/Taken", "v1.1.0", map[string]string{"go.mod": "module back.example/Taken\n\n// It eats\n// files \x1b[31m.\nretract [v1.0.0, v1.0.9]\n", "t.go": "package taken\n"})
	w.module("gone.example/gone", "v0.1.0", map[string]string{"go.mod": "// Deprecated: use new.example/new.\nmodule gone.example/gone\n", "LICENSE.md": mit, "g.go": "package gone\n"})
	w.module("fork.example/lib", "v1.5.0", map[string]string{"go.mod": "module old.example/old\n", "LICENCE": mit, "o.go": "package old\n"})
	w.options = Options{
		Modules: os.DirFS(w.modules), VulnDB: os.DirFS(w.vulnDB),
		Govulncheck: []string{os.Args[0], "govulncheck"},
		Env:         map[string]string{"PATH": os.Getenv("PATH")},
		Now:         time.Date(2021, 6, 1, 0, 0, 0, 0, time.UTC), MaxAge: Age{years: 1},
	}
	return w
}

// module puts a module among the modules of the world; they are all of 2020-01-01.
func (w *world) module(path, version string, files map[string]string) {
	w.sums += testkit.Module{Path: path, Version: version, Files: files}.Write(w.t, w.modules)
}

// tree adds a tree, with a go.sum for every go.mod that has none.
func (w *world) tree(name, archive string) string {
	dir := testkit.Tree(w.t, archive)
	require.NoError(w.t, filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
		sum := strings.TrimSuffix(file, "mod") + "sum"
		if _, statErr := os.Stat(sum); filepath.Base(file) == "go.mod" && os.IsNotExist(statErr) {
			return os.WriteFile(sum, []byte(w.sums), 0o644)
		}
		return err
	}))
	w.options.Trees = append(w.options.Trees, Tree{Name: name, Dir: dir, FS: os.DirFS(dir)})
	return dir
}

func (w *world) run() *Report {
	r, err := Run(w.t.Context(), w.options)
	require.NoError(w.t, err)
	return r
}

// database is one of two vulnerabilities: one of a function of vuln.example/lib and one of a package of the standard
// library. A third was withdrawn.
const database = `
-- index/db.json --
{"modified":"2021-05-01T00:00:00Z"}
-- index/modules.json --
[{"path":"stdlib","vulns":[{"id":"GO-2021-0002","modified":"2021-05-01T00:00:00Z","fixed":"1.99.0"}]},
{"path":"vuln.example/lib","vulns":[{"id":"GO-2021-0001","modified":"2021-05-01T00:00:00Z","fixed":"1.2.0"},{"id":"GO-2021-0003","modified":"2021-05-01T00:00:00Z"}]}]
-- ID/GO-2021-0001.json --
{"schema_version":"1.3.1","id":"GO-2021-0001","modified":"2021-05-01T00:00:00Z","summary":"Parse\nreads too \u001b[1mmuch","details":"",
"affected":[{"package":{"name":"vuln.example/lib","ecosystem":"Go"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.2.0"}]}],
"ecosystem_specific":{"imports":[{"path":"vuln.example/lib","symbols":["Parse","T.Read"]}]}}]}
-- ID/GO-2021-0002.json --
{"schema_version":"1.3.1","id":"GO-2021-0002","modified":"2021-05-01T00:00:00Z","summary":"Archives may be anything","details":"",
"affected":[{"package":{"name":"stdlib","ecosystem":"Go"},
"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.99.0"}]}],
"ecosystem_specific":{"imports":[{"path":"archive/tar","symbols":["NewReader"]}]}}]}
-- ID/GO-2021-0003.json --
{"schema_version":"1.3.1","id":"GO-2021-0003","modified":"2021-05-01T00:00:00Z","withdrawn":"2021-05-02T00:00:00Z","details":"A mistake",
"affected":[{"package":{"name":"vuln.example/lib","ecosystem":"Go"}}]}
`

// The services: api calls the vulnerable function, by way of a package of its own; web only imports the package; and job
// has it at a version without it, and much else that is wrong. They are in three trees, one of them a workspace of two.
const (
	api = `
-- go.work --
go 1.26

toolchain go1.26.8

use (
	./api
	./web
)
-- api/go.mod --
module example.com/api

go 1.26

require vuln.example/lib v1.0.0
-- api/main.go --
package main

import "example.com/api/internal/in"

func main() { in.Do() }
-- api/internal/in/in.go --
package in

import "vuln.example/lib"

func Do() {
	f := func() { lib.Parse("x") }
	f()
}
-- web/go.mod --
module example.com/web

go 1.26

require (
	example.com/api v0.0.0
	vuln.example/lib v1.0.0
)

replace example.com/api => ../api
-- web/main.go --
package main

import "vuln.example/lib"

func main() { lib.Safe() }
`
	job = `
-- go.mod --
module example.com/job

go 1.26

toolchain go1.26.8

require (
	back.example/Taken v1.0.0
	gone.example/gone v0.1.0
	lost.example/lost v1.0.0 // indirect
	old.example/old v1.0.0
	side.example/side v1.0.0
	vuln.example/lib v1.2.0
)

replace old.example/old => fork.example/lib v1.5.0

replace side.example/side => ../side

replace in.example/in => ./in
-- main.go --
package main

import "vuln.example/lib"

func main() { lib.Parse("x") }
-- testdata/go.mod --
malformed, and not looked at
`
)

func TestReport(t *testing.T) {
	w := newWorld(t)
	w.tree("team/a", api)
	w.tree("/srv/job", job)
	w.options.DenyLicenses = []string{"M?T"}
	r := w.run()
	for name, write := range map[string]func(*bytes.Buffer) error{
		"report.txt":   func(b *bytes.Buffer) error { return r.WriteText(b) },
		"report.json":  func(b *bytes.Buffer) error { return r.WriteJSON(b) },
		"report.sarif": func(b *bytes.Buffer) error { return r.WriteSARIF(b, "v1.2.3") },
	} {
		var b bytes.Buffer
		require.NoError(t, write(&b))
		golden(t, name, b.Bytes())
	}
	require.True(t, r.Reaches(Error))
}

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(string(want), string(got)), "%s; -update writes it anew", name)
}

// docs/reference/audit.md tells of each rule, and shows lines that are real.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs", "reference", "audit.md"))
	require.NoError(t, err)
	report, err := os.ReadFile(filepath.Join("testdata", "report.txt"))
	require.NoError(t, err)
	_, example, _ := strings.Cut(string(doc), "```text\n")
	example, _, _ = strings.Cut(example, "```")
	require.NotEmpty(t, example)
	for line := range strings.Lines(example) {
		require.Contains(t, string(report), line)
	}
	for _, rule := range rules {
		require.Contains(t, string(doc), "\n| `"+rule.ID+"` | ")
	}
}

// The order of the trees and of what is in them changes nothing but the list of trees.
func TestReportIsStable(t *testing.T) {
	w := newWorld(t)
	w.options.VulnDB = nil
	w.tree("team/a", api)
	w.tree("job", job)
	first := w.run()
	w.options.Trees[0], w.options.Trees[1] = w.options.Trees[1], w.options.Trees[0]
	second := w.run()
	first.Trees, second.Trees = nil, nil
	require.Equal(t, first, second)
}

// What SARIF 2.1.0 requires of a log, and what code hosts do.
func TestSARIFRequirements(t *testing.T) {
	findings := []Finding{
		{Rule: RuleUnchecked, Severity: Note, Message: "no file"},
		{Rule: RuleOld, Severity: Warning, File: "a b/ü/go.mod", Line: 3, Message: "m"},
		{Rule: RuleLicense, Severity: Error, File: "/abs/go.mod", Line: 4, Message: "m"},
	}
	for _, r := range []*Report{{}, {Findings: findings}} {
		var b bytes.Buffer
		require.NoError(t, r.WriteSARIF(&b, "v1.2.3"))
		var log struct {
			Version string
			Runs    []struct {
				Tool struct {
					Driver struct {
						Name  string
						Rules []struct{ ID string }
					}
				}
				Results []struct {
					RuleID    string
					RuleIndex int
					Level     string
					Message   struct{ Text string }
					Locations []struct {
						PhysicalLocation struct {
							ArtifactLocation struct{ URI string }
							Region           struct{ StartLine int }
						}
					}
				}
			}
		}
		require.NoError(t, json.Unmarshal(b.Bytes(), &log))
		require.Equal(t, "2.1.0", log.Version)
		require.Len(t, log.Runs, 1)
		run := log.Runs[0]
		require.NotEmpty(t, run.Tool.Driver.Name)
		require.NotNil(t, run.Results)
		require.Len(t, run.Results, len(r.Findings))
		for i, res := range run.Results {
			require.Equal(t, r.Findings[i].Rule, res.RuleID)
			require.Equal(t, res.RuleID, run.Tool.Driver.Rules[res.RuleIndex].ID)
			require.Equal(t, r.Findings[i].Severity.String(), res.Level)
			require.NotEmpty(t, res.Message.Text)
		}
		if len(run.Results) > 0 {
			require.Empty(t, run.Results[0].Locations)
			require.Equal(t, "a%20b/%C3%BC/go.mod", run.Results[1].Locations[0].PhysicalLocation.ArtifactLocation.URI)
			require.Equal(t, "file:///abs/go.mod", run.Results[2].Locations[0].PhysicalLocation.ArtifactLocation.URI)
			require.Equal(t, 4, run.Results[2].Locations[0].PhysicalLocation.Region.StartLine)
		}
	}
}

func TestParseSeverity(t *testing.T) {
	for _, s := range []Severity{Note, Warning, Error} {
		got, err := ParseSeverity(s.String())
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
	none, err := ParseSeverity("none")
	require.NoError(t, err)
	require.False(t, (&Report{Findings: []Finding{{Severity: Error}}}).Reaches(none))
	_, err = ParseSeverity("fatal")
	require.ErrorContains(t, err, "error, warning, note, none")
}
