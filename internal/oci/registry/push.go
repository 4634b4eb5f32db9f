package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Repository is a repository to push to. It speaks the distribution protocol itself: if containerd's pusher can't get
// a token, it waits for ever for a reader of its pipe.
type Repository struct {
	access *access
	tag    string
	mounts []*access
}

// Repository returns the repository that a reference names. The method Tag returns the reference's tag, which is latest
// if there is none. If one of the repositories mountFrom, which must be in the same registry, has a blob, the registry
// takes the blob from there.
func (c *Client) Repository(ref string, mountFrom ...string) (*Repository, error) {
	named, err := parse(ref)
	if err != nil {
		return nil, err
	}
	tagged, ok := named.(reference.NamedTagged)
	if _, digested := named.(reference.Digested); !ok || digested {
		return nil, fmt.Errorf("%s names what is there by its digest: push to a tag, such as %s:latest", ref, named.Name())
	}
	r := &Repository{access: c.access(named), tag: tagged.Tag()}
	for _, m := range mountFrom {
		from, err := parse(m)
		if err != nil {
			return nil, err
		}
		if reference.Domain(from) != reference.Domain(named) {
			return nil, fmt.Errorf("blobs of %s can't be mounted into %s: name a repository of %s", m, named.Name(), reference.Domain(named))
		}
		r.mounts = append(r.mounts, c.access(from))
	}
	return r, nil
}

// Name returns the repository's full name.
func (r *Repository) Name() string { return r.access.named.Name() }

// Tag returns the tag of the reference.
func (r *Repository) Tag() string { return r.tag }

// Push stores a blob or a manifest, unless it is there already, and reports whether it was sent. A manifest also gets
// the tag, if that isn't "".
func (r *Repository) Push(ctx context.Context, desc ocispec.Descriptor, data io.ReaderAt, tag string) (sent bool, err error) {
	ctx = docker.WithScope(quiet(ctx), "repository:"+reference.Path(r.access.named)+":pull,push")
	send := r.blob
	if images.IsManifestType(desc.MediaType) || images.IsIndexType(desc.MediaType) {
		send = func(ctx context.Context, desc ocispec.Descriptor, data io.ReaderAt) (bool, error) {
			return r.manifest(ctx, desc, data, tag)
		}
	}
	err = r.access.client.Policy.Retry(ctx, func() (err error) {
		sent, err = send(ctx, desc, data)
		return unwrapped(err)
	})
	if err != nil {
		return false, r.access.explain(ctx, err)
	}
	return sent, nil
}

// blob pushes a blob in one piece. A failed try leaves an upload that the registry will remove by itself.
func (r *Repository) blob(ctx context.Context, desc ocispec.Descriptor, data io.ReaderAt) (sent bool, err error) {
	there, err := r.access.exists(ctx, "blobs/"+desc.Digest.String(), desc)
	if there || err != nil {
		return false, err
	}
	to, err := r.begin(ctx, desc)
	if to == nil || err != nil {
		return false, err
	}
	if to.RawQuery != "" {
		to.RawQuery += "&"
	}
	to.RawQuery += "digest=" + url.QueryEscape(desc.Digest.String())
	resp, err := r.access.do(ctx, request{method: http.MethodPut, url: to, mediaType: "application/octet-stream", body: data, size: desc.Size})
	if err != nil {
		return false, err
	}
	return true, expect(resp, http.StatusCreated, http.StatusOK, http.StatusNoContent)
}

// begin starts an upload and returns its URL, or nil if the registry took the blob from another repository.
func (r *Repository) begin(ctx context.Context, desc ocispec.Descriptor) (*url.URL, error) {
	u, err := r.access.url("blobs/uploads/")
	if err != nil {
		return nil, err
	}
	if from := r.holder(ctx, desc); from != "" {
		to, err := r.mount(ctx, *u, desc, from)
		if err == nil || ctx.Err() != nil {
			return to, err
		}
	} // a registry that refuses to mount takes the blob from here
	resp, err := r.access.do(ctx, request{method: http.MethodPost, url: u})
	if err != nil {
		return nil, err
	}
	if err := expect(resp, http.StatusAccepted, http.StatusOK, http.StatusNoContent); err != nil {
		return nil, err
	}
	return location(resp)
}

// location returns the URL of an upload.
func location(resp *http.Response) (*url.URL, error) {
	to, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("%s doesn't say where the upload goes to: %w", resp.Request.URL.Host, err)
	}
	return to, nil
}

// mount is like begin, but asks the registry to take the blob from another repository.
func (r *Repository) mount(ctx context.Context, u url.URL, desc ocispec.Descriptor, from string) (*url.URL, error) {
	u.RawQuery = url.Values{"mount": {desc.Digest.String()}, "from": {from}}.Encode()
	resp, err := r.access.do(docker.ContextWithAppendPullRepositoryScope(ctx, from), request{method: http.MethodPost, url: &u})
	if err != nil {
		return nil, err
	}
	if err := expect(resp, http.StatusCreated, http.StatusAccepted); err != nil || resp.StatusCode == http.StatusCreated {
		return nil, err
	}
	return location(resp)
}

// holder returns the path of a repository that has a blob, or "" if none has it.
func (r *Repository) holder(ctx context.Context, desc ocispec.Descriptor) string {
	for _, m := range r.mounts {
		path := reference.Path(m.named)
		if there, err := m.exists(docker.ContextWithAppendPullRepositoryScope(ctx, path), "blobs/"+desc.Digest.String(), desc); there && err == nil {
			return path
		}
	}
	return ""
}

func (r *Repository) manifest(ctx context.Context, desc ocispec.Descriptor, data io.ReaderAt, tag string) (sent bool, err error) {
	name := tag
	if tag == "" {
		name = desc.Digest.String()
	}
	there, err := r.access.exists(ctx, "manifests/"+name, desc)
	if there || err != nil {
		return false, err
	}
	u, err := r.access.url("manifests/" + name)
	if err != nil {
		return false, err
	}
	resp, err := r.access.do(ctx, request{method: http.MethodPut, url: u, mediaType: desc.MediaType, body: data, size: desc.Size})
	if err != nil {
		return false, err
	}
	return true, expect(resp, http.StatusCreated, http.StatusOK, http.StatusNoContent)
}

// exists reports whether a blob, or a manifest by its digest or tag, is there and matches desc.
func (a *access) exists(ctx context.Context, path string, desc ocispec.Descriptor) (bool, error) {
	u, err := a.url(path)
	if err != nil {
		return false, err
	}
	resp, err := a.do(ctx, request{method: http.MethodHead, url: u, accept: desc.MediaType})
	if err != nil {
		return false, err
	}
	if err := expect(resp, http.StatusOK, http.StatusNotFound); err != nil || resp.StatusCode == http.StatusNotFound {
		return false, err
	}
	return strings.HasSuffix(path, desc.Digest.String()) || resp.Header.Get("Docker-Content-Digest") == desc.Digest.String(), nil
}
