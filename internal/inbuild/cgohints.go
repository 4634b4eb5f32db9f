package inbuild

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// These match messages of the go command about packages that need cgo when it is off. The messages don't name that
// reason.
var (
	saysExcluded  = regexp.MustCompile(`build constraints exclude all Go files in (\S+)`)
	saysUndefined = regexp.MustCompile(`^(\S+\.go):\d+(?::\d+)?: undefined: `)
)

// cgoHint returns a hint that a package needs cgo, if a line of the go command's output shows that it failed for that
// reason.
func (l *listener) cgoHint(line string) string {
	if !l.noCgo {
		return ""
	}
	dir := ""
	if m := saysExcluded.FindStringSubmatch(line); m != nil {
		dir = m[1]
	} else if m := saysUndefined.FindStringSubmatch(line); m != nil {
		dir = filepath.Dir(m[1])
	} else {
		return ""
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(l.dir, dir)
	}
	if !importsC(dir) {
		return ""
	}
	return "the package in " + strings.TrimPrefix(dir, l.modCache+"/") + " needs cgo, which is off here (CGO_ENABLED=0): write GO --cgo in a stage that has a C compiler, such as FROM golang, or use a package without C"
}

// importsC reports whether a package has files that import "C".
func importsC(dir string) bool {
	files, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, f := range files {
		if !f.Type().IsRegular() || !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f.Name()), nil, parser.ImportsOnly)
		if err != nil {
			continue
		}
		for _, spec := range file.Imports {
			if spec.Path.Value == `"C"` {
				return true
			}
		}
	}
	return false
}
