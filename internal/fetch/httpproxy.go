package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"golang.org/x/net/http/httpproxy"
)

// throughProxies makes a transport use the HTTP proxies that the usual variables name. If a proxy's URL has no user and
// password, it gets those that creds has for it.
func throughProxies(t *http.Transport, creds Credentials) {
	choose := httpproxy.FromEnvironment().ProxyFunc()
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		u, err := choose(r.URL)
		if err != nil || u == nil || u.User != nil {
			return u, err
		}
		let := *u
		let.User = creds.Proxy(u)
		return &let, nil
	}
	t.OnProxyConnectResponse = func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
		if resp.StatusCode == http.StatusProxyAuthRequired {
			return errProxyRefuses
		}
		return nil
	}
}

// errProxyRefuses says that an HTTP proxy requires a user and password, or doesn't accept those that it got. It leaves
// out the proxy's own text, which may repeat them.
var errProxyRefuses = errors.New("the HTTP proxy answered 407 Proxy Authentication Required")
