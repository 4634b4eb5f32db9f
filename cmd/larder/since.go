package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/frontend/changes"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/cli/bakefile"
	"github.com/larder-build/larder/internal/cli/gitfs"
	"github.com/larder-build/larder/internal/cli/request"
)

// changesSince returns the lines of a build that run again since a commit. dir is the folder of the Dockerfile, "" for none;
// opt and plan are those of now.
func (c *command) changesSince(ref string, o request.Options, dir string, opt frontend.PlanOptions, plan *planner.Plan) ([]changes.Change, error) {
	folder := o.Context
	differ, err := gitfs.Changed(c.ctx, folder, ref)
	if err != nil {
		return nil, fmt.Errorf("--since %s: %w", ref, err)
	}
	tree, err := gitfs.Open(c.ctx, folder, ref)
	if err != nil {
		return nil, fmt.Errorf("--since %s: %w", ref, err)
	}
	defer tree.Close()
	before := opt
	if before.Ignore, err = readIfThere(tree, ".dockerignore"); err != nil {
		return nil, err
	}
	if dir == "" && plan.Level == 0 {
		dir = folder // where there was a Dockerfile, if there was one
	}
	if dir != "" {
		if err := c.oldDockerfile(ref, dir, &before); err != nil {
			return nil, err
		}
	}
	was, err := frontend.LoadPlan(tree, before)
	if err != nil {
		return []changes.Change{{Line: 1, Step: "all", Why: []string{fmt.Sprintf("%s can't be planned: %v", ref, err)}}}, nil
	}
	if !bytes.Equal(before.Ignore, opt.Ignore) {
		return []changes.Change{{Line: 1, Step: "all", Why: []string{"the .dockerignore file differs"}}}, nil
	}
	hidden, err := opt.Hidden()
	if err != nil {
		return nil, err
	}
	seen := slices.DeleteFunc(differ, hidden)
	side := func(o frontend.PlanOptions, p *planner.Plan) changes.Side {
		return changes.Side{File: planner.ForTarget(dockerfile.Parse(o.Filename, o.Dockerfile), o.Target), Plan: p, Target: o.Target}
	}
	contexts, err := request.ParseContexts(o.BuildContexts)
	if err != nil {
		return nil, err
	}
	named, err := c.contextsSince(ref, contexts)
	return append(named, changes.Of(side(before, was), side(opt, plan), seen)...), err
}

// contextsSince returns the named contexts that are folders of this machine in which something differs. What lines take of
// them isn't looked into.
func (c *command) contextsSince(ref string, contexts map[string]string) (list []changes.Change, err error) {
	for _, name := range slices.Sorted(maps.Keys(contexts)) {
		dir := contexts[name]
		if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
			continue // an image, or a URL
		}
		differ, err := gitfs.Changed(c.ctx, dir, ref)
		if err != nil {
			return nil, fmt.Errorf("--since %s: the named context %s: %w", ref, name, err)
		}
		if len(differ) > 0 {
			list = append(list, changes.Change{Line: 1, Step: "the named context " + name, Why: changes.Some(differ)})
		}
	}
	return list, nil
}

// oldDockerfile reads the Dockerfile as it was, and the ignore file of its own.
func (c *command) oldDockerfile(ref, dir string, o *frontend.PlanOptions) error {
	tree, err := gitfs.Open(c.ctx, dir, ref)
	if err != nil {
		return fmt.Errorf("--since %s: %w", ref, err)
	}
	defer tree.Close()
	if o.Dockerfile, err = readIfThere(tree, o.Filename); err != nil { // without one, the main package was built
		return err
	}
	own, err := readIfThere(tree, o.Filename+".dockerignore")
	if own != nil {
		o.Ignore = own
	}
	return err
}

func readIfThere(tree fs.FS, name string) ([]byte, error) {
	data, err := fs.ReadFile(tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// writeChanges prints changes for people, or as JSON.
func (c *command) writeChanges(ref string, list []changes.Change, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(c.stdout)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(struct {
			Since   string           `json:"since"`
			Changes []changes.Change `json:"changes"`
		}{ref, slices.Concat([]changes.Change{}, list)})
	}
	if len(list) == 0 {
		_, err := fmt.Fprintf(c.stdout, "Since %s nothing differs that this build reads.\n", ref)
		return err
	}
	fmt.Fprintf(c.stdout, "Since %s these run again, and what depends on them:\n", ref)
	writeSteps(c.stdout, list)
	return nil
}

// bakeSince leaves in a definition the targets of which something differs since a commit, and those that these link to. If
// the definition itself differs, all stay.
func (c *command) bakeSince(def *bakefile.Definition, f *bakeFlags) error {
	for _, name := range def.Files() {
		if name == "-" {
			continue
		}
		differ, err := gitfs.Changed(c.ctx, filepath.Dir(name), f.since)
		if err != nil {
			return fmt.Errorf("--since %s: %w", f.since, err)
		}
		if slices.Contains(differ, filepath.Base(name)) {
			c.warn(fmt.Sprintf("%s itself differs since %s: all targets are built", name, f.since))
			return nil
		}
	}
	differs := map[string]bool{}
	for _, name := range def.Names() {
		list, err := c.targetSince(def, name, f)
		if err != nil {
			return fmt.Errorf("target %s: %w", name, err)
		}
		differs[name] = len(list) > 0
	}
	var isPart func(name string) bool
	isPart = func(name string) bool {
		if differs[name] {
			return true
		}
		for _, other := range def.Links(name) {
			if isPart(other) {
				return true
			}
		}
		return false
	}
	def.Restrict(isPart)
	return nil
}

func (c *command) targetSince(def *bakefile.Definition, name string, f *bakeFlags) ([]changes.Change, error) {
	o, err := def.Options(name)
	if err != nil {
		return nil, err
	}
	if fi, err := os.Stat(o.Context); err != nil || !fi.IsDir() {
		return []changes.Change{{Line: 1, Step: "all", Why: []string{"what its context is now isn't known before it is built"}}}, nil
	}
	h := c.host()
	if text := def.Inline(name); text != "" {
		h.Stdin = strings.NewReader(text)
	}
	in, err := request.PlanInputs(c.ctx, o, h)
	if err != nil {
		return nil, err
	}
	tree, err := request.OpenTree(c.ctx, o.Context)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	opt := c.planOptions(o, in, usedBundle{})
	plan, err := frontend.LoadPlan(tree, opt)
	if err != nil {
		return nil, err
	}
	return c.changesSince(f.since, o, in.Dir, opt, plan)
}
