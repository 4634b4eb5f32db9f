package request

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/redact"
	"github.com/moby/buildkit/client"
)

// FileProxies returns the folders of the file:// entries of a GOPROXY list, by
// the name of their context. A build can't see the client's folders, so each
// is sent as a context. It refuses an entry that isn't an absolute path, and
// one that carries a password: the list is a build argument, which is seen in
// logs and keys.
func FileProxies(goproxy string) (map[string]string, error) {
	out := map[string]string{}
	for _, proxy := range gomod.ParseProxies(goproxy) {
		path, err := proxyFolder(proxy)
		if err != nil {
			return nil, fmt.Errorf("GOPROXY: entry %d: %w", proxy.Position, err)
		}
		if path != "" {
			out[planner.ProxyContext(proxy.Position-1)] = path
		}
	}
	return out, nil
}

// proxyFolder returns the folder of one entry, or "" if the entry isn't a file:// URL.
func proxyFolder(proxy gomod.Proxy) (string, error) {
	u := proxy.URL
	switch {
	case proxy.Word != "":
		return "", nil
	case u == nil:
		return "", errors.New("not a URL")
	}
	if _, ok := u.User.Password(); ok {
		return "", fmt.Errorf("%s carries a password, and a build argument isn't secret: leave the password out of GOPROXY", redact.URL(proxy.Text))
	}
	switch {
	case u.Scheme != "file":
		return "", nil
	case (u.Host != "" && u.Host != "localhost") || !filepath.IsAbs(u.Path):
		return "", fmt.Errorf("%s: give an absolute path, file:///PATH", proxy.Text)
	}
	return filepath.FromSlash(u.Path), nil
}

// addFileProxies adds the folders of a GOPROXY list as contexts. It doesn't
// replace a context of the same name that the user gave.
func addFileProxies(so *client.SolveOpt, goproxy string) error {
	dirs, err := FileProxies(goproxy)
	if err != nil {
		return err
	}
	for name, path := range dirs {
		if _, given := so.FrontendAttrs["context:"+name]; given {
			continue
		}
		dir, err := openDir(path)
		if err != nil {
			return fmt.Errorf("GOPROXY entry file://%s: %w", path, err)
		}
		so.LocalMounts[name] = dir
		so.FrontendAttrs["context:"+name] = "local:" + name
		so.FrontendAttrs["sharedkey:localdir:"+name] = sharedKey(path)
	}
	return nil
}
