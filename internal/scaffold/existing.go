package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// readExisting takes the ports from the Dockerfile that is there: those of the stage of a program's name, or of the last
// stage if there is one program.
func (t *survey) readExisting() error {
	data, err := fs.ReadFile(t, Dockerfile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	ast, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil // one that is broken says nothing
	}
	byStage := map[string][]string{}
	name := ""
	for _, n := range ast.AST.Children {
		var words []string
		for w := n.Next; w != nil; w = w.Next {
			words = append(words, w.Value)
		}
		switch strings.ToLower(n.Value) {
		case command.From:
			name = ""
			if len(words) == 3 {
				name = strings.ToLower(words[2])
			}
		case command.Expose:
			byStage[name] = append(byStage[name], words...)
		}
	}
	for i := range t.programs {
		p := &t.programs[i]
		ports, ok := byStage[p.Stage]
		if !ok && len(t.programs) == 1 {
			ports = byStage[name]
		}
		p.addPorts(ports)
	}
	return nil
}

// addPorts adds ports, but for those that aren't numbers.
func (p *Program) addPorts(ports []string) {
	for _, port := range ports {
		port = strings.TrimSuffix(port, "/tcp")
		if number, _, _ := strings.Cut(port, "/"); validPort(number) && !slices.Contains(p.Ports, port) {
			p.Ports = append(p.Ports, port)
		}
	}
	sortPorts(p.Ports)
}

// IsGoDockerfile reports whether a Dockerfile names a frontend called larder, whatever its registry.
func IsGoDockerfile(data []byte) bool {
	ref, _, _, ok := parser.DetectSyntax(data)
	return ok && strings.Contains(ref, "/larder")
}

// SetSyntax returns a Dockerfile with the line that names its frontend changed to Larder's, or with that line put before
// all others. Nothing else is changed. A file whose frontend isn't one for Dockerfiles is refused.
func SetSyntax(data []byte) ([]byte, error) {
	newline := "\n"
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		newline = "\r\n"
	}
	const bom = "\xef\xbb\xbf"
	ref, _, at, ok := parser.DetectSyntax(data)
	if !ok {
		rest, found := bytes.CutPrefix(data, []byte(bom))
		text := "# syntax=" + Image + newline
		if found {
			text = bom + text
		}
		return append([]byte(text), rest...), nil
	}
	if len(at) == 0 || at[0].Start.Line < 1 {
		return nil, fmt.Errorf("%s:1: the frontend %s is named in JSON: change it by hand", Dockerfile, ref)
	}
	line := at[0].Start.Line
	if !strings.Contains(ref, "dockerfile") && !strings.Contains(ref, "/larder") {
		return nil, fmt.Errorf("%s:%d: the frontend %s isn't docker/dockerfile: if what it reads is a Dockerfile all the same, change the line by hand", Dockerfile, line, ref)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	text := strings.Replace(string(lines[line-1]), ref, Image, 1)
	lines[line-1] = []byte(text)
	return bytes.Join(lines, nil), nil
}
