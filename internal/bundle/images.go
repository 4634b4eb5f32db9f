package bundle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/larder-build/larder/internal/progress"
)

// An ImageSource is a registry, or several.
type ImageSource interface {
	// Resolve returns the full name of an image, its manifest or index, and a fetcher of its blobs.
	Resolve(ctx context.Context, ref string) (name string, desc ocispec.Descriptor, fetcher remotes.Fetcher, err error)
}

// images fetches base images.
func (c *creation) images(ctx context.Context) error {
	c.begin("get images", len(c.req.Images))
	for _, ref := range c.req.Images {
		item, desc, err := c.image(ctx, ref)
		if err != nil {
			return fmt.Errorf("image %s: %w", ref, err)
		}
		if !isReference(item.Name) {
			return strangerError(c.b.dir, item.Name)
		}
		if known, ok := c.req.known[item.Name]; ok {
			item.Platform, item.From, item.Origin = known.Platform, known.From, known.Origin
		}
		whole, err := c.whole(ctx, item)
		if err != nil {
			return fmt.Errorf("image %s: %w", ref, err)
		}
		c.b.setImage(item.Name, desc)
		c.parts = append(c.parts, part{image: item.Name, items: []Item{item}, whole: whole})
		c.Progress.Done(ref, item.Size)
	}
	return nil
}

// image takes an image from the first bundle at hand that has it for all platforms, otherwise from its registry. The
// result is the same in both cases.
func (c *creation) image(ctx context.Context, ref string) (Item, ocispec.Descriptor, error) {
	for _, b := range c.Bundles {
		known, err := b.imageFor(ctx, ref, c.platforms(ref))
		if err != nil {
			return Item{}, ocispec.Descriptor{}, err
		}
		if known == nil || known.From != "" && c.platforms(ref) == nil {
			continue
		}
		item, desc, err := c.b.fetchImage(ctx, b.Images()[ref], c.blobs(ctx, ref, fetcherOf{b}), c.platforms(ref))
		item.Name, item.Origin, item.From = ref, known.Origin, cmp.Or(known.From, item.From)
		return item, desc, err
	}
	name, desc, fetcher, err := c.Images.Resolve(ctx, ref)
	if err != nil {
		return Item{}, desc, err
	}
	item, desc, err := c.b.fetchImage(ctx, desc, c.blobs(ctx, ref, fetcher), c.platforms(ref))
	item.Name, item.Origin = name, name
	return item, desc, err
}

// platforms returns the platforms that an image is kept for, or nil for all that it has.
func (c *creation) platforms(ref string) []string {
	if slices.Contains(c.req.Whole, ref) {
		return nil
	}
	return c.req.Platforms
}

// blobs returns a function that fetches a blob of an image.
func (c *creation) blobs(ctx context.Context, image string, fetcher remotes.Fetcher) func(ocispec.Descriptor) error {
	var before int64 // bytes of the blobs that are there
	return func(desc ocispec.Descriptor) error {
		if c.pass != nil && c.pass(desc) {
			return nil
		}
		err := c.b.fetchBlob(ctx, fetcher, desc, func(n int64) { c.Progress.At(image, before+n, 0) })
		before += desc.Size
		return err
	}
}

// ImageSize returns how many bytes an image takes in a bundle for some platforms, and how many of these bytes are in
// none of the bundles, nor in have. It fetches only manifests.
func (m Maker) ImageSize(ctx context.Context, ref string, platforms []string, have ...*Bundle) (size, missing int64, err error) {
	dir, err := os.MkdirTemp("", "larder-manifests-*")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(dir)
	scratch, err := open(ctx, dir, Trust{})
	if err != nil {
		return 0, 0, err
	}
	m.Progress = progress.Or(m.Progress)
	c := &creation{Maker: m, req: Request{Platforms: platforms}, b: scratch}
	have = append(have, m.Bundles...)
	c.pass = func(desc ocispec.Descriptor) bool {
		if refers(desc) {
			return false
		}
		if !slices.ContainsFunc(have, func(b *Bundle) bool { return b.has(ctx, desc) }) {
			missing += desc.Size
		}
		return true
	}
	item, _, err := c.image(ctx, ref)
	return item.Size, missing, err
}

// imageFor returns the item of an image that the bundle has for all of some platforms, or nil.
func (b *Bundle) imageFor(ctx context.Context, ref string, want []string) (*Item, error) {
	desc, ok := b.Images()[ref]
	if !ok || own(ref) {
		return nil, nil
	}
	items, err := b.Items(ctx)
	for _, i := range items {
		if i.Kind != KindImage || i.Name != ref {
			continue
		}
		has := strings.Split(i.Platform, ",")
		if images.IsManifestType(desc.MediaType) || !slices.ContainsFunc(want, func(p string) bool { return !slices.Contains(has, p) }) {
			return &i, nil
		}
	}
	return nil, err
}

