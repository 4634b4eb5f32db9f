// Package registry gets images from registries and pushes images to them, over networks that fail. It uses the protocol
// of containerd's resolver and adds what that lacks: waits that end, downloads that continue where they broke off,
// credentials that stay with their host, and errors that say what to do.
package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/log"
	"github.com/distribution/reference"
	"github.com/docker/cli/cli/config/configfile"
	"github.com/larder-build/larder/internal/fetch"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
)

// Options say which certificates to trust, and which credentials to use.
type Options struct {
	Docker    *configfile.ConfigFile // has the logins, or names the credential helpers that have them; nil for none
	CA        string                 // a file of certificate authorities beside the system's; "" for none
	PlainHTTP []string               // registries without TLS, as HOST or HOST:PORT; those on loopback never need it
}

// A Client talks to registries. Several goroutines may call its methods; its fields may be changed only before the
// first call.
type Client struct {
	Policy fetch.Policy // of requests, and of blobs that a request didn't bring whole

	http   *http.Client
	docker *configfile.ConfigFile
	plain  []string
	mu     sync.Mutex
	users  map[string]string // whom a login was found for, by host
}

// NewClient returns a client. It uses the HTTP proxies that the usual variables name.
func NewClient(o Options) (*Client, error) {
	base, err := fetch.NewTransport(o.CA, nil)
	if err != nil {
		return nil, err
	}
	c := &Client{docker: o.Docker, plain: o.PlainHTTP, Policy: fetch.DefaultPolicy(), users: map[string]string{}}
	c.Policy.HeadWait = 2 * time.Minute // a registry reads a large blob again before it takes it
	c.http = &http.Client{CheckRedirect: checkRedirect, Transport: &transport{client: c, base: base}}
	return c, nil
}

// isPlain reports whether a host is talked to without TLS.
func (c *Client) isPlain(host string) (bool, error) {
	if slices.Contains(c.plain, host) {
		return true, nil
	}
	return docker.MatchLocalhost(host)
}

// parse reads a reference as docker does: "alpine" is docker.io/library/alpine:latest.
func parse(ref string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, fmt.Errorf("%q is not the name of an image, such as alpine:3.22 or registry.example/team/app:v1: %w", ref, err)
	}
	return reference.TagNameOnly(named), nil
}

// Resolve returns the full name of an image, its manifest or index, and a fetcher of its blobs.
func (c *Client) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, remotes.Fetcher, error) {
	named, err := parse(ref)
	if err != nil {
		return "", ocispec.Descriptor{}, nil, err
	}
	ctx = quiet(ctx)
	a := c.access(named)
	r := a.resolver()
	_, desc, err := r.Resolve(ctx, named.String())
	if err != nil {
		return "", ocispec.Descriptor{}, nil, a.explain(ctx, err)
	}
	f, err := r.Fetcher(ctx, named.String())
	return named.String(), desc, fetcher{a, f}, err
}

// quiet keeps containerd from logging what errors report already.
func quiet(ctx context.Context) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return log.WithLogger(ctx, logrus.NewEntry(l))
}

// login returns user and password, or "" and a token, that docker's config has for a host. They are sent only to that
// host, and to the token server that it names.
func (c *Client) login(host string) (user, secret string, err error) {
	if c.docker == nil {
		return "", "", nil
	}
	if host == "registry-1.docker.io" {
		host = "docker.io"
	}
	c.mu.Lock() // one helper at a time may ask its user, and docker's config is not for several
	defer c.mu.Unlock()
	auth, err := c.docker.GetAuthConfig(host)
	if err != nil {
		return "", "", plainError{fmt.Errorf("the login for %s: docker's credential helper: %w", host, fetch.OneLine(err))}
	}
	user, secret = auth.Username, auth.Password
	if auth.IdentityToken != "" {
		user, secret = "", auth.IdentityToken
	}
	if secret != "" {
		c.users[host] = auth.Username
	}
	return user, secret, nil
}

// userOf returns the user of the login for a host.
func (c *Client) userOf(host string) (user string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	user, known = c.users[host]
	return user, known
}
