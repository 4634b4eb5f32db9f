package main

import (
	"github.com/larder-build/larder/internal/audit"
	"github.com/larder-build/larder/internal/bundle"
)

// auditBundle reads from a bundle the modules and the vulnerabilities that no flag names. If alone is set, the audit is
// of all modules of the bundle. The caller closes the views when the audit is done, after an error too.
func (c *command) auditBundle(o *audit.Options, f *auditFlags, alone bool) (views bundle.Views, err error) {
	b, err := c.open(f.bundle, f.trust)
	if err != nil {
		return nil, err
	}
	view := func(name string) (*bundle.View, error) {
		v, err := b.View(c.ctx, name)
		if err == nil {
			views = append(views, v)
		}
		return v, err
	}
	if f.modules == "" {
		if o.Modules, err = view(bundle.ModulesName); err != nil {
			return views, err
		}
		o.ModCache = ""
	}
	if _, ok := b.Images()[bundle.VulnDBName]; ok && f.vulnDB == "" {
		if o.VulnDB, err = view(bundle.VulnDBName); err != nil {
			return views, err
		}
	}
	if !alone {
		return views, nil
	}
	sums, err := b.Sums(c.ctx)
	if err != nil {
		return views, err
	}
	list := audit.Tree{Name: f.bundle}
	for _, s := range sums.Zips() {
		list.Modules = append(list.Modules, s.Module())
	}
	items, err := b.Items(c.ctx)
	for _, i := range items {
		if i.Kind == bundle.KindToolchain {
			list.Toolchains = append(list.Toolchains, i.Version)
		}
	}
	o.Trees = append(o.Trees, list)
	return views, err
}
