package bundle

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// These are the kinds of items.
const (
	KindModule    = "module"    // a module's zip, with its go.mod and .info
	KindGoMod     = "go.mod"    // the go.mod of a module whose zip no build needs
	KindToolchain = "toolchain" // the zip of golang.org/toolchain for a platform
	KindImage     = "image"     // a base image, or the frontend's
	KindTool      = "tool"      // the go.mod and go.sum that a tool is built by
	KindSumDB     = "sumdb"     // a file of a checksum database
	KindFile      = "file"      // a file of the user's, of a vulnerability database, or the index of what was recorded
	KindAnswer    = "answer"    // what a server answered to a step of a build
	KindCompiled  = "compiled"  // a layer of compiled packages
)

// An Item is one thing that a bundle holds.
type Item struct {
	Kind     string        `json:"kind"`
	Name     string        `json:"name"`               // module path, image reference, file name or URL
	Version  string        `json:"version,omitempty"`  // of an answer: the Accept header that it was given for; of compiled packages: the key of their recipe
	Platform string        `json:"platform,omitempty"` // OS/ARCHITECTURE of a toolchain, or that packages are compiled for; those of an image, with commas
	Size     int64         `json:"size"`               // bytes
	Digest   digest.Digest `json:"digest"`             // of the zip, file or body; of an image, also of compiled packages, that of its manifest or index
	H1       string        `json:"h1,omitempty"`       // the zip's, as go.sum has it
	GoModH1  string        `json:"goModH1,omitempty"`  // of the go.mod file
	Origin   string        `json:"origin,omitempty"`   // where it was taken from, without passwords
	Time     *time.Time    `json:"time,omitempty"`     // of the version, as its origin says; no checksum covers it
	From     digest.Digest `json:"from,omitempty"`     // of an image: that of the index it was taken from, where only some of its platforms were
}

// ID returns a text that identifies the item in messages and comparisons of bundles.
func (i Item) ID() string {
	id := i.Kind + " " + i.Name
	if i.Version != "" {
		id += "@" + i.Version
	}
	if i.Kind == KindToolchain {
		id += " for " + i.Platform
	}
	return id
}

func compareItems(a, b Item) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Platform, b.Platform))
}

// These are the media types of the manifest. Each layer has a blob with the list of its items. So two bundles that
// differ in one layer share the lists of all other layers.
const (
	manifestType = "application/vnd.larder.bundle.v1+json"
	itemsType    = "application/vnd.larder.bundle.items.v1+json"

	// ofAnnotation is an annotation on a list of items: the name of the image that they are in.
	ofAnnotation = "build.larder.bundle.image"
)

// head is the config of the manifest.
type head struct {
	Format int `json:"format"` // 1
	// Sets are the keys of the module sets that the bundle was made for: see gomod.Set.Key.
	Sets []string `json:"sets"`
}

// These are the greatest sizes of lists of items, in bytes.
const (
	maxItems     = 64 << 20 // of all
	maxImageItem = 64 << 10 // of the one item of a base image
)

// A part is one layer, or one base image, with its items.
type part struct {
	image string // the name of the image that it belongs to
	layer ocispec.Descriptor
	items []Item
	whole ocispec.Descriptor // the index that an image was taken from, of type wholeType, if that is kept
}

// writeManifest writes the manifest: the parts in their order, and the keys of the requested module sets.
func (b *Bundle) writeManifest(ctx context.Context, parts []part, sets []string) error {
	slices.Sort(sets)
	config, err := b.addJSON(ctx, manifestType, head{Format: 1, Sets: slices.Compact(sets)})
	if err != nil {
		return err
	}
	var lists []ocispec.Descriptor
	for _, p := range parts {
		slices.SortFunc(p.items, compareItems)
		desc, err := b.addJSON(ctx, itemsType, p.items)
		if err != nil {
			return err
		}
		desc.Annotations = map[string]string{ofAnnotation: p.image}
		lists = append(lists, desc)
		if p.whole.Digest != "" {
			p.whole.Annotations = desc.Annotations
			lists = append(lists, p.whole)
		}
	}
	return b.addManifest(ctx, ManifestName, manifestType, config, lists)
}

