package testjson

import (
	"io"
	"strings"
)

// A Printer writes events as "go test" without -json writes them: the output of tests that fail, and a line for each
// package. It leaves out the output of tests that pass, even if another test of their package fails.
type Printer struct {
	Stdout, Stderr io.Writer // what builds print goes to Stderr

	Verbose bool   // all that is printed is shown, as by go test -v
	Live    string // tests whose names start with it are shown as they print, as by go test -bench and -fuzz; "" for none

	packages map[string]*running
	failed   bool
}

// running has the tests of a package that haven't ended, with their output.
type running struct {
	tests map[string]*shownTest
}

// A shownTest is a test that hasn't ended, or whose parent hasn't.
type shownTest struct {
	head     string  // its --- line
	output   Clipped // what else it printed
	failed   bool
	children []*shownTest
}

// maxShown is the number of bytes that are kept of a test's output, half from its start and half from its end.
const maxShown = 2 << 20

// Add adds an event. Its output is shown now, or when its test has ended.
func (p *Printer) Add(e Event) {
	switch {
	case e.Action == "build-output":
		io.WriteString(p.Stderr, e.Output)
	case p.Verbose:
		io.WriteString(p.Stdout, e.Output)
		p.failed = p.failed || e.Action == "fail" && e.Test == ""
	case e.Test == "":
		p.addPackage(e)
	case p.Live != "" && strings.HasPrefix(e.Test, p.Live):
		if !e.Framing() && !strings.HasPrefix(e.Output, "--- PASS: ") {
			io.WriteString(p.Stdout, e.Output)
		}
	default:
		p.addTest(e)
	}
}

func (p *Printer) addPackage(e Event) {
	if e.Ends() {
		p.flush(e.Package)
		p.failed = p.failed || e.Action == "fail"
		return
	}
	passed := e.Output == "PASS\n" || strings.HasPrefix(e.Output, "coverage: ")
	if e.Action != "output" || passed && p.Live == "" {
		return
	}
	if strings.HasPrefix(e.Output, "FAIL") || strings.HasPrefix(e.Output, "panic: ") {
		p.flush(e.Package) // what is unfinished belongs before it
	}
	io.WriteString(p.Stdout, e.Output)
}

func (p *Printer) addTest(e Event) {
	pkg := p.packages[e.Package]
	if pkg == nil {
		pkg = &running{tests: map[string]*shownTest{}}
		if p.packages == nil {
			p.packages = map[string]*running{}
		}
		p.packages[e.Package] = pkg
	}
	t := pkg.test(e.Test)
	switch {
	case e.Action == "output" && strings.HasPrefix(e.Output, "--- ") && t.head == "":
		t.head = e.Output
	case e.Action == "output" && !e.Framing():
		t.output.Limit = maxShown
		t.output.WriteString(e.Output)
	case e.Ends():
		t.failed = e.Action == "fail"
		if !t.failed {
			t.output, t.children = Clipped{}, nil // nobody asks, and its parent may run for long
		}
		if strings.Contains(e.Test, "/") {
			return // its parent shows it
		}
		if t.failed {
			p.show(t, "")
		}
		for name := range pkg.tests {
			if name == e.Test || strings.HasPrefix(name, e.Test+"/") {
				delete(pkg.tests, name)
			}
		}
	}
}

// test returns a test. It adds the test and its parents if they are new.
func (r *running) test(name string) *shownTest {
	t := r.tests[name]
	if t == nil {
		t = &shownTest{}
		r.tests[name] = t
		if i := strings.LastIndexByte(name, '/'); i > 0 {
			parent := r.test(name[:i])
			parent.children = append(parent.children, t)
		}
	}
	return t
}

// show writes the output of a failed test, and of its failed subtests.
func (p *Printer) show(t *shownTest, indent string) {
	if t.head != "" {
		io.WriteString(p.Stdout, indent+t.head)
	}
	for line := range strings.Lines(t.output.String()) {
		if strings.HasPrefix(line, "    ") {
			line = indent + line
		}
		io.WriteString(p.Stdout, line)
	}
	for _, sub := range t.children {
		if sub.failed {
			p.show(sub, indent+"    ")
		}
	}
}

// flush shows the tests that hadn't ended when their package did: after a panic, or at the timeout.
func (p *Printer) flush(pkg string) {
	r := p.packages[pkg]
	delete(p.packages, pkg)
	if r == nil {
		return
	}
	for _, name := range sortedKeys(r.tests) {
		if t := r.tests[name]; !strings.Contains(name, "/") {
			unfinished(t)
			p.show(t, "")
		}
	}
}

// unfinished marks tests without a verdict.
func unfinished(t *shownTest) {
	for _, sub := range t.children {
		if sub.head == "" {
			sub.failed = true
		}
		unfinished(sub)
	}
}

// Close shows the rest, and adds that something failed.
func (p *Printer) Close() {
	for _, pkg := range sortedKeys(p.packages) {
		p.flush(pkg)
	}
	if p.failed {
		io.WriteString(p.Stdout, "FAIL\n")
	}
}
