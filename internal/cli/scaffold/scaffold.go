// Package scaffold writes the files that build the images of a source tree: a Dockerfile, a docker-bake.hcl and a
// .dockerignore. It exists so that 'larder init' has to ask nothing that the tree shows already: modules, main
// packages, what they listen on, cgo, tests, and the settings of a .ko.yaml.
//
// It is pure: a read-only view of a tree in, texts out. Nothing is compiled or run for it.
package scaffold

import (
	"fmt"
	"io/fs"
	"slices"
)

// Image is the frontend that the written Dockerfile names in its first line.
const Image = "ghcr.io/larder-build/larder:1"

// These are the names of the files.
const (
	Dockerfile   = "Dockerfile"
	BakeFile     = "docker-bake.hcl"
	DockerIgnore = ".dockerignore"
)

// Options are what the tree alone can't tell.
type Options struct {
	Name      string // what the images are named after where the module path gives no name
	GOPRIVATE string // the go command's setting: patterns of module paths that aren't public

	Progress func(text string) // is told how far the reading has come, often; nil for nobody
}

// A File is one of the files, with its whole text.
type File struct {
	Name string // in the root of the tree
	Text string
}

// A Result has the files to write and the notes to show.
type Result struct {
	Files    []File
	Programs []Program // what has an image, in the order of the Dockerfile
	Notes    []string  // what the reader has to know or do, a line each, that names the file that it is about
}

// A Program is a main package, with the facts about its image.
type Program struct {
	Name  string // the binary's
	Stage string // the Dockerfile's stage that is its image

	Module  string   // the folder of go.mod
	Dir     string   // the package's folder in the tree
	Package string   // the package as an argument of go build in its module: . or ./cmd/api
	Import  string   // its import path
	Listens bool     // it serves something
	Ports   []string // as EXPOSE takes them: 8080, 53/udp
	Version string   // the variable of package main that holds a version, or ""
	Cgo     string   // what needs a C compiler, or ""
	Data    bool     // there is a folder kodata beside it
	tool    bool     // nothing that runs in a container: a generator, an example

	settings settings // of .ko.yaml

	// What the Dockerfile that is there says of its image.
	user       string
	labels     []label
	place      string   // where the program is in it; "" for Larder's own place
	entry, cmd []string // ENTRYPOINT and CMD; neither for the program alone
}

// New reads a tree and returns the text of its files. An error names the file, with its line where there is one, and
// says what to do.
//
// What a tree has that can't be read, or that nothing can be made of, is left out, and a note names it.
func New(tree fs.FS, o Options) (*Result, error) {
	t := newSurvey(tree)
	t.progress = o.Progress
	if err := t.look(); err != nil {
		return nil, err
	}
	ko, err := readKo(t)
	if err != nil {
		return nil, err
	}
	if err := t.apply(ko); err != nil {
		return nil, err
	}
	if err := t.pick(); err != nil {
		return nil, err
	}
	if err := t.readExisting(); err != nil {
		return nil, err
	}
	t.notePrivate(o.GOPRIVATE)
	text, args, err := t.dockerfile()
	if err != nil {
		return nil, err
	}
	return &Result{
		Files:    []File{{Dockerfile, text}, {BakeFile, t.bake(o.Name, args)}, {DockerIgnore, t.ignore()}},
		Programs: t.programs, Notes: t.notes,
	}, nil
}

// note adds a note, unless it is there already.
func (t *survey) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(t.notes, text) {
		t.notes = append(t.notes, text)
	}
}
