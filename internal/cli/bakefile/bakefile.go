// Package bakefile reads definitions of docker buildx bake (docker-bake.hcl, docker-bake.json, Compose files), and
// translates each target into options of larder build. It reads them with buildx's own package, so that a file means
// the same in both.
package bakefile

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/docker/buildx/bake"
	"github.com/docker/buildx/bake/hclparser"
	"github.com/docker/buildx/build"
	"github.com/docker/buildx/util/urlutil"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
)

// A Request says which targets of which files are asked for, in the words of bake's own flags.
type Request struct {
	Files     []string  // names, "-" for Stdin; none for those that bake looks for in the working directory
	Stdin     io.Reader // for "-"
	Targets   []string  // names and patterns of targets and groups, after the definition's URL; none for the group default
	Overrides []string  // PATTERN.KEY=VALUE
	Vars      []string  // NAME=VALUE
	Allow     []string  // what the builds may do beyond the working directory
	Epoch     string    // SOURCE_DATE_EPOCH of the environment, for targets that don't set it

	// Fetch runs a function on a builder that has the credentials for a URL.
	Fetch func(ctx context.Context, url string, read gateway.BuildFunc) error
}

// A Definition is the content of the files for the requested targets.
type Definition struct {
	Groups  map[string]*bake.Group  `json:"group,omitempty"`
	Targets map[string]*bake.Target `json:"target"`

	files   []string // that it was read from
	remote  bool     // it was read from a URL
	options map[string]build.Options
	allowed bake.EntitlementConf
}

// Read reads the requested targets, and those that they link to. If a file isn't valid, the error is bake's, with the
// position in the file.
func Read(ctx context.Context, r Request) (*Definition, error) {
	read, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	vars, err := r.variables()
	if err != nil {
		return nil, err
	}
	d := &Definition{remote: r.URL() != ""}
	for _, f := range read.files {
		d.files = append(d.files, f.Name)
	}
	if d.allowed, err = allowed(r.Allow); err != nil {
		return nil, err
	}
	targets, cmdContext := r.arguments()
	if len(targets) == 0 {
		targets = []string{"default"}
	}
	if d.Targets, d.Groups, err = bake.ReadTargets(ctx, read.files, targets, r.Overrides, defaults(cmdContext), vars, &d.allowed); err != nil {
		return nil, err
	}
	for _, t := range d.Targets {
		if _, set := t.Args["SOURCE_DATE_EPOCH"]; !set && r.Epoch != "" {
			if t.Args == nil {
				t.Args = map[string]*string{}
			}
			t.Args["SOURCE_DATE_EPOCH"] = &r.Epoch
		}
	}
	// Without an input, the targets' contexts are those of this machine.
	if d.options, err = bake.TargetsToBuildOpt(d.Targets, read.input); err != nil {
		return nil, err
	}
	return d, read.checkContexts(d.options)
}

// A Variable is a variable that files define.
type Variable = hclparser.Variable

// A Listing is all that files define.
type Listing struct {
	Config    *bake.Config
	Variables []*Variable
}

// List returns all targets, groups and variables of the files.
func List(ctx context.Context, r Request) (*Listing, error) {
	read, err := r.read(ctx)
	if err != nil {
		return nil, err
	}
	vars, err := r.variables()
	if err != nil {
		return nil, err
	}
	_, cmdContext := r.arguments()
	config, meta, err := bake.ParseFiles(read.files, defaults(cmdContext), vars)
	if err != nil {
		return nil, err
	}
	return &Listing{config, meta.AllVariables}, nil
}

// read reads the files. With a URL, those named cwd://FILE are on this machine, and the others there.
func (r Request) read(ctx context.Context) (f definitionFiles, err error) {
	var here, there []string
	remote := r.URL() != ""
	for _, name := range r.Files {
		if local, ok := strings.CutPrefix(name, "cwd://"); ok || !remote {
			here = append(here, local)
		} else {
			there = append(there, name)
		}
	}
	if remote {
		if f, err = r.fetch(ctx, there); err != nil || len(here) == 0 {
			return f, err
		}
	}
	files, err := bake.ReadLocalFiles(here, r.Stdin, nil)
	if err == nil && len(files) == 0 {
		err = errors.New("there is no bake definition in this folder: name one with --file, or have larder init write a docker-bake.hcl")
	}
	f.files = append(f.files, files...)
	return f, err
}

