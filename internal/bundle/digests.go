package bundle

import (
	"cmp"
	"context"
	"fmt"
	"go/version"
	"strings"

	"github.com/opencontainers/go-digest"
)

// DigestOf returns the digest that an image has in its registry, as far as the bundle knows. It is the digest of the
// index, even if the bundle has only some of its platforms. The name is a full reference with a tag and without a
// digest; the bundle may have the image under that name, or under the one with a digest.
func (b *Bundle) DigestOf(ctx context.Context, name string) (found digest.Digest, err error) {
	items, err := b.Items(ctx)
	if err != nil {
		return "", err
	}
	for _, i := range items {
		tagged, pinned, _ := strings.Cut(i.Name, "@")
		if i.Kind != KindImage || tagged != name {
			continue
		}
		desc, ok := b.Images()[i.Name]
		if !ok || desc.Digest != i.Digest {
			return "", fmt.Errorf("%s: the manifest lists the image %s as %s, and the bundle has %q: don't use this bundle", b.dir, i.Name, i.Digest, desc.Digest)
		}
		if err := b.checkPin(ctx, i.Name, desc); err != nil {
			return "", err
		}
		d := cmp.Or(digest.Digest(pinned), i.From, i.Digest)
		if err := d.Validate(); err != nil {
			return "", fmt.Errorf("%s: the manifest says that the image %s was taken from %q: %w", b.dir, i.Name, d, err)
		}
		if found != "" && found != d {
			return "", fmt.Errorf("%s has two images %s, %s and %s: which one is meant?", b.dir, name, found, d)
		}
		found = d
	}
	if found == "" {
		return "", fmt.Errorf("%s has no image %s: add it with 'larder bundle create'", b.dir, name)
	}
	return found, nil
}

// NewestRelease returns the newest Go release of a language version for which the bundle has a toolchain: go1.26.10 of
// go1.26.
func (b *Bundle) NewestRelease(ctx context.Context, lang string) (newest string, err error) {
	items, err := b.Items(ctx)
	for _, i := range items {
		if i.Kind == KindToolchain && version.Lang(i.Version) == lang && version.Compare(i.Version, newest) > 0 {
			newest = i.Version
		}
	}
	if err == nil && newest == "" {
		err = fmt.Errorf("%s has no toolchain of %s: add it with 'larder bundle create --go %s'", b.dir, lang, strings.TrimPrefix(lang, "go"))
	}
	return newest, err
}
