package junit

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

type xmlSuites struct {
	XMLName  xml.Name   `xml:"testsuites"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Time     string     `xml:"time,attr"`
	Suites   []xmlSuite `xml:"testsuite"`
}

type xmlSuite struct {
	Name      string    `xml:"name,attr"`
	Tests     int       `xml:"tests,attr"`
	Failures  int       `xml:"failures,attr"`
	Errors    int       `xml:"errors,attr"`
	Skipped   int       `xml:"skipped,attr"`
	Time      string    `xml:"time,attr"`
	Timestamp string    `xml:"timestamp,attr,omitempty"`
	Cases     []xmlCase `xml:"testcase"`
}

type xmlCase struct {
	Class   string     `xml:"classname,attr"`
	Name    string     `xml:"name,attr"`
	Time    string     `xml:"time,attr"`
	Skipped *xmlReason `xml:"skipped"`
	Failure *xmlReason `xml:"failure"`
	Error   *xmlReason `xml:"error"`
	Out     string     `xml:"system-out,omitempty"`
}

type xmlReason struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// seconds writes a duration as xs:decimal.
func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

func (r *Report) suiteXML(s *suite) xmlSuite {
	x := xmlSuite{Name: s.name, Time: seconds(s.elapsed)}
	if !s.start.IsZero() {
		x.Timestamp = s.start.UTC().Format(time.RFC3339)
	}
	told := false
	for _, c := range s.cases {
		k := s.caseXML(c)
		told = told || k.Failure != nil || k.Error != nil
		x.Cases = append(x.Cases, k)
	}
	if (s.failed || !s.ended) && !told {
		x.Cases = append(x.Cases, r.packageXML(s))
	}
	for _, k := range x.Cases {
		x.Tests++
		switch {
		case k.Failure != nil:
			x.Failures++
		case k.Error != nil:
			x.Errors++
		case k.Skipped != nil:
			x.Skipped++
		}
	}
	return x
}

func (s *suite) caseXML(c *testCase) xmlCase {
	x := xmlCase{Class: s.name, Name: c.name, Time: seconds(c.elapsed)}
	out := c.output.String()
	switch {
	case c.state == "skip":
		x.Skipped = &xmlReason{Message: reason(out)}
	case c.state == "fail" || c.state == "" && (s.failed || !s.ended):
		why := &xmlReason{Message: "failed", Type: "failure", Text: out}
		switch {
		case strings.Contains("\n"+out, "\npanic: test timed out"):
			why.Message, why.Type = line(out, "panic: "), "timeout"
		case strings.Contains("\n"+out, "\npanic: "):
			why.Message, why.Type = line(out, "panic: "), "panic"
		case c.state == "":
			why.Message, why.Type = "it has no end: the test binary ended before it", "unfinished"
		}
		if why.Type == "failure" {
			x.Failure = why
		} else {
			x.Error = why
		}
	case strings.HasPrefix(c.name, "Benchmark"):
		x.Out = out // the figures
	}
	return x
}

// packageXML returns a test case for a package that failed although none of its tests did.
func (r *Report) packageXML(s *suite) xmlCase {
	why := &xmlReason{Message: "the package failed, none of its tests did", Type: "package", Text: s.output.String()}
	name := "TestMain"
	switch {
	case s.name == "go test":
		name, why.Message, why.Type = "go test", "the go command failed", "go"
	case s.build != "" || strings.Contains(why.Text, "[build failed]"):
		name, why.Message, why.Type = "[build]", "build failed", "build"
		if out := r.builds[s.build]; out != nil {
			why.Text = out.String()
		}
	case strings.Contains(why.Text, "[setup failed]"):
		name, why.Message, why.Type = "[setup]", "setup failed", "build"
	case strings.Contains("\n"+why.Text, "\npanic: "):
		why.Message, why.Type = line(why.Text, "panic: "), "panic"
	}
	return xmlCase{Class: s.name, Name: name, Time: seconds(s.elapsed), Error: why}
}

// line returns the first line that starts with a prefix.
func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			return strings.TrimSpace(l)
		}
	}
	return ""
}

// reason returns the message of a test that skipped itself: its last log line, without file and line.
func reason(out string) string {
	said := ""
	for l := range strings.Lines(out) {
		if !strings.HasPrefix(l, "--- ") {
			said = strings.TrimSpace(l)
		}
	}
	if _, after, ok := strings.Cut(said, ".go:"); ok {
		if _, text, ok := strings.Cut(after, ": "); ok {
			return text
		}
	}
	return said
}
