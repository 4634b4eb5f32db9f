package bundle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/gocache"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gorecipe"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Compiled is a layer of compiled packages: what a recipe says, laid out as GOCACHE, and the files that it was compiled of.
type Compiled struct {
	Recipe  gorecipe.Recipe
	Sources *gorecipe.Sources
	Files   fs.FS
}

// compiledPrefix stands before the key of a recipe in the name of the image that has what the recipe makes. recipeName is
// the file in it that has the recipe, sourcesName that which lists what was compiled.
const (
	compiledPrefix = "compiled-"
	recipeName     = "recipe.json"
	sourcesName    = "sources"
)

// compiledKey returns the key of the recipe in the name of an image, or "" for an image that has no compiled packages.
func compiledKey(image string) string {
	if key, ok := strings.CutPrefix(image, compiledPrefix); ok && gorecipe.IsKey(key) {
		return key
	}
	return ""
}

// compiled adds compiled packages: those of the request, and those of other bundles.
func (c *creation) compiled(ctx context.Context) error {
	if len(c.req.Compiled)+len(c.req.CompiledOf) > 0 {
		c.Progress.Begin("add compiled packages", 0, 0)
	}
	var made []packedLayer
	for _, l := range sortedCompiled(c.req.Compiled) {
		if err := c.addCompiled(ctx, l, &made); err != nil {
			return fmt.Errorf("adding what is compiled for %s: %w", l.Recipe.Module, err)
		}
	}
	for _, b := range c.req.CompiledOf {
		for _, name := range b.compiledImages() {
			if err := c.takeCompiled(ctx, b, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// takeCompiled takes an image of compiled packages from another bundle, unless there is one, or what it is compiled of isn't
// wanted.
func (c *creation) takeCompiled(ctx context.Context, b *Bundle, name string) error {
	desc := b.Images()[name]
	desc.Annotations = nil
	if have, ok := c.b.Images()[name]; ok && have.Digest != desc.Digest && len(c.req.Compiled) == 0 {
		return fmt.Errorf("the bundles disagree: %s is %s in %s and %s elsewhere: find out which was changed with 'larder bundle verify --rebuild'", name, desc.Digest, b.dir, have.Digest)
	} else if ok {
		return nil
	}
	l, view, err := b.openCompiled(ctx, name)
	if err != nil {
		return err
	}
	defer view.Close()
	if wanted, err := c.wants(l.Recipe); err != nil || !wanted {
		return err
	}
	item, desc, err := c.b.fetchImage(ctx, desc, c.blobs(ctx, name, fetcherOf{b}), nil)
	if err == nil {
		c.listCompiled(name, desc, l.Recipe, item.Size)
	}
	return err
}

// wants reports whether the new bundle has the modules and the toolchain of a recipe.
func (c *creation) wants(r gorecipe.Recipe) (bool, error) {
	set, err := r.Sums()
	if err != nil {
		return false, err
	}
	wanted := map[gomod.Sum]bool{}
	for _, s := range slices.Concat(c.req.Modules.Zips(), c.req.Modules.GoMods()) {
		wanted[s] = true
	}
	lack, err := set.Filter(func(s gomod.Sum) (bool, error) { return !wanted[s], nil })
	ofToolchain := func(t Toolchain) bool { return t.Version == r.Toolchain }
	return lack.Empty() && slices.ContainsFunc(c.req.Toolchains, ofToolchain), err
}

// listCompiled adds an image of compiled packages, which the bundle has the blobs of.
func (c *creation) listCompiled(name string, desc ocispec.Descriptor, r gorecipe.Recipe, size int64) {
	c.b.setImage(name, desc)
	item := Item{Kind: KindCompiled, Name: r.Module, Version: r.Key(), Platform: r.Platform, Size: size, Digest: desc.Digest, Origin: "compiled by " + r.Toolchain}
	c.parts = append(c.parts, part{image: name, items: []Item{item}})
	c.Progress.Done(name, item.Size)
}

// sortedCompiled returns those with few files first: their layers may be parts of others.
func sortedCompiled(list []Compiled) []Compiled {
	return slices.SortedFunc(slices.Values(list), func(x, y Compiled) int {
		return cmp.Or(cmp.Compare(len(x.Recipe.Imports), len(y.Recipe.Imports)), cmp.Compare(x.Recipe.Key(), y.Recipe.Key()))
	})
}

// A packedLayer is a layer of the bundle's compiled packages: its files, each with what tells it from others of that name.
type packedLayer struct {
	files map[string]string
	desc  ocispec.Descriptor
}

// addCompiled writes an image of layers: those made before that are a part of it, what they lack, and the recipe with the
// list of sources.
func (c *creation) addCompiled(ctx context.Context, l Compiled, made *[]packedLayer) error {
	outputs, err := gocache.Outputs(l.Files)
	if err != nil {
		return err
	}
	if err := gocache.CheckOutputs(ctx, l.Files, outputs); err != nil {
		return err
	}
	rest, err := identify(l.Files)
	if err != nil {
		return err
	}
	var layers []ocispec.Descriptor
	for _, m := range *made {
		if len(layers) < maxLayers-2 && isPart(m.files, rest) {
			layers = append(layers, m.desc)
			maps.DeleteFunc(rest, func(name, _ string) bool { _, ok := m.files[name]; return ok })
		}
	}
	if len(rest) > 0 {
		var files []file
		for name := range rest {
			info, err := fs.Stat(l.Files, name)
			if err != nil {
				return err
			}
			files = append(files, fileOfFS(l.Files, name, info.Size()))
		}
		desc, err := c.b.addPackedLayer(ctx, files)
		if err != nil {
			return err
		}
		layers = append(layers, desc)
		*made = append(*made, packedLayer{rest, desc})
	}
	recipe, err := c.b.addLayer(ctx, []file{memoryFile(recipeName, l.Recipe.Text()), memoryFile(sourcesName, l.Sources.Text())})
	if err != nil {
		return err
	}
	name := compiledPrefix + l.Recipe.Key()
	if err := c.b.addImage(ctx, name, append(layers, recipe)); err != nil {
		return err
	}
	desc := c.b.Images()[name]
	desc.Annotations = nil
	item, _, err := c.b.fetchImage(ctx, desc, func(ocispec.Descriptor) error { return nil }, nil)
	if err == nil {
		c.listCompiled(name, desc, l.Recipe, item.Size)
	}
	return err
}

// isPart reports whether all files of a layer are among some.
func isPart(layer, of map[string]string) bool {
	for name, is := range layer {
		if of[name] != is {
			return false
		}
	}
	return true
}

// identify returns the files of a GOCACHE. An output's name is its digest; an entry is a line.
func identify(fsys fs.FS) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[name] = "output"
		if strings.HasSuffix(name, "-a") {
			line, err := fs.ReadFile(fsys, name)
			files[name] = string(line)
			return err
		}
		return nil
	})
	return files, err
}

// compiledImages returns the names of the images that have compiled packages, sorted.
func (b *Bundle) compiledImages() (names []string) {
	for name := range b.Images() {
		if compiledKey(name) != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// HasCompiled reports whether the bundle has compiled packages.
func (b *Bundle) HasCompiled() bool { return len(b.compiledImages()) > 0 }

// Compiled opens all compiled packages of the bundle. The caller closes the views, after an error too.
func (b *Bundle) Compiled(ctx context.Context) (list []Compiled, views Views, err error) {
	for _, name := range b.compiledImages() {
		c, view, err := b.openCompiled(ctx, name)
		if err != nil {
			return nil, views, err
		}
		list, views = append(list, c), append(views, view)
	}
	return list, views, nil
}

// openCompiled opens an image of compiled packages: a recipe that has the key in the image's name, a list of sources, and entries of
// a GOCACHE.
// Anything else in it is an error. What the entries say of their outputs isn't checked.
func (b *Bundle) openCompiled(ctx context.Context, name string) (Compiled, *View, error) {
	return b.viewCompiled(ctx, name, &View{packed: true})
}

// viewCompiled is openCompiled with an empty view that says how the image is read.
func (b *Bundle) viewCompiled(ctx context.Context, name string, view *View) (Compiled, *View, error) {
	view, err := b.fillView(ctx, view, name)
	if err != nil {
		return Compiled{}, nil, err
	}
	c, err := readCompiled(view, compiledKey(name))
	if err != nil {
		return c, nil, errors.Join(fmt.Errorf("%s: the image %s: %w: don't use this bundle", b.dir, name, err), view.Close())
	}
	return c, view, nil
}

func readCompiled(view *View, key string) (c Compiled, err error) {
	text, err := view.small(recipeName, gorecipe.MaxSize)
	if err != nil {
		return c, fmt.Errorf("it has no recipe: %w", err)
	}
	if c.Recipe, err = gorecipe.Parse(text); err != nil {
		return c, err
	}
	if is := c.Recipe.Key(); is != key {
		return c, fmt.Errorf("its recipe has the key %s", is)
	}
	if text, err = view.small(sourcesName, gorecipe.MaxSources); err != nil {
		return c, fmt.Errorf("it has no list of sources: %w", err)
	}
	if c.Sources, err = gorecipe.ParseSources(text); err != nil {
		return c, err
	}
	c.Files = view.without(recipeName, sourcesName)
	_, err = gocache.Outputs(c.Files)
	return c, err
}

// small reads a file, or so much of it that a reader which takes no more than some bytes refuses it.
func (v *View) small(name string, limit int64) (data []byte, err error) {
	f, err := v.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

// CompiledContexts returns the named contexts that have a build take compiled packages from the bundle, as Contexts has them.
// They are looked into as far as their names and sizes go.
func (b *Bundle) CompiledContexts(ctx context.Context) (list []string, err error) {
	light := *b
	light.signed = nil // the builder compares the digest of what it reads: there is no need to read all here
	for _, name := range b.compiledImages() {
		_, view, err := light.viewCompiled(ctx, name, &View{packed: true, names: true})
		if err != nil {
			return nil, err
		}
		if err := view.Close(); err != nil {
			return nil, err
		}
		list = append(list, "larder-"+name+"=oci-layout://"+b.dir+"@"+b.Images()[name].Digest.String())
	}
	return list, nil
}

// compiled checks an image of compiled packages.
func (v *verification) compiled(ctx context.Context, name string, desc ocispec.Descriptor, items []Item) error {
	c, view, err := v.b.openCompiled(ctx, name)
	if err != nil {
		v.fail(err)
		return nil
	}
	defer view.Close()
	r := c.Recipe
	if len(items) != 1 || items[0].Kind != KindCompiled || items[0].Digest != desc.Digest || items[0].Version != r.Key() || items[0].Name != r.Module || items[0].Platform != r.Platform {
		v.fail(fmt.Errorf("%s: the manifest doesn't list the image %s as what it is", v.b.dir, name))
	}
	outputs, err := gocache.Outputs(c.Files)
	if err == nil {
		err = gocache.CheckOutputs(ctx, c.Files, outputs)
	}
	if err != nil && ctx.Err() == nil {
		v.fail(fmt.Errorf("%s: the image %s: %w", v.b.dir, name, err))
	}
	v.count.Compiled++
	return context.Cause(ctx)
}
