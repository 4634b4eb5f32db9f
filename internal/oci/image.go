package oci

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// These are the values with which BuildKit marks its attestations in an index, beside the images. Runtimes look at none
// of this but the platform.
const (
	referenceType   = "vnd.docker.reference.type"
	referenceDigest = "vnd.docker.reference.digest"
	attestation     = "attestation-manifest"
	unknown         = "unknown"
)

// An Image is the image of one platform.
type Image struct {
	Digest   digest.Digest // of the manifest
	Platform string        // linux/amd64
	Manifest ocispec.Manifest
	Config   ocispec.Image

	layout       *Layout
	attestations []ocispec.Descriptor // their manifests
}

// Images returns the layout's images in the order of its indexes, each once; attestations are left out. A blob that
// is missing or doesn't match its digest is an error. So is everything that readers might understand differently: a
// document that doesn't match its media type, two images between which a runtime could choose, an image for another
// platform than its index says.
//
// What is an attestation is decided by what runtimes go by: one that they could run is an image, whatever it is marked as.
func (l *Layout) Images(ctx context.Context) ([]*Image, error) {
	w := walk{layout: l, seen: map[digest.Digest]ocispec.Descriptor{}, runs: map[string]*Image{}}
	if err := w.all(ctx, l.Index.Manifests, 0); err != nil {
		return nil, err
	}
	return w.found, nil
}

const (
	maxDepth = 4    // indexes in indexes
	maxSeen  = 1000 // manifests and indexes in a layout
)

// A walk finds the images of a layout.
type walk struct {
	layout *Layout
	seen   map[digest.Digest]ocispec.Descriptor
	found  []*Image
	runs   map[string]*Image // by what runtimes choose one by
}

// all finds the images of an index.
func (w *walk) all(ctx context.Context, descs []ocispec.Descriptor, depth int) error {
	if depth == maxDepth {
		return fmt.Errorf("%s has indexes in indexes, %d deep: expected an index of images", w.layout.name, depth)
	}
	about := map[digest.Digest][]ocispec.Descriptor{}
	first := len(w.found)
	for _, desc := range descs {
		if isAttestation(desc, descs) {
			about[digest.Digest(desc.Annotations[referenceDigest])] = append(about[digest.Digest(desc.Annotations[referenceDigest])], desc)
			continue
		}
		if err := w.one(ctx, desc, depth); err != nil {
			return err
		}
	}
	for _, image := range w.found[first:] {
		image.attestations = append(image.attestations, about[image.Digest]...)
	}
	return nil
}

// one finds the images of an entry of an index. An entry may occur twice, for example with two names.
func (w *walk) one(ctx context.Context, desc ocispec.Descriptor, depth int) error {
	if before, ok := w.seen[desc.Digest]; ok && before.MediaType == desc.MediaType && reflect.DeepEqual(before.Platform, desc.Platform) {
		return nil
	}
	if len(w.seen) == maxSeen {
		return fmt.Errorf("%s has more than %d images: expected those of one build", w.layout.name, maxSeen)
	}
	w.seen[desc.Digest] = desc
	switch {
	case images.IsIndexType(desc.MediaType):
		var index ocispec.Index
		if err := w.layout.readDocument(ctx, desc, &index); err != nil {
			return err
		}
		return w.all(ctx, index.Manifests, depth+1)
	case images.IsManifestType(desc.MediaType):
		image, err := w.layout.image(ctx, desc)
		if err != nil {
			return err
		}
		return w.add(image)
	}
	return fmt.Errorf("%s in %s has the media type %q: expected an image manifest or an index", desc.Digest, w.layout.name, desc.MediaType)
}

// add adds an image, unless a runtime could take it instead of another one.
func (w *walk) add(image *Image) error {
	as := chosenBy(image.Config.Platform)
	if other := w.runs[as]; other != nil {
		return fmt.Errorf("%s and %s in %s are both for %s, and a runtime takes one of them: expected one image for each platform", other.Digest, image.Digest, w.layout.name, image.Platform)
	}
	w.runs[as] = image
	w.found = append(w.found, image)
	return nil
}

// isAttestation reports whether an entry of an index is an attestation about another entry. No runtime takes it for an
// image, because no machine has its platform.
func isAttestation(desc ocispec.Descriptor, index []ocispec.Descriptor) bool {
	if !images.IsManifestType(desc.MediaType) || !ofNoMachine(desc) || desc.Annotations[referenceType] != attestation {
		return false
	}
	for _, sibling := range index {
		if sibling.Digest.String() == desc.Annotations[referenceDigest] && sibling.Digest != desc.Digest && !ofNoMachine(sibling) {
			return true
		}
	}
	return false
}

func ofNoMachine(desc ocispec.Descriptor) bool {
	return desc.Platform != nil && desc.Platform.OS == unknown && desc.Platform.Architecture == unknown
}

func (l *Layout) image(ctx context.Context, desc ocispec.Descriptor) (*Image, error) {
	image := &Image{Digest: desc.Digest, layout: l}
	if err := l.readDocument(ctx, desc, &image.Manifest); err != nil {
		return nil, err
	}
	if !images.IsConfigType(image.Manifest.Config.MediaType) {
		return nil, fmt.Errorf("image %s in %s has a config of the media type %q: expected an image's", desc.Digest, l.name, image.Manifest.Config.MediaType)
	}
	for _, layer := range image.Manifest.Layers {
		if !images.IsLayerType(layer.MediaType) {
			return nil, fmt.Errorf("image %s in %s has a layer of the media type %q: expected a tar archive of an image's", desc.Digest, l.name, layer.MediaType)
		}
	}
	if err := l.readDocument(ctx, image.Manifest.Config, &image.Config); err != nil {
		return nil, err
	}
	if n, m := len(image.Manifest.Layers), len(image.Config.RootFS.DiffIDs); n != m {
		return nil, fmt.Errorf("image %s in %s has %d layers in its manifest and %d in its config", desc.Digest, l.name, n, m)
	}
	if err := checkPlatform(desc.Platform, image.Config.Platform); err != nil {
		return nil, fmt.Errorf("image %s in %s: %w", desc.Digest, l.name, err)
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
