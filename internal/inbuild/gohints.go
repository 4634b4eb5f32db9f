package inbuild

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// goHints give advice on messages of the go command, which doesn't know that it runs in a build that fetches nothing
// and whose source tree is read-only.
var goHints = []struct {
	says   *regexp.Regexp
	advice string
}{
	{regexp.MustCompile(`^go: downloading (\S+) (\S+)`), "$1@$2" + absent},
	{regexp.MustCompile(`([^\s@]+@v\S+): module lookup disabled by GOPROXY=off`), "$1" + absent},
	{regexp.MustCompile(`missing go\.sum entry`),
		"go.sum lacks a line that this build needs: run 'go mod tidy' where the sources are kept, and commit go.mod and go.sum"},
	{regexp.MustCompile(`updates to go\.mod needed`),
		"go.mod is not up to date, and read-only here: run 'go mod tidy' where the sources are kept, and commit go.mod and go.sum"},
	{regexp.MustCompile(`cannot find module providing package (\S+): import lookup disabled by -mod=readonly`),
		"no module of go.mod has the package $1: run 'go mod tidy' where the sources are kept, and commit go.mod and go.sum; " +
			"if it is a package of this tree that only another module imports, write '# larder:slice=off' at the head of the Dockerfile"},
	{regexp.MustCompile(`cannot find module providing package (\S+): import lookup disabled by -mod=vendor`),
		"vendor/ lacks the package $1: run 'go mod tidy' and 'go mod vendor' where the sources are kept, and commit what they write"},
	{regexp.MustCompile(`requires go >= (\S+) \(running go ([^;)\s]+)`),
		"this stage has Go $2, and no other toolchain is fetched: start it with FROM go:$1, or from an image with that Go"},
	{regexp.MustCompile(`-(race|msan|asan) requires cgo`),
		"-$1 needs cgo, which is off here: start the stage from an image that has Go and a C compiler, such as golang (FROM go has none), and write GO --cgo"},
	{regexp.MustCompile(`: read-only file system`),
		"the source tree is read-only: have the command write to an absolute path outside of it, such as -o /out/ or -coverprofile=/out/cover.out (and tests below t.TempDir())"},
	{regexp.MustCompile(`^go: build output .* already exists and is a directory`),
		"without -o, a binary goes into the source tree, which is read-only: name an absolute path outside of it, such as -o /out/"},
	{regexp.MustCompile(`fork/exec \S+: exec format error`),
		"that is compiled for another platform than the builder's, and nothing is emulated: leave GOOS and GOARCH unset for a line that runs what it compiles, or only compile, with GO build or GO test -c"},
	{regexp.MustCompile(`open \S+: no such file or directory`),
		"a GO line is given the files that it compiles and, for tests, their testdata folders: if this is another file of the tree, write '# larder:slice=off' at the head of the Dockerfile, and see that .dockerignore doesn't leave it out"},
	{regexp.MustCompile(`cgo: C compiler "(.+)" not found`), "this stage has no C compiler $1: " + cgoAdvice},
	{regexp.MustCompile(`fatal error: '?([^\s':]+)'?(?:: No such file or directory| file not found)`),
		"the C header $1 is not in this stage: install the package that has it, often called -dev, before the GO line"},
	{regexp.MustCompile(`(?:cannot find|unable to find library) -l([^\s:]+)`),
		"the C library $1 is not in this stage, or not for the target platform: install the package that has it; -static needs the archive lib$1.a"},
	{regexp.MustCompile(`"pkg-config": executable file not found`), "a package asks pkg-config for the flags of a C library: install pkg-config in this stage"},
	{regexp.MustCompile(`unpacking GOFIPS140=(\S+):`),
		"the module cache is read-only: start the stage with FROM go, where $1 is in it already"},
	{regexp.MustCompile(`inconsistent vendoring`),
		"vendor/ isn't what go.mod asks for: run 'go mod vendor' where the sources are kept, and commit what it writes, or take vendor/ out"},
	{regexp.MustCompile(`no space left on device`),
		"the builder's disk is full: make room on it, for example with 'docker builder prune'"},
	{regexp.MustCompile(`: signal: killed`),
		"a process of the go command was killed: most likely the builder has too little memory; flag -p=1 makes go need less"},
}

const absent = " is needed, and not among the modules of this build: add it to the folder larder-modules, or run 'go mod tidy' if go.sum lacks it"

// maxHints is the greatest number of hints on one failure. After so many, go's own messages have to do.
const maxHints = 20

// A listener collects the hints on one output stream of a go command.
type listener struct {
	modCache string
	dir      string // where the command runs
	noCgo    bool   // it runs with CGO_ENABLED=0
	rest     []byte // of a line that isn't whole yet
	hints    []string
}

// maxHeard is the number of bytes of a line that are kept: a test may print long lines.
const maxHeard = 64 << 10

func (l *listener) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		l.rest = append(l.rest, line[:min(len(line), maxHeard-len(l.rest))]...)
		if whole {
			l.flush()
		}
		p = rest
	}
	return n, nil
}

func (l *listener) flush() {
	l.hear(string(l.rest))
	l.rest = l.rest[:0]
}

func (l *listener) hear(line string) {
	for _, h := range goHints {
		at := h.says.FindStringSubmatchIndex(line)
		if at == nil || strings.Contains(line, l.modCache+"/") && strings.Contains(line, "read-only file system") {
			continue // a module cache that can't be written to lacks a module, which another line names
		}
		l.add(string(h.says.ExpandString(nil, h.advice, line, at)))
	}
	if hint := l.cgoHint(line); hint != "" {
		l.add(hint)
	}
}

func (l *listener) add(hint string) {
	if len(l.hints) < maxHints && !slices.Contains(l.hints, hint) {
		l.hints = append(l.hints, hint)
	}
}

// tellHints writes the hints of listeners, each once.
func tellHints(w io.Writer, listeners ...*listener) {
	var told []string
	for _, l := range listeners {
		l.flush()
		for _, hint := range l.hints {
			if !slices.Contains(told, hint) {
				told = append(told, hint)
				fmt.Fprintf(w, "larder: %s\n", hint)
			}
		}
	}
}
