package bundle

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Attachments has what a bundle carries beside the images of one repository: signatures, which are images of the bundle by
// their own references, REPOSITORY:TAG and REPOSITORY@DIGEST. A delta has them if it has the images.
type Attachments struct {
	b          *Bundle
	repository string
}

// Attachments returns what is carried beside the images of a repository, which is named in full.
func (b *Bundle) Attachments(repository string) Attachments { return Attachments{b, repository} }

// Manifest returns a manifest by its tag or digest. The error is errdefs.ErrNotFound if the bundle has no image of that
// reference.
func (a Attachments) Manifest(ctx context.Context, name string) (ocispec.Descriptor, []byte, error) {
	ref := a.repository + ":" + name
	if _, err := digest.Parse(name); err == nil {
		ref = a.repository + "@" + name
	}
	desc, ok := a.b.Images()[ref]
	if !ok {
		return desc, nil, fmt.Errorf("%s has no %s: %w", a.b.dir, ref, errdefs.ErrNotFound)
	}
	data, err := a.b.readBlob(ctx, desc)
	return desc, data, err
}

// Blob returns a blob of at most limit bytes.
func (a Attachments) Blob(ctx context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := a.b.checkDescriptor(desc); err != nil {
		return nil, err
	}
	if desc.Size < 0 || desc.Size > limit {
		return nil, fmt.Errorf("%s: blob %s has %d bytes: expected at most %d", a.b.dir, desc.Digest, desc.Size, limit)
	}
	return a.b.readBlob(ctx, desc)
}

// Referrers returns the manifests of the repository that say that they refer to another one.
func (a Attachments) Referrers(ctx context.Context, subject digest.Digest) (list []ocispec.Descriptor, err error) {
	for _, desc := range a.b.index.Manifests {
		if !strings.HasPrefix(refName(desc), a.repository+"@") || !images.IsManifestType(desc.MediaType) {
			continue
		}
		m, err := a.b.attached(ctx, desc)
		if err != nil {
			return nil, err
		}
		if m.Subject != nil && m.Subject.Digest == subject {
			list = append(list, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size, ArtifactType: m.ArtifactType})
		}
	}
	return list, nil
}

func (b *Bundle) attached(ctx context.Context, desc ocispec.Descriptor) (m ocispec.Manifest, err error) {
	data, err := b.readBlob(ctx, desc)
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	return m, err
}

// signatureTag is the tag of an image's signatures in cosign's older format.
var signatureTag = regexp.MustCompile(`:sha256-[0-9a-f]{64}\.sig$`)

// IsAttachment reports whether an image of the bundle is a signature, which no runtime runs, rather than an image.
func (b *Bundle) IsAttachment(ctx context.Context, name string) (bool, error) {
	desc, ok := b.Images()[name]
	if !ok || !images.IsManifestType(desc.MediaType) {
		return false, nil
	}
	m, err := b.attached(ctx, desc)
	if err != nil {
		return false, err
	}
	if signatureTag.MatchString(name) {
		return true, nil
	}
	return m.Subject != nil && m.Config.MediaType == ocispec.MediaTypeEmptyJSON, nil
}
