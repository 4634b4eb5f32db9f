package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxReferrers is how many manifests that refer to one image are looked at.
const maxReferrers = 200

// RepositoryOf returns the repository that a reference is in, whether that has a tag, a digest or neither. Nothing is pushed
// there under a tag but by name.
func (c *Client) RepositoryOf(ref string) (*Repository, error) {
	named, err := parse(ref)
	if err != nil {
		return nil, err
	}
	return &Repository{access: c.access(reference.TrimNamed(named))}, nil
}

// Manifest returns a manifest or an index by its tag or digest, and what it is. The error is errdefs.ErrNotFound if there is
// none.
func (r *Repository) Manifest(ctx context.Context, name string) (ocispec.Descriptor, []byte, error) {
	data, mediaType, err := r.get(ctx, "manifests/"+name, maxManifest, ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex)
	if err != nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("%s: manifest %s: %w", r.Name(), name, err)
	}
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if want, err := digest.Parse(name); err == nil {
		if desc.Digest = want.Algorithm().FromBytes(data); desc.Digest != want {
			return ocispec.Descriptor{}, nil, fmt.Errorf("%s: asked for the manifest %s, and the registry sends %s: don't use it", r.Name(), want, desc.Digest)
		}
	}
	return desc, data, nil
}

// Blob returns a blob of at most limit bytes, checked against its digest.
func (r *Repository) Blob(ctx context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error) {
	if err := desc.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("%s: blob %q: %w", r.Name(), desc.Digest, err)
	}
	if desc.Size < 0 || desc.Size > limit {
		return nil, fmt.Errorf("%s: blob %s has %d bytes: expected at most %d", r.Name(), desc.Digest, desc.Size, limit)
	}
	data, _, err := r.get(ctx, "blobs/"+desc.Digest.String(), desc.Size)
	if err == nil && (int64(len(data)) != desc.Size || desc.Digest.Algorithm().FromBytes(data) != desc.Digest) {
		err = errors.New("the registry sends something else than its digest and size say: don't use it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: blob %s: %w", r.Name(), desc.Digest, err)
	}
	return data, nil
}

// Referrers returns what the registry says to refer to a manifest. A registry without the API has it under a tag:
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-referrers.
func (r *Repository) Referrers(ctx context.Context, subject digest.Digest) ([]ocispec.Descriptor, error) {
	list, _, err := r.referrers(ctx, subject)
	return list, err
}

// referrers also says whether the registry keeps the list itself.
func (r *Repository) referrers(ctx context.Context, subject digest.Digest) (list []ocispec.Descriptor, kept bool, err error) {
	data, mediaType, err := r.get(ctx, "referrers/"+subject.String(), maxManifest, ocispec.MediaTypeImageIndex)
	kept = err == nil && mediaType == ocispec.MediaTypeImageIndex
	if !kept {
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, false, fmt.Errorf("%s: what refers to %s: %w", r.Name(), subject, err)
		}
		if _, data, err = r.Manifest(ctx, referrersTag(subject)); errdefs.IsNotFound(err) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
	}
	var index ocispec.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, kept, fmt.Errorf("%s: the list of what refers to %s: %w", r.Name(), subject, err)
	}
	if len(index.Manifests) > maxReferrers {
		return nil, kept, fmt.Errorf("%s: %d manifests refer to %s: expected at most %d", r.Name(), len(index.Manifests), subject, maxReferrers)
	}
	return index.Manifests, kept, nil
}

// referrersTag is the tag of the list of what refers to a manifest.
func referrersTag(subject digest.Digest) string {
	return strings.Replace(subject.String(), ":", "-", 1)
}

// Refer pushes a manifest that has a subject, whose blobs are there already, and has it listed among the subject's referrers.
func (r *Repository) Refer(ctx context.Context, m ocispec.Manifest) (ocispec.Descriptor, error) {
	desc, err := r.pushJSON(ctx, ocispec.MediaTypeImageManifest, m, "")
	if err != nil {
		return desc, err
	}
	list, kept, err := r.referrers(ctx, m.Subject.Digest)
	if kept || err != nil {
		return desc, err
	}
	desc.ArtifactType, desc.Annotations = m.ArtifactType, m.Annotations
	if slices.ContainsFunc(list, func(d ocispec.Descriptor) bool { return d.Digest == desc.Digest }) {
		return desc, nil
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: append(list, desc)}
	_, err = r.pushJSON(ctx, ocispec.MediaTypeImageIndex, index, referrersTag(m.Subject.Digest))
	return desc, err
}

func (r *Repository) pushJSON(ctx context.Context, mediaType string, v any, tag string) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return r.PushBytes(ctx, mediaType, data, tag)
}

// PushBytes is Push of what is in memory.
func (r *Repository) PushBytes(ctx context.Context, mediaType string, data []byte, tag string) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	_, err := r.Push(ctx, desc, bytes.NewReader(data), tag)
	return desc, err
}

// get returns what is at a path of the repository, and its media type.
func (r *Repository) get(ctx context.Context, path string, limit int64, accept ...string) (data []byte, mediaType string, err error) {
	ctx = docker.WithScope(quiet(ctx), "repository:"+reference.Path(r.access.named)+":pull")
	u, err := r.access.url(path)
	if err != nil {
		return nil, "", err
	}
	resp, err := r.access.do(ctx, request{method: http.MethodGet, url: u, accept: strings.Join(accept, ", ")})
	if err != nil {
		return nil, "", r.access.explain(ctx, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, "", errdefs.ErrNotFound
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", r.access.explain(ctx, expect(resp))
	}
	data, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it has more than %d bytes", limit)
	}
	mediaType, _, _ = strings.Cut(resp.Header.Get("Content-Type"), ";")
	return data, mediaType, err
}
