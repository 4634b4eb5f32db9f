package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/fetch/sumdbcopy"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/progress"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/mod/module"
)

// shards is the number of layers over which the modules of a new bundle are spread by their paths. A bundle made since
// another has one layer more: see Request.Since.
const shards = 8

// maxLayers is how many layers an image of a bundle may have: overlay mounts and registries take no more than 127.
const maxLayers = 100

// A Request says what goes into a bundle.
type Request struct {
	Modules    gomod.Set // of all builds, and of all tools
	Keys       []string  // of the module set of each build
	Toolchains []Toolchain
	Images     []string // references of base images, and of the frontend's
	Platforms  []string // of the images: OS/ARCHITECTURE[/VARIANT]
	Whole      []string // those of Images that are kept for all platforms, as a signature of an index is of all of it
	Tools      []Tool
	Folders    map[string]fs.FS // what VulnDBName, FilesName and RecordedName hold

	SumDB SumDB // the zero value records nothing

	Compiled   []Compiled // layers of compiled packages
	CompiledOf []*Bundle  // bundles whose compiled packages are taken, too

	// Since is a bundle that the other side has. The new bundle is then a delta to it. The delta lists all layers of
	// modules of Since, needed or not, and one more layer with the modules that those lack, but it doesn't hold the blobs
	// that are in Since. See Apply.
	Since *Bundle

	sumdbOf *Bundle         // the bundle in this folder, of which the copy of the checksum database stays
	known   map[string]Item // images that are taken from bundles, by name
}

// A Toolchain is a Go toolchain for a platform, and its h1 hash.
type Toolchain struct {
	gotoolchain.Toolchain
	Platform string // OS/ARCHITECTURE
	H1       string
}

// SumDB is a checksum database. Create copies from it what the go command asks for the modules and toolchains.
type SumDB struct {
	Key      string // NAME+HASH+KEY
	Remote   sumdbcopy.Remote
	Unlisted func(path string) bool // modules that it may not be asked for; nil for none
}

// A Maker makes bundles.
type Maker struct {
	Sources  Sources
	Bundles  []*Bundle // whose images are taken before Images is asked
	Images   ImageSource
	Admit    func(Item) error // why a module or a go.mod file may not be in a bundle; nil if all may
	Progress progress.Reporter
}

// Create makes a bundle in a folder, or changes the one that is there into what the request says. Files that the folder
// holds already, from an earlier bundle or a killed run, are not fetched again. The old bundle stays whole until the
// new one replaces it at once. For the same request and contents the bundle is the same, byte for byte.
func (m Maker) Create(ctx context.Context, dir string, req Request) (*Bundle, error) {
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	old, err := open(ctx, dir, Trust{})
	if err != nil {
		return nil, err
	}
	m.Progress = progress.Or(m.Progress)
	c := &creation{Maker: m, req: req, b: &Bundle{dir: dir, store: old.store, index: old.index}, staging: filepath.Join(dir, stagingDir)}
	c.b.index.Manifests, c.b.index.Annotations = nil, nil
	if req.Since != nil {
		c.b.base = req.Since
		c.b.index.Annotations = map[string]string{sinceAnnotation: req.Since.Digest().String()}
	}
	if err := c.run(ctx, old); err != nil {
		return nil, err
	}
	if err := c.b.commit(); err != nil {
		return nil, err
	}
	return c.b, errors.Join(c.b.collect(ctx), os.RemoveAll(c.staging))
}

// A creation is one run of Create.
type creation struct {
	Maker
	req     Request
	b       *Bundle
	staging string
	parts   []part
	views   Views
	pass    func(ocispec.Descriptor) bool // whether a blob of an image is left out; nil for none
}

func (c *creation) run(ctx context.Context, old *Bundle) (err error) {
	defer func() { err = errors.Join(err, c.views.Close()) }()
	for _, b := range []*Bundle{c.req.Since, old} {
		if b == nil || len(b.index.Manifests) == 0 {
			continue
		}
		folder, view, err := b.Folder(ctx)
		if err != nil && b == old && c.req.sumdbOf == nil && ctx.Err() == nil {
			continue // it is damaged, and what is made now takes its place
		}
		if err != nil {
			return err
		}
		c.views = append(c.views, view)
		c.Sources.Folders = append([]Folder{folder}, c.Sources.Folders...)
	}
	for _, step := range []func(context.Context) error{c.modules, c.toolchains, c.sumdb, c.images, c.tools, c.folders, c.compiled} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return c.b.writeManifest(ctx, c.parts, c.req.Keys)
}

