package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"go.yaml.in/yaml/v3"
)

// koFile is ko's configuration: https://ko.build/configuration/. Its names are read as ko reads them, letter case aside.
const koFile = ".ko.yaml"

// A koConfig is the content of a .ko.yaml. The zero value has no settings.
type koConfig struct {
	there     bool
	base      string            // defaultBaseImage
	overrides map[string]string // baseImageOverrides, by lower-case import path
	platforms []string
	defaults  settings
	builds    []koBuild
	notes     []string
}

// A koBuild is an entry of builds.
type koBuild struct {
	settings
	dir, main string
	line      int // where main is, else the entry
}

// settings are how a program is built.
type settings struct {
	base    string // the image under it, or "" for Larder's own
	env     []item
	flags   []item
	ldflags []item
	caps    []item
	ko      bool // from a .ko.yaml
}

// An item is a text of a .ko.yaml, and its position.
type item struct {
	text string
	line int
}

func koError(line int, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %w", koFile, line, fmt.Errorf(format, args...))
}

// readKo reads the .ko.yaml in the root of a tree, if there is one.
func readKo(tree fs.FS) (*koConfig, error) {
	data, err := fs.ReadFile(tree, koFile)
	if errors.Is(err, fs.ErrNotExist) {
		return &koConfig{}, nil
	} else if err != nil {
		return nil, err
	}
	return parseKo(data)
}

func parseKo(data []byte) (*koConfig, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		line, text := yamlLine(err)
		return nil, koError(line, "%s", text)
	}
	k := &koConfig{there: true, overrides: map[string]string{}}
	if len(doc.Content) == 0 {
		return k, nil
	}
	return k, eachKey(doc.Content[0], "", func(key string, value *yaml.Node) (err error) {
		switch strings.ToLower(key) {
		case "defaultbaseimage":
			k.base, err = image(key, value)
		case "baseimageoverrides":
			err = eachKey(value, key+".", func(name string, value *yaml.Node) (err error) {
				k.overrides[strings.ToLower(name)], err = image(key+"."+name, value)
				return err
			})
		case "defaultplatforms":
			err = k.readPlatforms(key, value)
		case "defaultenv":
			k.defaults.env, err = list(key, value)
		case "defaultflags":
			k.defaults.flags, err = fields(key, value)
		case "defaultldflags":
			k.defaults.ldflags, err = list(key, value)
		case "builds":
			err = k.readBuilds(value)
		default:
			k.notes = append(k.notes, fmt.Sprintf("%s:%d: %s is left out: ko has no such setting", koFile, value.Line, key))
		}
		return err
	})
}

func (k *koConfig) readBuilds(node *yaml.Node) error {
	if node.Kind != yaml.SequenceNode {
		return koError(node.Line, "builds: expected a list")
	}
	for i, entry := range node.Content {
		b := koBuild{dir: ".", main: ".", line: entry.Line}
		where := fmt.Sprintf("builds[%d].", i)
		err := eachKey(entry, where, func(key string, value *yaml.Node) (err error) {
			switch name := where + key; strings.ToLower(key) {
			case "id":
				_, err = text(name, value)
			case "dir":
				b.dir, err = text(name, value)
			case "main":
				b.line = value.Line
				b.main, err = text(name, value)
			case "env":
				b.env, err = list(name, value)
			case "flags":
				b.flags, err = fields(name, value)
			case "ldflags":
				b.ldflags, err = list(name, value)
			case "linux_capabilities":
				b.caps, err = fields(name, value)
			default:
				k.notes = append(k.notes, fmt.Sprintf("%s:%d: %s is left out: ko has no such setting", koFile, value.Line, name))
			}
			return err
		})
		if err != nil {
			return err
		}
		k.builds = append(k.builds, b)
	}
	return nil
}

func (k *koConfig) readPlatforms(key string, node *yaml.Node) error {
	items, err := fields(key, node)
	for _, i := range items {
		for p := range strings.SplitSeq(i.text, ",") {
			switch os, rest, _ := strings.Cut(p, "/"); {
			case p == "all":
				k.notes = append(k.notes, fmt.Sprintf("%s:%d: %s: all is what the base image has; name the platforms in %s", koFile, i.line, key, BakeFile))
			case os != "linux" || rest == "":
				k.notes = append(k.notes, fmt.Sprintf("%s:%d: %s: %s is left out: Larder makes images for linux/ARCH", koFile, i.line, key, p))
			default:
				if _, err := platforms.Parse(p); err != nil {
					return koError(i.line, "%s: %w", key, err)
				}
				k.platforms = append(k.platforms, p)
			}
		}
	}
	return err
}

// apply gives the settings of a .ko.yaml to their programs.
func (t *survey) apply(k *koConfig) error {
	if !k.there {
		return nil
	}
	t.notes = append(t.notes, k.notes...)
	t.platforms = k.platforms
	found := map[string]settings{}
	for _, b := range k.builds {
		if dir, ok := t.buildDir(b); ok {
			found[dir] = b.settings
		} else {
			t.note("%s:%d: left out: there is no main package in %s: builds[].dir and main name a folder of this tree", koFile, b.line, dir)
		}
	}
	for i := range t.programs {
		p := &t.programs[i]
		s, named := found[p.Dir]
		p.tool = p.tool && !named
		p.settings = settings{ko: true, base: k.base, caps: s.caps,
			env: either(s.env, k.defaults.env), flags: either(s.flags, k.defaults.flags), ldflags: either(s.ldflags, k.defaults.ldflags)}
		if base := k.overrides[strings.ToLower(p.Import)]; base != "" {
			p.settings.base = base
		}
		if err := p.applyEnv(t); err != nil {
			return err
		}
		if b := p.settings.base; strings.Contains(b, "distroless/static") || strings.Contains(b, "chainguard/static") {
			t.note("%s: %s is kept as the base of %s; FROM static has the same in it, and asks no registry", koFile, b, p.Dir)
		}
	}
	return nil
}

// buildDir returns the folder of an entry of builds, and whether there is a program in it.
func (t *survey) buildDir(b koBuild) (string, bool) {
	dir := path.Join(b.dir, b.main)
	if fi, err := fs.Stat(t, dir); err == nil && fi.Mode().IsRegular() {
		dir = path.Dir(dir)
	}
	return dir, slices.ContainsFunc(t.programs, func(p Program) bool { return p.Dir == dir })
}

// applyEnv removes variables from a build's environment that have another form in a Dockerfile.
func (p *Program) applyEnv(t *survey) error {
	var kept []item
	for _, e := range p.settings.env {
		name, value, ok := strings.Cut(e.text, "=")
		switch {
		case !ok || !variableName.MatchString(name):
			return koError(e.line, "env: %q: expected NAME=VALUE", e.text)
		case name == "CGO_ENABLED" && value == "0":
			p.Cgo = ""
		case name == "CGO_ENABLED":
			p.Cgo = orElse(p.Cgo, e.text)
		case name == "GOCACHE" || name == "GOMODCACHE" || name == "GOPATH" || name == "GOOS" || name == "GOARCH":
			t.note("%s:%d: %s is left out: Larder sets it", koFile, e.line, name)
		default:
			kept = append(kept, e)
		}
	}
	p.settings.env = kept
	return nil
}

func either(a, b []item) []item {
	if len(a) > 0 {
		return a
	}
	return b
}
