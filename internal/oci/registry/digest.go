package registry

import (
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
)

// maxManifest is the greatest size of a manifest that is read: registries accept no larger ones.
const maxManifest = 4 << 20

// Digest returns the digest of the manifest or index that a reference names now. It checks the digest in the registry's
// answer against the bytes.
func (c *Client) Digest(ctx context.Context, ref string) (digest.Digest, error) {
	name, desc, fetcher, err := c.Resolve(ctx, ref)
	if err != nil {
		return "", err
	}
	if err := desc.Digest.Validate(); err != nil {
		return "", fmt.Errorf("%s: the registry says that it has digest %q: %w", name, desc.Digest, err)
	}
	if !images.IsManifestType(desc.MediaType) && !images.IsIndexType(desc.MediaType) {
		return "", fmt.Errorf("%s is no image, but of the type %q", name, desc.MediaType)
	}
	r, err := fetcher.Fetch(quiet(ctx), desc)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return "", fmt.Errorf("%s: reading its manifest: %w", name, err)
	}
	if len(data) > maxManifest {
		return "", fmt.Errorf("%s: its manifest has over %d bytes", name, maxManifest)
	}
	if got := desc.Digest.Algorithm().FromBytes(data); got != desc.Digest {
		return "", fmt.Errorf("%s: the registry says that it has digest %s, and sends %s: don't use it", name, desc.Digest, got)
	}
	return desc.Digest, nil
}
