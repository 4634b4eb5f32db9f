package request

import (
	"context"
	"maps"
	"net/url"
	"strings"
	"sync"

	"github.com/larder-build/larder/internal/cli/gitfs"
)

// vcs returns source, revision and version of the git working tree that dir
// is in, each if it is known. It doesn't fail if there is no git or no
// repository.
func vcs(ctx context.Context, dir string) map[string]string {
	ask := func(args ...string) func() string {
		return func() string { return git(ctx, dir, args...) }
	}
	out := atOnce(map[string]func() string{
		"revision": ask("rev-parse", "--verify", "--quiet", "HEAD"),
		"version":  ask("describe", "--tags", "--exact-match", "HEAD"),
		"source":   ask("config", "--get", "remote.origin.url"),
	})
	maps.DeleteFunc(out, func(_, fact string) bool { return fact == "" })
	if out["revision"] == "" {
		return nil // no commit: a remote alone says nothing of these files
	}
	if src := sourceURL(out["source"]); src != "" {
		out["source"] = src
	} else {
		delete(out, "source")
	}
	return out
}

// atOnce calls functions, which wait for processes, at the same time, and returns their results by name.
func atOnce(facts map[string]func() string) map[string]string {
	var (
		all sync.WaitGroup
		mu  sync.Mutex
		out = map[string]string{}
	)
	for name, fact := range facts {
		all.Go(func() {
			text := fact()
			mu.Lock()
			defer mu.Unlock()
			out[name] = text
		})
	}
	all.Wait()
	return out
}

// git runs a query that reads the repository and runs nothing of it: the
// context is untrusted, and a repository's configuration may name commands.
func git(ctx context.Context, dir string, args ...string) string {
	out, err := gitfs.Command(ctx, dir, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// sourceURL returns the address of a remote for an image label: a URL without
// credentials. It returns "" for a path on this machine.
func sourceURL(remote string) string {
	if host, path, ok := strings.Cut(remote, ":"); ok && !strings.Contains(remote, "://") && !strings.Contains(host, "/") {
		_, host = cutLast(host, "@")
		return "https://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(remote)
	if err != nil || u.Host == "" {
		return ""
	}
	switch u.Scheme {
	case "https", "http":
	case "ssh", "git":
		u.Scheme, u.Host = "https", u.Hostname()
	default:
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func cutLast(s, sep string) (before, after string) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):]
	}
	return "", s
}
