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

// access gives access to one image, or one repository, and keeps its tokens.
type access struct {
	client *Client
	named  reference.Named
	hosts  docker.RegistryHosts
	auth   docker.Authorizer
}

// access returns an access to an image with tokens of its own. Otherwise containerd's authorizer would ask for one
// token for all repositories that it was used for, which a registry may refuse as a whole.
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

// url returns the URL of a path in the repository.
func (a *access) url(path string) (*url.URL, error) {
	hosts, err := a.hosts(a.host())
	if err != nil {
		return nil, err
	}
	h := hosts[0]
	return &url.URL{Scheme: h.Scheme, Host: h.Host, Path: h.Path + "/" + reference.Path(a.named) + "/" + path}, nil
}

// A request is a request that may be sent twice: without a token, and with one.
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

// do sends a request, with the token or login that the registry requires.
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

// expect closes an answer, and returns an error unless its status is one of the codes.
func expect(resp *http.Response, codes ...int) error {
	defer resp.Body.Close()
	if !slices.Contains(codes, resp.StatusCode) {
		return remoteserrors.NewUnexpectedStatusErr(resp)
	}
	return nil
}
