package dockerfile

import (
	"io/fs"
	"path"
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// A goFlag is a flag of GO that has a value. Variables in the value aren't expanded.
type goFlag struct {
	name     string
	unset    string // its value where it isn't given
	field    func(*GoLine) *string
	valid    func(value string) bool
	expected string   // how an error tells what is valid
	options  []string // one of which an error may suggest
}

// goFlags are the flags of GO with a value.
var goFlags = []goFlag{
	{name: "from", field: func(g *GoLine) *string { return &g.From }, valid: anything},
	{name: "module", unset: ".", field: func(g *GoLine) *string { return &g.Module },
		valid: isRelative, expected: "a folder inside of the source, relative to its root, such as services/api"},
	{name: "network", unset: instructions.NetworkNone, field: func(g *GoLine) *string { return &g.Network },
		valid: isNetwork, expected: "none, default or host", options: networks},
	{name: "stdout", field: func(g *GoLine) *string { return &g.Stdout },
		valid: path.IsAbs, expected: "an absolute path in the stage, such as /out/test.json"},
	{name: "junit", field: func(g *GoLine) *string { return &g.JUnit },
		valid: path.IsAbs, expected: "an absolute path in the stage, such as /out/junit.xml"},
	{name: "libs", field: func(g *GoLine) *string { return &g.Libs },
		valid: isFolder, expected: "the absolute path of a folder in the stage, such as /out"},
}

var networks = []string{instructions.NetworkNone, instructions.NetworkDefault, instructions.NetworkHost}

func anything(string) bool { return true }

func isNetwork(mode string) bool { return slices.Contains(networks, mode) }

func isRelative(dir string) bool { return fs.ValidPath(path.Clean(dir)) }

func isFolder(dir string) bool { return path.IsAbs(dir) && path.Clean(dir) != "/" }
