package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/frontend/planpage"
	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/audit"
	"github.com/larder-build/larder/internal/bundle"
	"golang.org/x/mod/module"
)

// Limits of the build context that a page tells of.
const (
	maxPageFiles   = 50000
	maxPageEntries = 500000 // files and folders that are looked at, those that .dockerignore leaves out too
)

// writePage writes a plan as a page.
func (c *command) writePage(f *planFlags, tree fs.FS, opt frontend.PlanOptions, plan *planner.Plan, from usedBundle) (err error) {
	p := planpage.Page{
		File: planner.ForTarget(dockerfile.Parse(opt.Filename, opt.Dockerfile), opt.Target), Plan: plan, Target: opt.Target,
		Contexts: slices.Sorted(maps.Keys(opt.Contexts)), BuildArgs: opt.BuildArgs,
	}
	if p.Now, err = c.now(); err != nil {
		return err
	}
	if err := c.listContext(&p, tree, opt); err != nil {
		return err
	}
	if err := c.tellModules(&p, from); err != nil {
		return err
	}
	data, err := planpage.Write(p)
	if err == nil {
		err = atomicfile.Write(f.html, data)
	}
	if err != nil {
		return fmt.Errorf("--html: %w", err)
	}
	return nil
}

// listContext lists the files of the build context on a page, without those that .dockerignore leaves out.
func (c *command) listContext(p *planpage.Page, tree fs.FS, opt frontend.PlanOptions) error {
	hidden, err := opt.Hidden()
	if err != nil {
		return err
	}
	exceptions := bytes.Contains(opt.Ignore, []byte("!")) // of files in folders that are left out
	seen := 0
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch seen++; {
		case c.ctx.Err() != nil:
			return c.ctx.Err()
		case errors.Is(err, fs.ErrPermission):
			return nil
		case err != nil:
			return err
		case seen > maxPageEntries || len(p.Files) == maxPageFiles:
			p.Cut = true
			return fs.SkipAll
		case d.IsDir():
			if name != "." && !exceptions && hidden(name) {
				return fs.SkipDir
			}
		case !hidden(name):
			p.Files = append(p.Files, name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing the build context: %w", err)
	}
	return nil
}

// tellModules says on a page what is known of modules: by the bundle that the build takes them from, or else by the go
// command's module cache.
func (c *command) tellModules(p *planpage.Page, from usedBundle) error {
	var list []module.Version
	for _, m := range p.Plan.Modules {
		for _, sum := range m.Set.Zips() {
			list = append(list, sum.Module())
		}
	}
	var known fs.FS
	if from.Bundle != nil {
		view, err := from.View(c.ctx, bundle.ModulesName)
		if err != nil {
			return err
		}
		defer view.Close()
		known, p.FactsFrom = view, "the bundle"
	} else if cache, _ := c.moduleCache(); cache != nil {
		known, p.FactsFrom = cache, "this machine's module cache"
	}
	if known == nil || len(list) == 0 {
		return nil
	}
	facts, err := audit.Facts(c.ctx, known, list)
	p.Facts = map[module.Version]planpage.Fact{}
	for m, f := range facts {
		p.Facts[m] = planpage.Fact(f)
	}
	return err
}
