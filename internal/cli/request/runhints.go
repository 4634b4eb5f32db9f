package request

import (
	"regexp"
	"strings"
)

// runHints give advice on messages of the go command in a RUN, where Larder has no step of its own that could give it.
// Every line that a build prints is compared with these words, which is much cheaper than regular expressions for all
// lines.
var runHints = []struct {
	words  string
	says   *regexp.Regexp
	advice string
}{
	{"build constraints exclude", regexp.MustCompile(`build constraints exclude all Go files in (\S+)`),
		`the package in $1 has no Go file for this platform and these settings: if its files import "C", it needs cgo, which is off with CGO_ENABLED=0, ` +
			`for another platform than the stage's, and without a C compiler: set CGO_ENABLED=1 in a stage that has one, such as FROM golang, or use a package without C`},
	{"cgo: C compiler", regexp.MustCompile(`cgo: C compiler "(.+)" not found`),
		"this stage has no C compiler $1: install one (in golang's Alpine image the packages gcc and musl-dev), or set CGO_ENABLED=0"},
	{"unsupported GOOS/GOARCH", regexp.MustCompile(`unsupported GOOS/GOARCH pair (\S+)`),
		"the go command of this stage compiles for no platform $1: look at GOOS and GOARCH of the line, its stage's ENV and --platform; 'go tool dist list' names those that there are"},
	{"listed in go.work file", regexp.MustCompile(`cannot load module (\S+) listed in go\.work file`),
		"go.work names the folder $1, which is not in this stage: COPY it to its place, take its use line out, or set GOWORK=off"},
	{"replacement directory", regexp.MustCompile(`(\S+)@v\S+: replacement directory (\S+) does not exist`), replacedFolder},
	{"(replaced by ", regexp.MustCompile(`(\S+)@v\S+ \(replaced by (\.\S+|/\S+)\): reading \S+: open \S+: no such file or directory`), replacedFolder},
}

const replacedFolder = "go.mod replaces $1 by the folder $2, which is not in this stage: COPY it to its place; one outside of the build context comes by --build-context $1=$2 and COPY --from=$1"

// hintsTo returns advice on a line that the go command printed.
func hintsTo(line string) (hints []string) {
	for _, h := range runHints {
		if !strings.Contains(line, h.words) {
			continue
		}
		if at := h.says.FindStringSubmatchIndex(line); at != nil {
			hints = append(hints, string(h.says.ExpandString(nil, h.advice, line, at)))
		}
	}
	return hints
}
