package frontend

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

// A supersetCase is an archive of TestSuperset: a build context and what it is built with.
type supersetCase struct {
	name               string
	files              fstest.MapFS
	targets, platforms []string
	args, opts         map[string]string
	inputs, folders    map[string]string
	lacks              []string
}

// A variation is one build of a case.
type variation struct {
	target, platforms, request string
	args                       bool
}

// Of the platforms, the empty string is the builder's own.
var (
	defaultPlatforms = []string{"", "linux/arm64", "linux/amd64,linux/arm64"}
	requests         = []string{"", "frontend.lint", "frontend.outline", "frontend.targets", "frontend.convertllb", "frontend.subrequests.describe"}
)

func loadCase(t *testing.T, name string) *supersetCase {
	a, err := txtar.ParseFile(name)
	require.NoError(t, err)
	c := &supersetCase{
		name: strings.TrimSuffix(path.Base(name), ".txtar"), files: fstest.MapFS{}, targets: []string{""},
		args: map[string]string{}, opts: map[string]string{}, inputs: map[string]string{}, folders: map[string]string{},
	}
	for _, f := range a.Files {
		require.NotContains(t, c.files, f.Name, name)
		c.files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
	}
	for line := range strings.Lines(string(a.Comment)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		require.True(t, ok, "%s: %s", name, line)
		require.NoError(t, c.set(key, strings.TrimSpace(value)), "%s: %s", name, line)
	}
	if c.platforms == nil {
		c.platforms = defaultPlatforms
	}
	c.targets = append(c.targets, c.stages()...)
	return c
}

func (c *supersetCase) set(key, value string) error {
	name, rest, _ := strings.Cut(value, "=")
	switch key {
	case "target":
		c.targets = append(c.targets, value)
	case "platforms":
		c.platforms = append(c.platforms, value)
	case "arg":
		c.args[name] = rest
	case "opt":
		c.opts[name] = rest
	case "context":
		c.opts["context:"+name] = rest
	case "input":
		c.inputs[name] = rest
	case "folder":
		c.folders[name] = rest
	case "lacks":
		c.lacks = append(c.lacks, value)
	case "dockerfile":
		return c.editDockerfile(value)
	default:
		return fmt.Errorf("unknown setting %s", key)
	}
	return nil
}

func (c *supersetCase) editDockerfile(how string) error {
	f := c.files["Dockerfile"]
	switch how {
	case "crlf":
		f.Data = bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n"))
	case "bom":
		f.Data = append([]byte("\xef\xbb\xbf"), f.Data...)
	case "chomp":
		f.Data = bytes.TrimSuffix(f.Data, []byte("\n"))
	default:
		return fmt.Errorf("dockerfile: %s: expected crlf, bom or chomp", how)
	}
	return nil
}

// stages returns the names that the Dockerfile gives to its stages, if it can be read.
func (c *supersetCase) stages() []string {
	f := c.files["Dockerfile"]
	if f == nil {
		return nil
	}
	ast, err := parser.Parse(bytes.NewReader(f.Data))
	if err != nil {
		return nil
	}
	stages, _, err := instructions.Parse(ast.AST, linter.New(&linter.Config{}))
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range stages {
		if s.Name != "" && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

func (c *supersetCase) variations() []variation {
	args := []bool{false}
	if len(c.args) > 0 {
		args = append(args, true)
	}
	var all []variation
	for _, target := range c.targets {
		for _, platforms := range c.platforms {
			for _, request := range requests {
				for _, args := range args {
					all = append(all, variation{target, platforms, request, args})
				}
			}
		}
	}
	return all
}

// builder makes a builder that nothing was asked of yet.
func (c *supersetCase) builder(v variation) *fakeBuilder {
	b := newFakeBuilder(c.files)
	opts := b.opts.Opts
	maps.Copy(opts, c.opts)
	for key, value := range map[string]string{"target": v.target, "platform": v.platforms, "requestid": v.request} {
		if value != "" {
			opts[key] = value
		}
	}
	if v.args {
		for name, value := range c.args {
			opts["build-arg:"+name] = value
		}
	}
	for name, image := range c.inputs {
		b.inputs[name] = llb.Image(image)
	}
	for source, folder := range c.folders {
		b.roots[source] = folder
	}
	b.withoutCaps(c.lacks)
	return b
}