// fetchImage fetches an image for some platforms, with the attestations for these that its index has. If these are all
// manifests of the index, the index is kept; otherwise a smaller index replaces it, and the item has the digest of the
// original.
func (b *Bundle) fetchImage(ctx context.Context, desc ocispec.Descriptor, fetch func(ocispec.Descriptor) error, want []string) (Item, ocispec.Descriptor, error) {
	item := Item{Kind: KindImage}
	if err := fetch(desc); err != nil {
		return item, desc, err
	}
	if images.IsIndexType(desc.MediaType) {
		var err error
		if len(want) > 0 {
			item, desc, err = b.reduce(ctx, desc, want)
		} else {
			item.Platform, err = b.platformsOf(ctx, desc)
		}
		if err != nil {
			return item, desc, err
		}
	}
	item.Digest = desc.Digest
	seen := map[digest.Digest]bool{}
	var down func(ocispec.Descriptor) error
	down = func(d ocispec.Descriptor) error {
		if err := b.checkDescriptor(d); err != nil {
			return err
		}
		if seen[d.Digest] {
			return nil
		}
		seen[d.Digest] = true
		item.Size += d.Size
		if err := fetch(d); err != nil {
			return err
		}
		children, err := b.children(ctx, d)
		for _, child := range children {
			err = errors.Join(err, down(child))
			if err != nil {
				return err
			}
		}
		return err
	}
	return item, desc, down(desc)
}

// platformsOf returns the platforms of an index, with commas between them.
func (b *Bundle) platformsOf(ctx context.Context, desc ocispec.Descriptor) (string, error) {
	var index ocispec.Index
	if err := b.readJSON(ctx, desc, &index); err != nil {
		return "", err
	}
	var list []string
	for _, m := range index.Manifests {
		if m.Platform != nil && m.Platform.OS != "unknown" {
			list = append(list, platforms.Format(platforms.Normalize(*m.Platform)))
		}
	}
	return strings.Join(list, ","), nil
}

// reduce returns an index with the manifests of some platforms. All of these must be there.
func (b *Bundle) reduce(ctx context.Context, desc ocispec.Descriptor, want []string) (Item, ocispec.Descriptor, error) {
	item := Item{Kind: KindImage, Platform: strings.Join(want, ",")}
	var index ocispec.Index
	if err := b.readJSON(ctx, desc, &index); err != nil {
		return item, desc, err
	}
	keep := map[digest.Digest]bool{}
	var has []string
	for _, w := range want {
		p, err := platforms.Parse(w)
		if err != nil {
			return item, desc, fmt.Errorf("platform %q: %w", w, err)
		}
		best := -1
		for i, m := range index.Manifests {
			if m.Platform == nil || m.Platform.OS == "unknown" {
				continue
			}
			if !slices.Contains(has, platforms.Format(*m.Platform)) {
				has = append(has, platforms.Format(*m.Platform))
			}
			if platforms.Only(p).Match(*m.Platform) && (best < 0 || platforms.Only(p).Less(*m.Platform, *index.Manifests[best].Platform)) {
				best = i
			}
		}
		if best < 0 {
			return item, desc, fmt.Errorf("it isn't there for %s, only for %s: name other platforms with --platform", w, strings.Join(has, ", "))
		}
		keep[index.Manifests[best].Digest] = true
	}
	all := len(index.Manifests)
	index.Manifests = slices.DeleteFunc(index.Manifests, func(m ocispec.Descriptor) bool {
		return !keep[m.Digest] && !keep[digest.Digest(m.Annotations["vnd.docker.reference.digest"])]
	})
	if len(index.Manifests) == all {
		return item, desc, nil
	}
	item.From = desc.Digest
	data, err := json.Marshal(index)
	if err != nil {
		return item, desc, err
	}
	reduced, err := b.addBlob(ctx, desc.MediaType, data)
	return item, reduced, err
}

// fetchBlob gets a blob unless it is there. It continues an earlier run's download. If the result has the wrong digest,
// it fetches the blob anew, once. It calls at with the number of bytes that are there.
func (b *Bundle) fetchBlob(ctx context.Context, fetcher remotes.Fetcher, desc ocispec.Descriptor, at func(bytes int64)) error {
	if b.base != nil && b.base.has(ctx, desc) {
		return nil
	}
	whole, err := b.whole(ctx, desc)
	if err != nil || whole {
		return err
	}
	if refers(desc) && desc.Size > maxIndex {
		return fmt.Errorf("blob %s (%s) is said to have %d bytes: at most %d are read", desc.Digest, desc.MediaType, desc.Size, maxIndex)
	}
	desc.Annotations = nil // they would give one blob two places to be written to
	for again := true; ; again = false {
		err := b.ingest(ctx, remotes.MakeRefKey(ctx, desc), func(string) error { return remotes.Fetch(ctx, watchedStore{b.store, at}, fetcher, desc) })
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx) // which may be what another blob failed by
		case !errdefs.IsFailedPrecondition(err):
			if inner := errors.Unwrap(err); inner != nil && strings.HasPrefix(err.Error(), "failed to copy: ") {
				err = inner // containerd's words, which say no more
			}
			return fmt.Errorf("fetching blob %s: %w", desc.Digest, err)
		case !again:
			return fmt.Errorf("refusing blob %s: twice its registry sent other bytes than that digest is of: something on the way changes them, or the registry is damaged", desc.Digest)
		}
	}
}

// refers reports whether a blob is a manifest or an index. Only these refer to other blobs.
func refers(desc ocispec.Descriptor) bool {
	return images.IsManifestType(desc.MediaType) || images.IsIndexType(desc.MediaType)
}
