package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteserrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/distribution/reference"
)

// access is what one image, or one repository, is reached by, and the tokens for it.
type access struct {
	client *Client
	named  reference.Named
	hosts  docker.RegistryHosts
	auth   docker.Authorizer
}

// access has its own tokens for each image: containerd's authorizer would ask for one that is good for all repositories
// that it was used for, which a registry may refuse as a whole.
func (c *Client) access(named reference.Named) *access {
	auth := docker.NewDockerAuthorizer(docker.WithAuthClient(c.http), docker.WithAuthCreds(c.login))
	hosts := docker.ConfigureDefaultRegistries(docker.WithClient(c.http), docker.WithPlainHTTP(c.isPlain), docker.WithAuthorizer(auth))
	return &access{c, named, hosts, auth}
}

func (a *access) resolver() remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: a.hosts})
}

// host returns the registry's name for messages.
func (a *access) host() string { return reference.Domain(a.named) }

// url returns the URL of something in the repository.
func (a *access) url(path string) (*url.URL, error) {
	hosts, err := a.hosts(a.host())
	if err != nil {
		return nil, err
	}
	h := hosts[0]
	return &url.URL{Scheme: h.Scheme, Host: h.Host, Path: h.Path + "/" + reference.Path(a.named) + "/" + path}, nil
}

// A request is one that may be made twice: without a token, and with it.
type request struct {
	method    string
	url       *url.URL
	accept    string
	mediaType string // of the body
	body      io.ReaderAt
	size      int64
}

func (r request) build(ctx context.Context) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), nil)
	if err != nil {
		return nil, err
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept+", */*")
	}
	if r.body != nil {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r.body, 0, r.size)), nil }
		req.Body, _ = req.GetBody() // it doesn't fail
		req.ContentLength = r.size
		req.Header.Set("Content-Type", r.mediaType)
	}
	return req, nil
}

// do makes a request, with the token or login that the registry asks for.
func (a *access) do(ctx context.Context, r request) (*http.Response, error) {
	var seen []*http.Response
	for {
		req, err := r.build(ctx)
		if err != nil {
			return nil, err
		}
		if err := a.auth.Authorize(ctx, req); err != nil {
			return nil, err
		}
		resp, err := a.client.http.Do(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || len(seen) == 2 {
			return resp, err
		}
		seen = append(seen, resp)
		if err := a.auth.AddResponses(ctx, seen); err != nil {
			return nil, fmt.Errorf("%w: %w", err, expect(resp))
		}
		if err := resp.Body.Close(); err != nil {
			return nil, err
		}
	}
}

// expect closes an answer, which is an error unless it has one of the codes.
func expect(resp *http.Response, codes ...int) error {
	defer resp.Body.Close()
	if !slices.Contains(codes, resp.StatusCode) {
		return remoteserrors.NewUnexpectedStatusErr(resp)
	}
	return nil
}
