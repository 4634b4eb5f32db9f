package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/docker/go-units"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/bundle/stock"
	"github.com/larder-build/larder/internal/golang/gomod"
)

// dryRun prints what 'larder bundle create' would put into a bundle, and how much of that it would fetch. It needn't
// fetch what is in the existing bundle, in the bundles of --since and --from, or in the module cache.
func (c *command) dryRun(s *stock.Stocker, req bundle.Request, images bundle.ImageSource, output string) (err error) {
	m := bundle.Maker{Bundles: s.Bundles, Images: images}
	var have []*bundle.Bundle
	var views bundle.Views
	defer func() { err = errors.Join(err, views.Close()) }()
	there, _ := bundle.Open(c.ctx, output, bundle.Trust{}) // if it is no bundle, or damaged, what is made takes its place
	for _, b := range []*bundle.Bundle{req.Since, there} {
		if b == nil {
			continue
		}
		folder, view, err := b.Folder(c.ctx)
		if err != nil {
			continue // it is damaged, and what is made takes its place
		}
		have, views, s.Folders = append(have, b), append(views, view), append(s.Folders, folder)
	}
	folders := s.Sources().Folders
	t := &estimate{w: tabwriter.NewWriter(c.stdout, 0, 0, 3, ' ', 0)}
	fmt.Fprintln(t.w, "KIND\tNAME\tVERSION\tPLATFORM\tSIZE\tTO FETCH")
	file := func(kind, version, platform string, sum gomod.Sum) {
		size, near, err := s.Size(c.ctx, folders, sum)
		missing := size
		if near {
			missing = 0
		}
		s.Progress.Done(sum.Module().String(), 0)
		t.line(size, missing, err, kind, sum.Path, version, platform)
	}
	s.Progress.Begin("ask for sizes", len(req.Modules.Zips())+len(req.Toolchains)+len(req.Images), 0)
	for _, sum := range req.Modules.Zips() {
		file(bundle.KindModule, sum.Version, "", sum)
	}
	for _, chain := range req.Toolchains {
		file(bundle.KindToolchain, chain.Version, chain.Platform, chain.Sum(chain.Platform, chain.H1))
	}
	for _, name := range req.Images {
		size, missing, err := m.ImageSize(c.ctx, name, req.Platforms, have...)
		s.Progress.Done(name, 0)
		t.line(size, missing, err, bundle.KindImage, name, "", strings.Join(req.Platforms, ","))
	}
	for _, tool := range req.Tools {
		t.line(int64(len(tool.GoSum)), 0, nil, bundle.KindTool, tool.Package, tool.Version, "")
	}
	c.shown.End()
	err = errors.Join(t.w.Flush(), c.ctx.Err())
	fmt.Fprintf(c.stdout, "%d modules, %d go.mod files, %d toolchains, %d images, %d tools: %s, %s of it to fetch", len(req.Modules.Zips()), len(req.Modules.GoMods()),
		len(req.Toolchains), len(req.Images), len(req.Tools), units.HumanSize(float64(t.size)), units.HumanSize(float64(t.missing)))
	if t.unknown > 0 {
		fmt.Fprintf(c.stdout, ", without %d of which nobody tells the size", t.unknown)
	}
	fmt.Fprintln(c.stdout)
	return err
}

// An estimate prints items, and adds up their sizes.
type estimate struct {
	w             *tabwriter.Writer
	size, missing int64
	unknown       int
}

// line prints one item. An item whose size is unknown is printed too.
func (t *estimate) line(size, missing int64, err error, columns ...string) {
	shown, fetch := units.HumanSize(float64(size)), units.HumanSize(float64(missing))
	if err != nil {
		t.unknown, size, missing, shown, fetch = t.unknown+1, 0, 0, "?", "?"
	}
	t.size, t.missing = t.size+size, t.missing+missing
	fmt.Fprintf(t.w, "%s\t%s\t%s\n", strings.Join(columns, "\t"), shown, fetch)
}
