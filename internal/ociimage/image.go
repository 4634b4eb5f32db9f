package ociimage

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// referenceType marks what BuildKit puts into an index beside the images: attestations.
const (
	referenceType   = "vnd.docker.reference.type"
	referenceDigest = "vnd.docker.reference.digest"
)

// An Image is the image of one platform.
type Image struct {
	Digest   digest.Digest // of the manifest
	Platform string        // linux/amd64
	Manifest ocispec.Manifest
	Config   ocispec.Image

	layout *Layout
}

// Images returns the layout's images in the order of its indexes, each once; attestations are left out. A blob that
// is missing or isn't what its digest says is an error.
func (l *Layout) Images(ctx context.Context) ([]*Image, error) {
	return l.images(ctx, l.Index.Manifests, nil, 0)
}

func (l *Layout) images(ctx context.Context, descs []ocispec.Descriptor, found []*Image, depth int) ([]*Image, error) {
	if depth == maxDepth {
		return nil, fmt.Errorf("%s has indexes in indexes, %d deep", l.name, depth)
	}
	for _, desc := range descs {
		if isAttestation(desc) || slices.ContainsFunc(found, func(i *Image) bool { return i.Digest == desc.Digest }) {
			continue
		}
		var err error
		if isIndex(desc) {
			var index ocispec.Index
			if err = l.readBlob(ctx, desc, &index); err == nil {
				found, err = l.images(ctx, index.Manifests, found, depth+1)
			}
		} else {
			var image *Image
			image, err = l.image(ctx, desc)
			found = append(found, image)
		}
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func isIndex(desc ocispec.Descriptor) bool {
	return strings.Contains(desc.MediaType, "index") || strings.Contains(desc.MediaType, "manifest.list")
}

func isAttestation(desc ocispec.Descriptor) bool {
	unknown := desc.Platform != nil && desc.Platform.OS == "unknown" && desc.Platform.Architecture == "unknown"
	return unknown || desc.Annotations[referenceType] != ""
}

func (l *Layout) image(ctx context.Context, desc ocispec.Descriptor) (*Image, error) {
	image := &Image{Digest: desc.Digest, layout: l}
	if err := l.readBlob(ctx, desc, &image.Manifest); err != nil {
		return nil, err
	}
	if err := l.readBlob(ctx, image.Manifest.Config, &image.Config); err != nil {
		return nil, err
	}
	if n, m := len(image.Manifest.Layers), len(image.Config.RootFS.DiffIDs); n != m {
		return nil, fmt.Errorf("image %s in %s has %d layers in its manifest and %d in its config", desc.Digest, l.name, n, m)
	}
	image.Platform = platforms.Format(platforms.Normalize(image.Config.Platform))
	return image, nil
}

// Image returns the image for a platform, written as linux/arm64 or linux/arm/v7. The error lists those there are.
func (l *Layout) Image(ctx context.Context, platform string) (*Image, error) {
	want, err := platforms.Parse(platform)
	if err != nil {
		return nil, err
	}
	images, err := l.Images(ctx)
	if err != nil {
		return nil, err
	}
	var have []string
	for _, image := range images {
		if image.Platform == platforms.Format(platforms.Normalize(want)) {
			return image, nil
		}
		have = append(have, image.Platform)
	}
	return nil, fmt.Errorf("%s has no image for %s: it has %s", l.name, platform, strings.Join(have, ", "))
}
