package request

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// stepPrefix begins each line of an error that one of Larder's steps writes.
const stepPrefix = "larder: "

// runStep is in the name that BuildKit gives to the step of a RUN.
const runStep = "] RUN "

// maxStepLines is the greatest number of lines that are kept of one step.
const maxStepLines = 20

// StepLog watches a build. It keeps the error messages of Larder's own steps,
// and the messages of the go command in a RUN for which there is advice.
// BuildKit's error has only an exit code.
type StepLog struct {
	lines  map[digest.Digest][]string
	hints  map[digest.Digest][]string
	rest   map[digest.Digest]string // a line not yet ended
	failed digest.Digest
}

// Watch records one status of the build.
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

// Explain returns the error of a build. If a step of Larder's failed, the error
// has the step's own message. If the go command in a RUN failed, it has advice
// on the command's message.
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

// stepError has the message of a step, and wraps BuildKit's error.
type stepError struct {
	text string
	err  error
}

func (e *stepError) Error() string { return e.text }
func (e *stepError) Unwrap() error { return e.err }