// Folder returns the modules, toolchains and checksum database of a bundle as a GOPROXY folder, so that another bundle
// can be made from it. The caller closes the view.
func (b *Bundle) Folder(ctx context.Context) (Folder, *View, error) {
	items, err := b.Items(ctx)
	if err != nil {
		return Folder{}, nil, err
	}
	origins := map[string]string{}
	for _, i := range items {
		names, err := i.files()
		if err != nil {
			return Folder{}, nil, fmt.Errorf("%s: the manifest lists %s: %w", b.dir, i.ID(), err)
		}
		for _, name := range names {
			origins[name] = i.Origin
		}
	}
	v, err := b.View(ctx, ModulesName, ToolchainName, SumDBName)
	return Folder{Name: b.dir, FS: v, Origins: origins}, v, err
}

func (c *creation) gatherer() *gatherer {
	return &gatherer{from: c.Sources, dir: c.staging, progress: c.Progress}
}

// begin says that a step begins, if there is something to do.
func (c *creation) begin(step string, items int) {
	if items > 0 {
		c.Progress.Begin(step, items, 0)
	}
}

// addParts writes layers, and the image that they make.
func (c *creation) addParts(ctx context.Context, name string, have []part, groups ...[]itemFiles) error {
	parts := slices.Clone(have)
	groups = slices.DeleteFunc(slices.Clone(groups), func(g []itemFiles) bool { return len(g) == 0 })
	c.begin("write layers of "+name, len(groups))
	for i, group := range groups {
		p := part{image: name}
		var files []file
		for _, g := range group {
			p.items = append(p.items, g.item)
			files = append(files, g.files...)
		}
		var err error
		if p.layer, err = c.b.addLayer(ctx, files); err != nil {
			return err
		}
		c.Progress.Done(fmt.Sprintf("layer %d", i+1), p.layer.Size)
		parts = append(parts, p)
	}
	if len(parts) == 0 {
		return nil
	}
	var layers []ocispec.Descriptor
	for _, p := range parts {
		layers = append(layers, p.layer)
	}
	c.parts = append(c.parts, parts...)
	return c.b.addImage(ctx, name, layers)
}

func (c *creation) modules(ctx context.Context) error {
	have, set, err := c.since(ctx)
	if err != nil {
		return err
	}
	list, err := c.gatherer().modules(ctx, set)
	if err != nil {
		return err
	}
	if err := c.admit(have, list); err != nil {
		return err
	}
	if c.req.Since != nil {
		return c.addParts(ctx, ModulesName, have, list)
	}
	groups := make([][]itemFiles, shards)
	for _, g := range list {
		n := shard(g.item.Name)
		groups[n] = append(groups[n], g)
	}
	return c.addParts(ctx, ModulesName, nil, groups...)
}

// admit asks whether the modules may be in the bundle, both those taken from another bundle and new ones.
func (c *creation) admit(have []part, list []itemFiles) error {
	if c.Admit == nil {
		return nil
	}
	var failed []error
	for _, p := range have {
		for _, i := range p.items {
			failed = append(failed, c.Admit(i))
		}
	}
	for _, g := range list {
		failed = append(failed, c.Admit(g.item))
	}
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	return modfetch.Summarize(failed)
}

// shard returns the number of the layer in which a new bundle keeps a module.
func shard(modulePath string) int {
	sum := sha256.Sum256([]byte(modulePath))
	return int(sum[0]) % shards
}

// since returns the parts of the bundle that the other side has, and the modules of the request that they lack.
func (c *creation) since(ctx context.Context) (have []part, lack gomod.Set, err error) {
	if c.req.Since == nil {
		return nil, c.req.Modules, nil
	}
	_, parts, err := c.req.Since.manifest(ctx)
	if err != nil {
		return nil, lack, err
	}
	known := map[gomod.Sum]bool{}
	for _, p := range parts {
		if p.image != ModulesName {
			continue
		}
		have = append(have, p)
		for _, i := range p.items {
			for _, s := range i.sums() {
				known[s] = true
			}
		}
	}
	if len(have) >= maxLayers {
		return nil, lack, fmt.Errorf("%s has %d layers of modules already: make a new bundle without --since, which has %d", c.req.Since.dir, len(have), shards)
	}
	lack, err = c.req.Modules.Filter(func(s gomod.Sum) (bool, error) { return !known[s], nil })
	return have, lack, err
}

