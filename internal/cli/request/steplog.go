package request

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// stepPrefix starts each line that a step of Larder's writes of an error.
const stepPrefix = "larder: "

// runStep is in the name that BuildKit gives to the step of a RUN.
const runStep = "] RUN "

// maxStepLines bounds what is kept of one step.
const maxStepLines = 20

// StepLog watches a build for the words with which a step of Larder's own
// failed, and for what the go command says in a RUN that there is something to
// do about. BuildKit's error says no more than an exit code.
type StepLog struct {
	lines  map[digest.Digest][]string
	hints  map[digest.Digest][]string
	rest   map[digest.Digest]string // a line not yet ended
	failed digest.Digest
}

// Watch takes note of one status of the build.
func (l *StepLog) Watch(s *client.SolveStatus) {
	if l.lines == nil {
		l.lines, l.hints, l.rest = map[digest.Digest][]string{}, map[digest.Digest][]string{}, map[digest.Digest]string{}
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
		said := len(l.lines[v.Digest]) > 0 || len(l.hints[v.Digest]) > 0 && strings.Contains(v.Name, runStep)
		if v.Error != "" && said {
			l.failed = v.Digest
		}
	}
}

func (l *StepLog) add(vertex digest.Digest, line string) {
	said, ok := strings.CutPrefix(line, stepPrefix)
	if ok && len(l.lines[vertex]) < maxStepLines {
		l.lines[vertex] = append(l.lines[vertex], said)
	}
	for _, hint := range hintsTo(line) {
		if len(l.hints[vertex]) < maxStepLines && !slices.Contains(l.hints[vertex], hint) {
			l.hints[vertex] = append(l.hints[vertex], hint)
		}
	}
}

// Explain returns the error of a build: in the words of the step that failed
// if it is one of Larder's own, and with what to do about it if it is a RUN in
// which the go command said what is wrong.
func (l *StepLog) Explain(err error) error {
	if err == nil || l.failed == "" || !strings.Contains(err.Error(), "did not complete successfully") {
		return err
	}
	lines := l.lines[l.failed]
	if len(lines) == 0 {
		lines = append([]string{err.Error()}, l.hints[l.failed]...)
	}
	return &stepError{strings.Join(lines, "\n"), err}
}

// stepError says what a step said, and is still BuildKit's error.
type stepError struct {
	text string
	err  error
}

func (e *stepError) Error() string { return e.text }
func (e *stepError) Unwrap() error { return e.err }
