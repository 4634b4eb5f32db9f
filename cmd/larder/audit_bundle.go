package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/audit"
	"github.com/larder-build/larder/internal/bundle"
)

// auditBundle takes from a bundle what flags don't name. If alone is set, all modules of the bundle are what is looked at.
// The caller calls the function that it returns when the audit is done.
func (c *command) auditBundle(o *audit.Options, f *auditFlags, alone bool) (_ func(), err error) {
	b, err := bundle.Open(f.bundle)
	if err != nil {
		return nil, err
	}
	var views bundle.Views
	dir := ""
	done := func() {
		_ = views.Close() // they were read to the end
		os.RemoveAll(dir)
	}
	defer func() {
		if err != nil {
			done()
		}
	}()
	view := func(name string) (*bundle.View, error) {
		v, err := b.View(c.ctx, name)
		if err == nil {
			views = append(views, v)
		}
		return v, err
	}
	if f.modules == "" {
		if o.Modules, err = view(bundle.ModulesName); err != nil {
			return nil, err
		}
		o.ModCache = ""
	}
	if _, ok := b.Images()[bundle.VulnDBName]; ok && f.vulnDB == "" {
		if o.VulnDB, err = view(bundle.VulnDBName); err != nil {
			return nil, err
		}
	}
	if !alone {
		return done, nil
	}
	if dir, err = os.MkdirTemp("", "larder-audit-*"); err != nil {
		return nil, err
	}
	sums, err := b.Sums(c.ctx)
	if err != nil {
		return nil, err
	}
	var goMod strings.Builder
	goMod.WriteString("module bundle\n\ngo 1.26\n\n")
	for _, s := range sums.Zips() {
		fmt.Fprintf(&goMod, "require %s %s\n", s.Path, s.Version)
	}
	err = errors.Join(os.WriteFile(filepath.Join(dir, "go.mod"), []byte(goMod.String()), 0o644), os.WriteFile(filepath.Join(dir, "go.sum"), sums.Text(), 0o644))
	o.Trees = append(o.Trees, audit.Tree{Name: f.bundle, FS: os.DirFS(dir)})
	return done, err
}
