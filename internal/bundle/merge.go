package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/replay"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Merge makes a bundle in a folder that holds everything in the given bundles. It fails if two of them disagree on a
// hash, an image, a file or the version of a tool, and names both; it takes the last vulnerability database. It uses no
// network, except the checksum database for what the copies in the bundles don't prove under one head. The zero value
// of sumdb leaves the copies out. It takes the compiled packages of the bundles in compiledOf alone.
func Merge(ctx context.Context, dir string, bundles, compiledOf []*Bundle, sumdb SumDB, p progress.Reporter) (b *Bundle, err error) {
	m := Maker{Images: Layouts(bundles), Progress: p}
	req := Request{Folders: map[string]fs.FS{}, SumDB: sumdb, CompiledOf: compiledOf, known: map[string]Item{}}
	c := collector{req: &req, from: map[string]source{}}
	var views Views
	defer func() { err = errors.Join(err, views.Close()) }()
	for _, b := range bundles {
		folder, view, err := b.Folder(ctx)
		if err != nil {
			return nil, err
		}
		views = append(views, view)
		m.Sources.Folders = append(m.Sources.Folders, folder)
		opened, err := c.add(ctx, b)
		views = append(views, opened...)
		if err != nil {
			return nil, err
		}
	}
	if req.Modules, err = gomod.ParseSums(c.sums...); err != nil {
		return nil, fmt.Errorf("the bundles disagree: %w", err)
	}
	slices.Sort(req.Images)
	req.Images = slices.Compact(req.Images)
	return m.Create(ctx, dir, req)
}

// A collector makes one request from the contents of several bundles.
type collector struct {
	req   *Request
	sums  []gomod.File
	from  map[string]source // of what bundles may disagree on
	files *View             // those of all bundles, as FilesName

	recorded []fs.FS // of all bundles, as RecordedName
}

// A source is an item's identity, such as its digest, and the folder of the bundle that has it.
type source struct{ is, dir string }

// agree fails if an earlier bundle has a different value for the same item.
func (c *collector) agree(b *Bundle, what, is string) error {
	if have, ok := c.from[what]; ok && have.is != is {
		return fmt.Errorf("the bundles disagree: %s is %s in %s and %s in %s: make one of them anew", what, have.is, have.dir, is, b.dir)
	}
	c.from[what] = source{is, b.dir}
	return nil
}

