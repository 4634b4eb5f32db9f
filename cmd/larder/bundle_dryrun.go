package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/stock"
)

// dryRun tells what 'larder bundle create' would put into a bundle, and how much of that it would fetch: not what is in
// bundles in dirs, where there are any, in those of --from or in the module cache.
func (c *command) dryRun(s *stock.Stocker, req bundle.Request, images bundle.ImageSource, dirs ...string) (err error) {
	var there []string
	for _, dir := range dirs {
		if _, err := os.Stat(filepath.Join(dir, "index.json")); err == nil && dir != "" {
			there = append(there, dir)
		}
	}
	m := bundle.Maker{Bundles: s.Bundles, Images: images}
	folders, have, views, err := openFolders(c.ctx, there)
	defer func() { err = errors.Join(err, views.Close()) }()
	if err != nil {
		return err
	}
	s.Folders = append(folders, s.Folders...)
	t := &estimate{w: tabwriter.NewWriter(c.stdout, 0, 0, 3, ' ', 0)}
	fmt.Fprintln(t.w, "KIND\tNAME\tVERSION\tPLATFORM\tSIZE\tTO FETCH")
	file := func(kind, version, platform string, sum gomod.Sum) {
		size, near, err := s.Size(c.ctx, sum)
		missing := size
		if near {
			missing = 0
		}
		t.line(size, missing, err, kind, sum.Path, version, platform)
	}
	for _, sum := range req.Modules.Zips() {
		file(bundle.KindModule, sum.Version, "", sum)
	}
	for _, chain := range req.Toolchains {
		file(bundle.KindToolchain, chain.Version, chain.Platform, chain.Sum(chain.Platform, chain.H1))
	}
	for _, name := range req.Images {
		size, missing, err := m.ImageSize(c.ctx, name, req.Platforms, have...)
		t.line(size, missing, err, bundle.KindImage, name, "", strings.Join(req.Platforms, ","))
	}
	for _, tool := range req.Tools {
		t.line(int64(len(tool.GoSum)), 0, nil, bundle.KindTool, tool.Package, tool.Version, "")
	}
	err = errors.Join(t.w.Flush(), c.ctx.Err())
	fmt.Fprintf(c.stdout, "%d modules, %d go.mod files, %d toolchains, %d images, %d tools: %s, %s of it to fetch", len(req.Modules.Zips()), len(req.Modules.GoMods()),
		len(req.Toolchains), len(req.Images), len(req.Tools), units.HumanSize(float64(t.size)), units.HumanSize(float64(t.missing)))
	if t.unknown > 0 {
		fmt.Fprintf(c.stdout, ", without %d of which nobody tells the size", t.unknown)
	}
	fmt.Fprintln(c.stdout)
	return err
}

// An estimate adds up what it lists.
type estimate struct {
	w             *tabwriter.Writer
	size, missing int64
	unknown       int
}

// line lists a thing. One whose size couldn't be found out is listed all the same.
func (t *estimate) line(size, missing int64, err error, columns ...string) {
	shown, fetch := units.HumanSize(float64(size)), units.HumanSize(float64(missing))
	if err != nil {
		t.unknown, size, missing, shown, fetch = t.unknown+1, 0, 0, "?", "?"
	}
	t.size, t.missing = t.size+size, t.missing+missing
	fmt.Fprintf(t.w, "%s\t%s\t%s\n", strings.Join(columns, "\t"), shown, fetch)
}