func (c *creation) toolchains(ctx context.Context) error {
	g := c.gatherer()
	var groups [][]itemFiles
	c.begin("get toolchains", len(c.req.Toolchains))
	for _, t := range c.req.Toolchains {
		sum := t.Sum(t.Platform, t.H1)
		f, err := g.find(ctx, sum)
		if err != nil {
			return fmt.Errorf("the Go toolchain %s for %s: %w", t.Version, t.Platform, err)
		}
		item := Item{Kind: KindToolchain, Name: gomod.ToolchainPath, Version: t.Version, Platform: t.Platform, Size: f.size, H1: t.H1, Origin: f.origin}
		if item.Digest, err = f.digest(); err != nil {
			return err
		}
		c.Progress.Done(sum.Module().String(), item.Size)
		groups = append(groups, []itemFiles{{item, []file{f.file}}})
	}
	return c.addParts(ctx, ToolchainName, nil, groups...)
}

// sumdb copies the lines and tiles that prove the modules and toolchains from the checksum database.
func (c *creation) sumdb(ctx context.Context) error {
	if c.req.sumdbOf != nil {
		return c.keepSumDB(ctx)
	}
	if c.req.SumDB.Remote == nil {
		return nil
	}
	var mods []module.Version
	for _, s := range append(c.req.Modules.GoMods(), c.req.Modules.Zips()...) {
		if u := c.req.SumDB.Unlisted; u == nil || !u(s.Path) {
			mods = append(mods, s.Module())
		}
	}
	for _, t := range c.req.Toolchains {
		mods = append(mods, t.Sum(t.Platform, t.H1).Module())
	}
	if len(mods) == 0 {
		return nil
	}
	module.Sort(mods)
	mods = slices.Compact(mods)
	c.begin("copy from the checksum database", len(mods))
	rec := sumdbcopy.Recorder{Key: c.req.SumDB.Key, Remote: c.req.SumDB.Remote, Dir: c.staging, Found: func(m module.Version) { c.Progress.Done(m.String(), 0) }}
	for _, f := range c.Sources.Folders {
		if v, ok := f.FS.(*View); ok { // a bundle's: the go command's cache has no copy, but records under heads of any time
			rec.Known = append(rec.Known, v)
		}
	}
	copied, err := rec.Record(ctx, mods)
	if err != nil {
		return err
	}
	var group []itemFiles
	for _, name := range copied.Files {
		f, err := diskFile(name, filepath.Join(c.staging, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		group = append(group, itemFiles{files: []file{f}})
	}
	group[0].item = Item{Kind: KindSumDB, Name: copied.Name, Version: fmt.Sprint(copied.Head.N), Origin: copied.Name}
	return c.addFiles(ctx, SumDBName, group)
}

// keepSumDB keeps the copy of the checksum database that the changed bundle has.
func (c *creation) keepSumDB(ctx context.Context) error {
	desc, ok := c.req.sumdbOf.Images()[SumDBName]
	if !ok {
		return nil
	}
	blobs, err := c.req.sumdbOf.children(ctx, desc)
	if err != nil {
		return err
	}
	for _, blob := range blobs {
		if err := c.req.sumdbOf.checkBlob(ctx, blob); err != nil {
			return err
		}
	}
	_, parts, err := c.req.sumdbOf.manifest(ctx)
	for _, p := range parts {
		if p.image == SumDBName {
			c.parts = append(c.parts, p)
		}
	}
	c.b.setImage(SumDBName, desc)
	return err
}

// addFiles writes an image with one layer that holds the files of a group of items.
func (c *creation) addFiles(ctx context.Context, name string, group []itemFiles) error {
	p := part{image: name}
	var files []file
	for _, g := range group {
		files = append(files, g.files...)
		if g.item.Kind != "" {
			p.items = append(p.items, g.item)
		}
	}
	var err error
	if p.layer, err = c.b.addLayer(ctx, files); err != nil {
		return err
	}
	for i := range p.items {
		if p.items[i].Digest == "" { // an item of several files is the layer that they are in
			p.items[i].Digest, p.items[i].Size = p.layer.Digest, p.layer.Size
		}
	}
	c.parts = append(c.parts, p)
	return c.b.addImage(ctx, name, []ocispec.Descriptor{p.layer})
}

func (c *creation) tools(ctx context.Context) error {
	if len(c.req.Tools) == 0 {
		return nil
	}
	var group []itemFiles
	byName := map[string]Tool{}
	for _, t := range c.req.Tools {
		if other, ok := byName[t.Name]; ok {
			return fmt.Errorf("the tools %s@%s and %s@%s are both called %s, and a bundle has one of a name: leave one out", other.Package, other.Version, t.Package, t.Version, t.Name)
		}
		byName[t.Name] = t
		files := t.files()
		item := Item{Kind: KindTool, Name: t.Package, Version: t.Version, Size: int64(len(t.GoSum))}
		var err error
		if item.Digest, err = files[1].digest(); err != nil {
			return err
		}
		group = append(group, itemFiles{item, files})
	}
	return c.addFiles(ctx, ToolsName, group)
}