// add adds the contents of a bundle, and returns the views that the request reads.
func (c *collector) add(ctx context.Context, b *Bundle) (views Views, err error) {
	h, parts, err := b.manifest(ctx)
	if err != nil {
		return nil, err
	}
	sums, err := b.Sums(ctx)
	if err != nil {
		return nil, err
	}
	c.sums = append(c.sums, gomod.File{Name: b.dir, Data: sums.Text()})
	c.req.Keys = append(c.req.Keys, h.Sets...)
	for _, p := range parts {
		// The rest is checked where it is read: zips by their h1 hashes, a database by its signature, an image by digests.
		if slices.Contains([]string{ToolsName, VulnDBName, FilesName, RecordedName}, p.image) {
			if err := b.checkBlob(ctx, p.layer); err != nil {
				return nil, err
			}
		}
		for _, i := range p.items {
			if err := c.item(b, p.image, i); err != nil {
				return nil, err
			}
		}
	}
	tools, err := b.Tools(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range tools {
		if err := c.agree(b, "the tool "+t.Name, t.Package+"@"+t.Version); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(c.req.Tools, func(have Tool) bool { return have.Name == t.Name }) {
			c.req.Tools = append(c.req.Tools, t)
		}
	}
	return c.folders(ctx, b)
}

func (c *collector) item(b *Bundle, image string, i Item) error {
	switch {
	case i.Kind == KindToolchain:
		t := Toolchain{Toolchain: gotoolchain.Toolchain{Version: i.Version}, Platform: i.Platform, H1: i.H1}
		if !slices.Contains(c.req.Toolchains, t) {
			c.req.Toolchains = append(c.req.Toolchains, t)
		}
		return c.agree(b, i.ID(), i.H1)
	case i.Kind == KindImage:
		c.req.Images = append(c.req.Images, i.Name)
		c.req.known[i.Name] = i
		return c.agree(b, i.ID(), i.Digest.String())
	case image == FilesName:
		return c.agree(b, i.ID(), i.Digest.String())
	}
	return nil
}

// folders adds the folders of files, databases and recordings of a bundle.
func (c *collector) folders(ctx context.Context, b *Bundle) (views Views, err error) {
	if _, ok := b.Images()[VulnDBName]; ok {
		v, err := b.View(ctx, VulnDBName)
		if err != nil {
			return nil, err
		}
		views = append(views, v)
		c.req.Folders[VulnDBName] = v // the last has it: it is a folder of its time
	}
	if v, err := b.Recorded(ctx); err != nil {
		return views, err
	} else if v != nil {
		views = append(views, v)
		c.recorded = append(c.recorded, v)
		if c.req.Folders[RecordedName], err = replay.Join(c.recorded...); err != nil {
			return views, fmt.Errorf("%s: %w", b.dir, err)
		}
	}
	if _, ok := b.Images()[FilesName]; !ok {
		return views, nil
	}
	if c.files != nil {
		return views, c.files.lay(ctx, b, FilesName)
	}
	if c.files, err = b.View(ctx, FilesName); err != nil {
		return views, err
	}
	c.req.Folders[FilesName] = c.files
	return append(views, c.files), nil
}

// Layouts is an ImageSource that reads bundles. It takes an image from the first bundle that has it.
type Layouts []*Bundle

// Resolve implements ImageSource.
func (l Layouts) Resolve(_ context.Context, ref string) (string, ocispec.Descriptor, remotes.Fetcher, error) {
	for _, b := range l {
		if desc, ok := b.Images()[ref]; ok && !own(ref) {
			desc.Annotations = nil
			return ref, desc, fetcherOf{b}, nil
		}
	}
	return "", ocispec.Descriptor{}, nil, fmt.Errorf("it is in none of the bundles")
}

// fetcherOf is a Fetcher that reads a bundle's blobs.
type fetcherOf struct{ b *Bundle }

// Fetch implements remotes.Fetcher.
func (f fetcherOf) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if err := f.b.checkBlob(ctx, desc); err != nil {
		return nil, err
	}
	ra, err := f.b.reader(ctx, desc)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(ra), ra}, nil
}

// Prune leaves a bundle with the modules, toolchains and tools that a request names. It also keeps the bundle's other
// tools and their modules, its images and files, and its copy of the checksum database. It uses no network.
func Prune(ctx context.Context, b *Bundle, want Request) (pruned *Bundle, err error) {
	req := Request{Folders: map[string]fs.FS{}, known: map[string]Item{}}
	c := collector{req: &req, from: map[string]source{}}
	views, err := c.add(ctx, b)
	defer func() { err = errors.Join(err, views.Close()) }()
	if err != nil {
		return nil, err
	}
	had := req.Tools
	req.Tools = slices.Clone(want.Tools) // in the place of those in the bundle, whose go.sum may be older
	for _, t := range had {
		if !slices.ContainsFunc(want.Tools, func(w Tool) bool { return w.Name == t.Name }) {
			req.Tools = append(req.Tools, t)
		}
	}
	sums := []gomod.File{{Name: "go.sum", Data: want.Modules.Text()}}
	for _, t := range req.Tools {
		sums = append(sums, gomod.File{Name: "the go.sum of " + t.Name, Data: t.GoSum})
	}
	if req.Modules, err = gomod.ParseSums(sums...); err != nil {
		return nil, err
	}
	req.Keys, req.Toolchains, req.sumdbOf, req.CompiledOf = want.Keys, want.Toolchains, b, []*Bundle{b}
	m := Maker{Images: Layouts{b}}
	return m.Create(ctx, b.dir, req)
}
