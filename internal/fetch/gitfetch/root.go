package gitfetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"golang.org/x/mod/module"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/redact"
)

// A root is the repository that a module path belongs to.
type root struct {
	once sync.Once
	err  error

	vcs    string // "git", or "mod" for a module proxy
	prefix string // of the module path: what the repository's root is called
	subdir string // of the repository, that the prefix means
	repo   string // URL, or HOST/PATH where the scheme is to be found out
	by     string // who said so, for messages
}

// hosts are the hosts whose paths show the repository, so that no server is asked. They are in the go command's table.
var hosts = []struct {
	prefix string
	path   *regexp.Regexp // with the groups root and, if it isn't https://root, repo and vcs
}{
	{"github.com/", regexp.MustCompile(`^(?P<root>github\.com/[\w.\-]+/[\w.\-]+)(/[\w.\-]+)*$`)},
	{"bitbucket.org/", regexp.MustCompile(`^(?P<root>bitbucket\.org/[\w.\-]+/[\w.\-]+)(/[\w.\-]+)*$`)},
	{"hub.jazz.net/git/", regexp.MustCompile(`^(?P<root>hub\.jazz\.net/git/[a-z0-9]+/[\w.\-]+)(/[\w.\-]+)*$`)},
	{"git.apache.org/", regexp.MustCompile(`^(?P<root>git\.apache\.org/[a-z0-9_.\-]+\.git)(/[\w.\-]+)*$`)},
	{"git.openstack.org/", regexp.MustCompile(`^(?P<root>git\.openstack\.org/[\w.\-]+/[\w.\-]+)(\.git)?(/[\w.\-]+)*$`)},
	{"", regexp.MustCompile(`^(?P<root>(?P<repo>([a-z0-9.\-]+\.)+[a-z0-9.\-]+(:[0-9]+)?(/~?[\w.\-]+)+?)\.(?P<vcs>bzr|fossil|git|hg|svn))(/~?[\w.\-]+)*$`)},
}

// root finds the repository of a module path. It searches once for each path.
func (f *Fetcher) root(ctx context.Context, path string) (*root, error) {
	f.mu.Lock()
	r := f.roots[path]
	if r == nil {
		r = &root{}
		f.roots[path] = r
	}
	f.mu.Unlock()
	r.once.Do(func() { r.err = f.findRoot(ctx, path, r) })
	return r, r.err
}

func (f *Fetcher) findRoot(ctx context.Context, path string, r *root) error {
	known, err := knownRoot(path, r)
	if err == nil && !known {
		err = f.askRoot(ctx, path, r)
	}
	if err != nil || r.vcs == "mod" {
		return err
	}
	if err := f.govcs.check(r.vcs, r.prefix, f.GOPRIVATE); err != nil {
		return err
	}
	if r.vcs != "git" {
		return fmt.Errorf("its repository is kept in %s, and Larder fetches from git alone: pass a GOPROXY folder as the named context larder-modules", vcsName(r.vcs))
	}
	return nil
}

func vcsName(vcs string) string {
	if name := map[string]string{"bzr": "Bazaar", "fossil": "Fossil", "hg": "Mercurial", "svn": "Subversion"}[vcs]; name != "" {
		return name
	}
	return fmt.Sprintf("a system that isn't known (%q)", vcs)
}

// knownRoot reads the repository from the path itself.
func knownRoot(path string, r *root) (bool, error) {
	for _, h := range hosts {
		if !strings.HasPrefix(path+"/", h.prefix) {
			continue
		}
		match := h.path.FindStringSubmatch(path)
		if match == nil {
			if h.prefix != "" {
				return false, fmt.Errorf("%s has no repository: expected %sOWNER/NAME", path, h.prefix)
			}
			continue
		}
		group := func(name string) string {
			if i := h.path.SubexpIndex(name); i >= 0 {
				return match[i]
			}
			return ""
		}
		r.prefix, r.vcs, r.repo, r.by = group("root"), group("vcs"), group("repo"), "its path"
		if r.vcs == "" {
			r.vcs, r.repo = "git", "https://"+r.prefix
		}
		return true, nil
	}
	return false, nil
}

// maxPage is the greatest number of bytes that are read of a page that may have meta tags.
const maxPage = 4 << 20

// askRoot asks the path's own host, whose page names the repository in a meta tag.
func (f *Fetcher) askRoot(ctx context.Context, path string, r *root) error {
	tag, by, err := f.ask(ctx, path, path)
	if err != nil {
		return err
	}
	if tag.prefix != path { // anybody below a host can claim all of it: its root has to say the same
		confirmed, other, err := f.ask(ctx, tag.prefix, path)
		if err != nil {
			return err
		}
		if confirmed != tag {
			return fmt.Errorf("%s and %s disagree about where %s is", by, other, tag.prefix)
		}
	}
	u, err := url.Parse(tag.repo)
	if err != nil || u.Scheme == "" || u.Scheme == "file" || u.Host == "" || strings.HasPrefix(tag.subdir, "/") || strings.HasPrefix(tag.subdir, "-") {
		return fmt.Errorf("%s names a repository for %s that can't be used: %q", by, tag.prefix, redact.URL(tag.repo))
	}
	if !f.allowed(u.Scheme, path) {
		return fmt.Errorf("%s names %s for %s, and %s isn't secure: GOINSECURE may name the module", by, redact.URL(tag.repo), tag.prefix, u.Scheme)
	}
	r.vcs, r.prefix, r.subdir, r.repo, r.by = tag.vcs, tag.prefix, tag.subdir, tag.repo, by
	return nil
}

// allowed reports whether a module may be fetched by a scheme.
func (f *Fetcher) allowed(scheme, path string) bool {
	return scheme == "https" || scheme == "ssh" || scheme == "git+ssh" || module.MatchPrefixPatterns(f.GOINSECURE, path)
}

// ask reads the meta tag for path from the host of prefix, and returns it with the page's URL.
func (f *Fetcher) ask(ctx context.Context, prefix, path string) (metaTag, string, error) {
	host, rest, _ := strings.Cut(prefix, "/")
	schemes := []string{"https"}
	if module.MatchPrefixPatterns(f.GOINSECURE, path) {
		schemes = append(schemes, "http")
	}
	var errs []error
	for _, scheme := range schemes {
		u := url.URL{Scheme: scheme, Host: host, Path: "/" + rest, RawQuery: "go-get=1"}
		var tags []metaTag
		err := f.Client.Policy.Retry(ctx, func() (err error) {
			tags, err = f.readTags(ctx, &u)
			return err
		})
		if err == nil {
			tag, err := match(tags, path)
			if err == nil {
				return tag, u.String(), nil
			}
			return metaTag{}, "", fmt.Errorf("%s: %w", &u, err)
		}
		errs = append(errs, fmt.Errorf("%s: %w", &u, err))
	}
	return metaTag{}, "", errors.Join(errs...)
}

func (f *Fetcher) readTags(ctx context.Context, u *url.URL) ([]metaTag, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fetch.OneLine(err)
	}
	resp, err := f.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, err
	}
	tags := parseMeta(page)
	if len(tags) > 0 { // also of a page that isn't there: they are what was asked for
		return tags, nil
	}
	resp.Body = http.NoBody
	if err := f.Client.StatusError(resp); err != nil {
		return nil, err
	}
	return nil, nil
}