func (r Request) variables() (map[string]string, error) {
	vars := map[string]string{}
	for _, v := range r.Vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--var %s: expected NAME=VALUE", v)
		}
		vars[name] = value
	}
	return vars, nil
}

// defaults returns bake's built-in variables.
func defaults(cmdContext string) map[string]string {
	return map[string]string{"BAKE_CMD_CONTEXT": cmdContext, "BAKE_LOCAL_PLATFORM": platforms.Format(platforms.DefaultSpec())}
}

// allowed parses the values of --allow. As by bake, the working directory may be read and written.
func allowed(list []string) (bake.EntitlementConf, error) {
	conf, err := bake.ParseEntitlements(list)
	if err != nil {
		return conf, fmt.Errorf("--allow: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return conf, err
	}
	conf.FSRead, conf.FSWrite = append(conf.FSRead, dir), append(conf.FSWrite, dir)
	return conf, nil
}

// Names returns the names of the targets, sorted.
func (d *Definition) Names() []string { return slices.Sorted(maps.Keys(d.Targets)) }

// Files returns the names of the files that the definition was read from.
func (d *Definition) Files() []string { return d.files }

// Restrict leaves out the targets that aren't to be kept, but for those that kept ones link to.
func (d *Definition) Restrict(keep func(name string) bool) {
	kept := map[string]bool{}
	var add func(name string)
	add = func(name string) {
		if !kept[name] {
			kept[name] = true
			for _, other := range d.Links(name) {
				add(other)
			}
		}
	}
	for _, name := range d.Names() {
		if !d.Linked(name) && keep(name) {
			add(name)
		}
	}
	maps.DeleteFunc(d.Targets, func(name string, _ *bake.Target) bool { return !kept[name] })
	for _, g := range d.Groups {
		g.Targets = slices.DeleteFunc(g.Targets, func(name string) bool { return d.Targets[name] == nil && d.Groups[name] == nil })
	}
}

// Linked reports whether a target is there only because other targets use it as a named context. Such a target exports
// nothing.
func (d *Definition) Linked(name string) bool { return d.options[name].Linked }

// CheckAccess asks the user at the terminal, through out, whether builds may do things that --allow doesn't name, as
// bake does. Without a terminal it returns an error that says what to allow.
func (d *Definition) CheckAccess(ctx context.Context, out io.Writer) error {
	var missing bake.EntitlementConf
	for _, name := range d.Names() {
		// One by one: of several targets Validate returns the files of the last alone, in no order.
		of, err := d.allowed.Validate(map[string]build.Options{name: d.options[name]})
		if err != nil {
			return err
		}
		missing.NetworkHost, missing.SecurityInsecure = missing.NetworkHost || of.NetworkHost, missing.SecurityInsecure || of.SecurityInsecure
		missing.SSH, missing.LocalOutputDelete = missing.SSH || of.SSH, missing.LocalOutputDelete || of.LocalOutputDelete
		missing.FSRead, missing.FSWrite = append(missing.FSRead, of.FSRead...), append(missing.FSWrite, of.FSWrite...)
		missing.Devices = cmp.Or(missing.Devices, of.Devices)
	}
	slices.Sort(missing.FSRead)
	slices.Sort(missing.FSWrite)
	missing.FSRead, missing.FSWrite = slices.Compact(missing.FSRead), slices.Compact(missing.FSWrite)
	return missing.Prompt(ctx, d.remote, out)
}

// WriteJSON writes the groups and targets as bake --print does.
func (d *Definition) WriteJSON(w io.Writer) error {
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(data))
	return err
}

// file returns the name of a target's Dockerfile, in the form of larder build's -f. It is "" if the target names no
// file and its folder has no Dockerfile: then the main package of the module there is built.
func (d *Definition) file(name string) string {
	in := d.options[name].Inputs
	if *d.Targets[name].Dockerfile == "Dockerfile" && !urlutil.IsRemoteURL(in.ContextPath) {
		if _, err := os.Stat(in.DockerfilePath); errors.Is(err, os.ErrNotExist) {
			return ""
		}
	}
	return filepath.ToSlash(in.DockerfilePath)
}
