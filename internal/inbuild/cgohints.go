package inbuild

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// What the go command says of packages that need cgo when that is off, in words that don't name the reason.
var (
	saysExcluded  = regexp.MustCompile(`build constraints exclude all Go files in (\S+)`)
	saysUndefined = regexp.MustCompile(`^(\S+\.go):\d+(?::\d+)?: undefined: `)
)

// cgoHint says that a package needs cgo, if that is why the go command failed on a line of its output.
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