// manifest reads the manifest. For each of the bundle's own images, list number n is about layer number n.
func (b *Bundle) manifest(ctx context.Context) (h head, parts []part, err error) {
	desc, ok := b.Images()[ManifestName]
	if !ok {
		return h, nil, fmt.Errorf("%s is an OCI layout, but not a bundle: it has no image named %q", b.dir, ManifestName)
	}
	m, err := b.readManifest(ctx, ManifestName, desc)
	if err != nil {
		return h, nil, err
	}
	if err := b.readJSON(ctx, m.Config, &h); err != nil {
		return h, nil, err
	}
	if m.Config.MediaType != manifestType || h.Format != 1 {
		return h, nil, fmt.Errorf("%s has a manifest of format %d (%s), and this larder reads format 1: use a newer larder", b.dir, h.Format, m.Config.MediaType)
	}
	layers := map[string][]ocispec.Descriptor{}
	left := int64(maxItems)
	for _, l := range m.Layers {
		p := part{image: l.Annotations[ofAnnotation]}
		if n := len(parts); l.MediaType == wholeType && n > 0 && parts[n-1].image == p.image {
			parts[n-1].whole = l
			continue
		}
		limit := left
		if !own(p.image) {
			limit = min(left, maxImageItem)
		}
		if left -= l.Size; l.Size > limit {
			return h, nil, fmt.Errorf("%s has a manifest whose lists of items have too many bytes: at most %d are read in all, and %d of one image: don't use this bundle", b.dir, maxItems, maxImageItem)
		}
		if p.items, err = b.readItems(ctx, l); err != nil {
			return h, nil, err
		}
		if own(p.image) {
			if _, ok := layers[p.image]; !ok {
				if layers[p.image], err = b.layers(ctx, p.image); err != nil {
					return h, nil, err
				}
			}
			if len(layers[p.image]) == 0 {
				return h, nil, fmt.Errorf("%s is damaged: its manifest lists items of a layer of %s that isn't there", b.dir, p.image)
			}
			p.layer, layers[p.image] = layers[p.image][0], layers[p.image][1:]
		}
		parts = append(parts, p)
	}
	return h, parts, nil
}

// readItems reads a list of items one by one, and checks each. Otherwise a list could hold millions of entries that are
// no items, such as {}.
func (b *Bundle) readItems(ctx context.Context, desc ocispec.Descriptor) ([]Item, error) {
	data, err := b.readBlob(ctx, desc)
	if err != nil {
		return nil, err
	}
	items := []Item{} // a list without items is one, too
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, fmt.Errorf("%s: blob %s is not what its type %s says: expected a list", b.dir, desc.Digest, desc.MediaType)
	}
	for d.More() {
		var i Item
		err := d.Decode(&i)
		if err == nil {
			err = i.check()
		}
		if err != nil {
			return nil, fmt.Errorf("%s: blob %s is not what its type %s says: %w", b.dir, desc.Digest, desc.MediaType, err)
		}
		items = append(items, i)
	}
	if _, err := d.Token(); err != nil { // the end of the list
		return nil, fmt.Errorf("%s: blob %s is not what its type %s says: %w", b.dir, desc.Digest, desc.MediaType, err)
	}
	return items, nil
}

// check refuses an item that isn't valid, or whose text would control the terminal that shows it.
func (i Item) check() error {
	if i.Kind == "" || i.Name == "" {
		return errors.New("an item has no kind, or no name")
	}
	for _, field := range []string{i.Kind, i.Name, i.Version, i.Platform, i.H1, i.GoModH1, i.Origin} {
		if strings.ContainsFunc(field, unicode.IsControl) {
			return fmt.Errorf("an item has a control character in %.100q", field)
		}
	}
	return nil
}

// Items returns all items of the manifest, sorted.
func (b *Bundle) Items(ctx context.Context) ([]Item, error) {
	_, parts, err := b.manifest(ctx)
	if err != nil {
		return nil, err
	}
	var all []Item
	for _, p := range parts {
		all = append(all, p.items...)
	}
	slices.SortFunc(all, compareItems)
	return all, nil
}

// Sets returns the keys of the module sets that the bundle was made for.
func (b *Bundle) Sets(ctx context.Context) ([]string, error) {
	h, _, err := b.manifest(ctx)
	return h.Sets, err
}

// Sums returns the go.sum lines of all modules in the bundle.
func (b *Bundle) Sums(ctx context.Context) (gomod.Set, error) {
	items, err := b.Items(ctx)
	if err != nil {
		return gomod.Set{}, err
	}
	var text bytes.Buffer
	for _, i := range items {
		for _, s := range i.sums() {
			fmt.Fprintln(&text, s)
		}
	}
	return gomod.ParseSums(gomod.File{Name: b.dir, Data: text.Bytes()})
}

// toolchain returns the line that a go.sum would have for a toolchain.
func (i Item) toolchain() gomod.Sum {
	return gotoolchain.Toolchain{Version: i.Version}.Sum(i.Platform, i.H1)
}

// sums returns the go.sum lines of a module or of a toolchain, which is a module too.
func (i Item) sums() (lines []gomod.Sum) {
	switch i.Kind {
	case KindModule, KindGoMod:
	case KindToolchain:
		return []gomod.Sum{i.toolchain()}
	default:
		return nil
	}
	if i.H1 != "" {
		lines = append(lines, gomod.Sum{Path: i.Name, Version: i.Version, Hash: i.H1})
	}
	if i.GoModH1 != "" {
		lines = append(lines, gomod.Sum{Path: i.Name, Version: i.Version, GoMod: true, Hash: i.GoModH1})
	}
	return lines
}
