package scaffold

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// readExisting takes over the settings for each program's image from the existing Dockerfile. They come from the last
// stage that starts the program, else from the stage of its name, else, if there is only one program, from the last
// stage.
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
	images, unread := readImages(ast)
	own := IsGoDockerfile(data)
	used := false
	for i := range t.programs {
		p := &t.programs[i]
		only := len(t.programs) == 1
		if image := imageOf(images, p, only); image != nil {
			t.keep(p, image, only, own)
			used = true
		}
	}
	if used && !own {
		for _, text := range unread {
			t.note("%s", text)
		}
	}
	return nil
}

// imageOf returns the image of a program, or nil.
func imageOf(images []*oldImage, p *Program, only bool) *oldImage {
	for _, image := range slices.Backward(images) {
		if image.starts(p) {
			return image
		}
	}
	for _, image := range images {
		if image.name == p.Stage {
			return image
		}
	}
	if only && len(images) > 0 {
		return images[len(images)-1]
	}
	return nil
}

// keep takes over the settings of an image. It notes those that it can't take over, unless the Dockerfile is one of
// Larder's already.
func (t *survey) keep(p *Program, image *oldImage, only, own bool) {
	p.addPorts(image.ports)
	p.labels = image.labels
	if words := image.user.words; len(words) == 1 && knownUser.MatchString(words[0]) {
		p.user = words[0]
	} else if image.user.line > 0 && !isNonroot(words) {
		t.note("%s:%d: USER %s isn't kept: the new base has no such user, and runs as nonroot (65532)", Dockerfile, image.user.line, strings.Join(image.user.words, " "))
	}
	entry, cmd := image.entry.command(), image.cmd.command()
	if at, place, ok := image.program(entry, p, only); ok {
		if at > 0 {
			t.note("%s:%d: ENTRYPOINT starts %s first, which the new base hasn't: it is left out", Dockerfile, image.entry.line, entry[0])
		}
		p.place, p.entry, p.cmd = place, started(entry[at:], place), cmd
	} else if image.entry.line > 0 {
		t.note("%s:%d: ENTRYPOINT isn't kept: it isn't seen to start %s", Dockerfile, image.entry.line, p.Name)
	} else if at, place, ok := image.program(cmd, p, only); ok {
		p.place, p.cmd = place, started(cmd[at:], place)
	} else if image.cmd.line > 0 {
		t.note("%s:%d: CMD isn't kept: it isn't seen to start %s", Dockerfile, image.cmd.line, p.Name)
	}
	if own {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(image.others)) {
		t.note("%s:%d: %s isn't kept: write it into the stage %s if the program needs it", Dockerfile, image.others[name], name, p.Stage)
	}
}

// knownUser matches the users that each base has, and numeric users, which exist in no base.
var knownUser = regexp.MustCompile(`^(root|nobody|\d+(:\d+)?|root:root)$`)

// isNonroot reports whether a USER is the default user of the new base.
func isNonroot(words []string) bool {
	return len(words) == 1 && (words[0] == "nonroot" || words[0] == "nonroot:nonroot")
}

// started returns a command in which the program has its whole path, if its name was relative to the working folder.
func started(words []string, place string) []string {
	words = slices.Clone(words)
	if strings.Contains(words[0], "/") {
		words[0] = place
	}
	return words
}

// addPorts adds the ports that are numbers, and leaves out others.
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

// SetSyntax changes the syntax line of a Dockerfile to Larder's frontend, or inserts such a line at the top. It changes
// nothing else. A file whose frontend isn't one for Dockerfiles is refused.
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
