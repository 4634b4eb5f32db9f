package goslice

import (
	"fmt"
	"go/build"
	"io/fs"
	"sync"
)

// A Cache keeps what was read from one tree, for several requests about that tree. Its zero value is empty.
type Cache struct {
	mu       sync.Mutex                        // guards the maps
	listed   map[string]map[string]fs.DirEntry // folders; nil for what is none
	packages map[string]*parsedPackage
}

// A parsedPackage is a package as go/build reads it.
type parsedPackage struct {
	once sync.Once
	pkg  *build.Package
	err  error
}

// entries reads a folder, once.
func (c *Cache) entries(tree fs.FS, dir string) map[string]fs.DirEntry {
	c.mu.Lock()
	known, ok := c.listed[dir]
	c.mu.Unlock()
	if ok {
		return known
	}
	var byName map[string]fs.DirEntry
	if list, err := fs.ReadDir(tree, dir); err == nil {
		byName = make(map[string]fs.DirEntry, len(list))
		for _, e := range list {
			byName[e.Name()] = e
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listed == nil {
		c.listed = map[string]map[string]fs.DirEntry{}
	}
	c.listed[dir] = byName
	return byName
}

// ImportDirs reads the packages of some folders, as the function ImportDirs does. It reads each package once with the
// same settings. The packages' fields don't have the positions of imports.
func (c *Cache) ImportDirs(ctxt *build.Context, tests bool, dirs []string) ([]*build.Package, []error) {
	if !tests {
		ctxt = WithoutTests(ctxt)
	}
	way := fmt.Sprintf("%s %s %v %v %q %q ", ctxt.GOOS, ctxt.GOARCH, ctxt.CgoEnabled, tests, ctxt.BuildTags, ctxt.ReleaseTags)
	packages, errs := make([]*build.Package, len(dirs)), make([]error, len(dirs))
	sideBySide(len(dirs), func(i int) {
		p := c.imported(way + dirs[i])
		p.once.Do(func() {
			p.pkg, p.err = ctxt.ImportDir(dirs[i], 0)
			p.pkg.ImportPos, p.pkg.TestImportPos, p.pkg.XTestImportPos = nil, nil, nil // most of what a package takes
		})
		packages[i], errs[i] = p.pkg, p.err
	})
	return packages, errs
}

func (c *Cache) imported(key string) *parsedPackage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.packages == nil {
		c.packages = map[string]*parsedPackage{}
	}
	p := c.packages[key]
	if p == nil {
		p = new(parsedPackage)
		c.packages[key] = p
	}
	return p
}
