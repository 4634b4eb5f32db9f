// Package testjson reads what "go test -json" writes, and writes it as "go test" does without -json. So a test run can
// be shown to people and kept for machines at the same time. It is pure: it takes events and returns text.
package testjson

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// An Event is a line of "go test -json": see 'go doc test2json' and 'go help buildjson'.
type Event struct {
	Time        time.Time
	Action      string  // start, run, pause, cont, output, pass, bench, fail, skip, build-output, build-fail
	Package     string  // of a test's event
	ImportPath  string  // of a build's event
	Test        string  // "" for an event of the whole package
	Elapsed     float64 // seconds, of what ends
	Output      string  // a line, or a part of one
	FailedBuild string  // the ImportPath by whose failed build the package fails
}

// Ends reports whether the event is the last of its test, or of its package.
func (e Event) Ends() bool {
	switch e.Action {
	case "pass", "fail", "skip", "bench":
		return true
	}
	return false
}

// Framing reports whether the event's output is a line that only "go test -v" writes about a test, such as "=== RUN".
func (e Event) Framing() bool {
	return e.Action == "output" && e.Test != "" &&
		(strings.HasPrefix(e.Output, "=== ") || strings.TrimSuffix(e.Output, "\n") == e.Test && strings.HasPrefix(e.Test, "Benchmark"))
}

// Parse reads a line. If it isn't an event, ok is false: the go command writes some lines of its own between events.
func Parse(line []byte) (e Event, ok bool) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &e) != nil || e.Action == "" {
		return Event{}, false
	}
	return e, true
}

// A Lines is a writer that splits its input into lines and calls each for every line, including the line end.
type Lines struct {
	each func(line []byte)
	rest []byte
}

// maxLine is the greatest length of a line. A longer one comes in pieces.
const maxLine = 4 << 20

// NewLines returns a writer of lines.
func NewLines(each func(line []byte)) *Lines { return &Lines{each: each} }

// Write implements io.Writer. It doesn't fail.
func (l *Lines) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n') + 1
		whole := end > 0
		if !whole {
			end = len(p)
		}
		l.rest = append(l.rest, p[:end]...)
		p = p[end:]
		if whole || len(l.rest) > maxLine {
			l.Flush()
		}
	}
	return n, nil
}

// Flush passes on the last line if it has no line end.
func (l *Lines) Flush() {
	if len(l.rest) > 0 {
		l.each(l.rest)
		l.rest = l.rest[:0]
	}
}
