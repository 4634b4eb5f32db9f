// Package junit writes the output of "go test -json" as JUnit XML, which CI servers show. It is pure: it takes events
// and returns XML.
//
// There is no one schema of JUnit XML. This is what Jenkins' junit-10.xsd, GitLab's "Unit test reports" and the GitHub
// actions that read such files have in common: testsuites > testsuite > testcase > skipped, failure or error, and
// system-out. A package is a suite. A test, subtest, fuzz test's seed, example or benchmark is a case, whose classname is
// the package's path. A failure is a test that failed; an error is one that panicked or ran into the timeout, and a
// package that couldn't be built or failed without any test failing.
package junit

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/inbuild/testjson"
)

// These are limits on the output that is kept of one test and of all tests, in bytes: CI servers refuse large files.
const (
	maxCase = 1 << 20
	maxAll  = 32 << 20
)

// A Report collects the events of test runs. Its zero value is an empty one.
type Report struct {
	suites []*suite
	open   map[string]*suite            // those that haven't ended, by package
	builds map[string]*testjson.Clipped // what builds printed, by ImportPath
	kept   int                          // bytes of output
}

type suite struct {
	name    string
	start   time.Time
	elapsed float64
	ended   bool
	failed  bool
	build   string // ImportPath of the build that failed
	cases   []*testCase
	tests   map[string]*testCase // the last of each name
	output  testjson.Clipped     // of the package itself
}

type testCase struct {
	name    string
	state   string // "" as long as it runs, else pass, fail or skip
	elapsed float64
	output  testjson.Clipped
}

// Add adds an event. If a package's events continue after its end, they are from another run and become another suite.
func (r *Report) Add(e testjson.Event) {
	if e.Action == "build-output" {
		if r.builds == nil {
			r.builds = map[string]*testjson.Clipped{}
		}
		if r.builds[e.ImportPath] == nil {
			r.builds[e.ImportPath] = &testjson.Clipped{}
		}
		r.write(r.builds[e.ImportPath], e.Output)
		return
	}
	if e.Package == "" {
		return
	}
	s := r.suite(e)
	switch {
	case e.Test != "":
		r.addTest(s, e)
	case e.Action == "output":
		r.write(&s.output, e.Output)
	case e.Ends():
		s.ended, s.failed, s.elapsed, s.build = true, e.Action == "fail", e.Elapsed, e.FailedBuild
		delete(r.open, e.Package)
		if !s.failed {
			r.drop(&s.output)
		}
	}
}

func (r *Report) suite(e testjson.Event) *suite {
	s := r.open[e.Package]
	if s == nil {
		s = &suite{name: e.Package, start: e.Time, tests: map[string]*testCase{}}
		if r.open == nil {
			r.open = map[string]*suite{}
		}
		r.open[e.Package] = s
		r.suites = append(r.suites, s)
	}
	return s
}

func (r *Report) addTest(s *suite, e testjson.Event) {
	c := s.tests[e.Test]
	if c == nil || e.Action == "run" {
		c = &testCase{name: e.Test}
		s.tests[e.Test] = c
		s.cases = append(s.cases, c)
	}
	switch {
	case e.Action == "output":
		if !e.Framing() {
			r.write(&c.output, e.Output)
		}
	case e.Ends():
		c.state, c.elapsed = e.Action, e.Elapsed
		if c.state == "pass" && !strings.HasPrefix(c.name, "Benchmark") {
			r.drop(&c.output)
		}
	}
}

// write keeps a piece of output, if there is room for it.
func (r *Report) write(to *testjson.Clipped, text string) {
	to.Limit = max(min(maxCase, to.Len()+maxAll-r.kept), 1<<10)
	before := to.Len()
	to.WriteString(text)
	r.kept += to.Len() - before
}

// drop forgets the output of a test when it is no longer needed.
func (r *Report) drop(out *testjson.Clipped) {
	r.kept -= out.Len()
	*out = testjson.Clipped{}
}

// Fail records that the go command failed, with its stderr, if no package shows the failure.
func (r *Report) Fail(stderr string) {
	for _, s := range r.suites {
		if s.failed {
			if out := s.output.String(); s.build == "" && (strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]")) {
				r.write(&s.output, stderr) // a go command before 1.24 doesn't say which package it is about
			}
			return
		}
	}
	s := &suite{name: "go test", ended: true, failed: true}
	r.write(&s.output, stderr)
	r.suites = append(r.suites, s)
}

// WriteTo writes the report as XML. It returns the writer's error.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var all xmlSuites
	elapsed := 0.0
	for _, s := range r.suites {
		x := r.suiteXML(s)
		all.Tests += x.Tests
		all.Failures += x.Failures
		all.Errors += x.Errors
		all.Suites = append(all.Suites, x)
		elapsed += s.elapsed
	}
	all.Time = seconds(elapsed)
	text, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return 0, fmt.Errorf("writing JUnit XML: %w", err)
	}
	n, err := io.WriteString(w, xml.Header+string(text)+"\n")
	return int64(n), err
}
