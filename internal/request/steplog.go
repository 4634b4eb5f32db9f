package request

import (
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// stepPrefix starts each line that a step of Larder's writes of an error.
const stepPrefix = "larder: "

// maxStepLines bounds what is kept of one step.
const maxStepLines = 20

// StepLog watches a build for the words with which a step of Larder's own
// failed. BuildKit's error of it says no more than an exit code.
type StepLog struct {
	lines  map[digest.Digest][]string
	rest   map[digest.Digest]string // a line not yet ended
	failed digest.Digest
}

// Watch takes note of one status of the build.
func (l *StepLog) Watch(s *client.SolveStatus) {
	if l.lines == nil {
		l.lines, l.rest = map[digest.Digest][]string{}, map[digest.Digest]string{}
	}
	for _, log := range s.Logs {
		text := l.rest[log.Vertex] + string(log.Data)
		end := strings.LastIndexByte(text, '\n') + 1
		l.rest[log.Vertex] = text[end:]
		for line := range strings.Lines(text[:end]) {
			l.add(log.Vertex, strings.TrimSuffix(line, "\n"))
		}
	}
	for _, v := range s.Vertexes {
		if v.Error != "" && len(l.lines[v.Digest]) > 0 {
			l.failed = v.Digest
		}
	}
}

func (l *StepLog) add(vertex digest.Digest, line string) {
	if said, ok := strings.CutPrefix(line, stepPrefix); ok && len(l.lines[vertex]) < maxStepLines {
		l.lines[vertex] = append(l.lines[vertex], said)
	}
}

// Explain returns the error of a build, in the words of the step that failed
// if it is one of Larder's own.
func (l *StepLog) Explain(err error) error {
	if err == nil || l.failed == "" || !strings.Contains(err.Error(), "did not complete successfully") {
		return err
	}
	return &stepError{strings.Join(l.lines[l.failed], "\n"), err}
}

// stepError says what a step said, and is still BuildKit's error.
type stepError struct {
	text string
	err  error
}

func (e *stepError) Error() string { return e.text }
func (e *stepError) Unwrap() error { return e.err }
