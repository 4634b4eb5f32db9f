package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// wholeType is the media type, in a manifest, of the original index of an image that has fewer platforms here. It isn't
// the type of an index, because the bundle lacks some blobs that the original leads to.
const wholeType = "application/vnd.larder.bundle.index.v1+json"

// pin returns the digest in the reference of an image, or "".
func pin(name string) digest.Digest {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	if d, ok := ref.(reference.Digested); ok {
		return d.Digest()
	}
	return ""
}

// whole returns the original index of an image whose reference has that index's digest, but which has fewer platforms
// here. With it a reader can see that the image belongs to the digest. For other images the result is empty.
func (c *creation) whole(ctx context.Context, item Item) (ocispec.Descriptor, error) {
	pinned := pin(item.Name)
	if pinned == "" || item.Digest == pinned {
		return ocispec.Descriptor{}, nil
	}
	from := slices.Clone(c.Bundles)
	if layouts, ok := c.Images.(Layouts); ok {
		from = append(from, layouts...)
	}
	if c.req.Since != nil {
		from = append(from, c.req.Since)
	}
	for _, b := range from {
		_, parts, err := b.manifest(ctx)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		for _, p := range parts {
			if p.whole.Digest == pinned && !c.b.inBase(ctx, p.whole) {
				return p.whole, c.b.copyBlob(ctx, b, p.whole)
			} else if p.whole.Digest == pinned {
				return p.whole, nil
			}
		}
	}
	info, err := c.b.store.Info(ctx, pinned) // it was fetched
	if err != nil || item.From != pinned {
		return ocispec.Descriptor{}, fmt.Errorf("it has the digest %s, and was taken from %q, not from the digest in its name", item.Digest, item.From)
	}
	return ocispec.Descriptor{MediaType: wholeType, Digest: pinned, Size: info.Size}, nil
}

// checkPin checks an image whose reference has a digest. It must have that digest, or come from the index of that
// digest with fewer platforms.
func (b *Bundle) checkPin(ctx context.Context, name string, desc ocispec.Descriptor) error {
	pinned := pin(name)
	if pinned == "" || desc.Digest == pinned {
		return nil
	}
	refuse := func(why string) error {
		return fmt.Errorf("%s: the image %s is none of the digest in its name: %s: don't use this bundle", b.dir, name, why)
	}
	_, parts, err := b.manifest(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(parts, func(p part) bool { return p.image == name && p.whole.Digest == pinned })
	if i < 0 || !images.IsIndexType(desc.MediaType) {
		return refuse("it has " + desc.Digest.String())
	}
	var whole, has ocispec.Index
	if err := b.readJSON(ctx, parts[i].whole, &whole); err != nil {
		return err
	}
	if err := b.readJSON(ctx, desc, &has); err != nil {
		return err
	}
	keep := map[digest.Digest]bool{}
	for _, m := range has.Manifests {
		keep[m.Digest] = true
	}
	whole.Manifests = slices.DeleteFunc(whole.Manifests, func(m ocispec.Descriptor) bool { return !keep[m.Digest] })
	data, err := json.Marshal(whole)
	if err == nil && (digest.FromBytes(data) != desc.Digest || whole.MediaType != desc.MediaType) {
		err = refuse("it has other manifests than that index, or says other things of them")
	}
	return err
}
