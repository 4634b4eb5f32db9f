package gitfetch

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/larder-build/larder/internal/redact"
)

// A repo is one repository. It fetches as little of it as possible.
type repo struct {
	fetcher *Fetcher
	url     string // as the go command records it: before insteadOf
	shown   string // what is asked, for messages
	dir     string

	mu      sync.Mutex // for all below: go-git's storage is for one goroutine at a time
	err     error      // that it can't be reached
	remote  remote
	adv     *packp.AdvRefs
	refs    map[string]plumbing.Hash // HEAD, branches and tags, with the commits that they mean
	tips    map[string]plumbing.Hash // the same, with what the server calls them by: maybe a tag's object
	objects *filesystem.Storage
	commits *filesystem.Storage // history alone, without trees
	fetched map[plumbing.Hash]bool
	all     bool // objects has all that branches and tags reach
}

// A remote is a connection to a repository. Each call starts a new exchange.
type remote interface {
	// refs returns the server's branches and tags.
	refs(ctx context.Context) (*packp.AdvRefs, error)
	// pack sends a request for objects and returns the answer to it.
	pack(ctx context.Context, request []byte) (closer, error)
}

// repo returns a repository that answers. It connects once for each URL.
func (f *Fetcher) repo(ctx context.Context, at *root) (*repo, error) {
	f.mu.Lock()
	r := f.repos[at.repo]
	if r == nil {
		r = &repo{fetcher: f, dir: filepath.Join(f.Dir, fmt.Sprintf("repo%d", len(f.repos))), fetched: map[plumbing.Hash]bool{}}
		f.repos[at.repo] = r
	}
	f.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.adv == nil && r.err == nil {
		r.err = r.connect(ctx, f.candidates(at))
	}
	return r, r.err
}

// candidates returns the URLs to try for a repository. For HOST/PATH.git these are the schemes that the go command
// tries; SSH is among them if there is an agent.
func (f *Fetcher) candidates(at *root) []string {
	if strings.Contains(at.repo, "://") {
		return []string{at.repo}
	}
	list := []string{"https://" + at.repo}
	if f.allowed("http", at.prefix) {
		list = append(list, "http://"+at.repo)
	}
	if f.Agent != "" {
		list = append(list, "ssh://git@"+at.repo)
	}
	return list
}

// connect takes the first URL that lists its refs.
func (r *repo) connect(ctx context.Context, candidates []string) error {
	var errs []error
	for _, candidate := range candidates {
		at := candidate
		if r.fetcher.Rewriter != nil {
			at = r.fetcher.Rewriter.Rewrite(candidate)
		}
		shown := redact.URL(at)
		remote, err := r.fetcher.dial(at)
		var adv *packp.AdvRefs
		if err == nil {
			err = r.fetcher.Client.Policy.Retry(ctx, func() (err error) {
				adv, err = remote.refs(ctx)
				return err
			})
		}
		if err == nil {
			r.url, r.shown, r.remote = candidate, shown, remote
			return r.open(adv)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, fmt.Errorf("%s: %w", shown, err))
		if at != candidate {
			break // users who say where to go don't mean another place
		}
	}
	return joinLine(errs)
}

// joinLine joins errors in one line.
func joinLine(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	format := strings.TrimSuffix(strings.Repeat("%w; ", len(errs)), "; ")
	args := make([]any, len(errs))
	for i, err := range errs {
		args[i] = err
	}
	return fmt.Errorf(format, args...)
}

// dial returns a connection to a URL. It doesn't send anything yet.
func (f *Fetcher) dial(at string) (remote, error) {
	if to, ok := parseSSH(at); ok {
		return newSSH(f, to)
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, errors.New("it is not a URL")
	}
	switch u.Scheme {
	case "http", "https":
		return &httpRemote{client: f.Client, url: u}, nil
	}
	return nil, fmt.Errorf("Larder fetches git repositories by https, http and ssh, not by %q", u.Scheme)
}

// open keeps the server's list of refs, and makes the folder for fetched objects.
func (r *repo) open(adv *packp.AdvRefs) error {
	var err error
	if r.objects, err = newStorage(filepath.Join(r.dir, "objects")); err != nil {
		return err
	}
	r.refs, r.tips = map[string]plumbing.Hash{}, map[string]plumbing.Hash{}
	if adv.Head != nil {
		r.refs["HEAD"], r.tips["HEAD"] = *adv.Head, *adv.Head
	}
	for name, hash := range adv.References {
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			r.refs[name], r.tips[name] = hash, hash
		}
	}
	for name, hash := range adv.Peeled {
		if _, ok := r.refs[name]; ok {
			r.refs[name] = hash
		}
	}
	r.adv = adv
	return nil
}

// newStorage returns the storage of objects. It reads each object into memory, and their size is limited when they
// arrive: if objects were read as streams, a delta of a delta would be read over and over.
func newStorage(dir string) (*filesystem.Storage, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return filesystem.NewStorage(osfs.New(dir), cache.NewObjectLRU(16*cache.MiByte)), nil
}

// tag fetches the commit that a tag means, and its tree.
func (r *repo) tag(ctx context.Context, tag string) (*object.Commit, string, error) {
	name := "refs/tags/" + tag
	hash, ok := r.refs[name]
	if !ok {
		return nil, "", fmt.Errorf("it has no tag %s", tag)
	}
	commit, err := r.commit(ctx, hash, r.tips[name])
	return commit, name, err
}

// abbreviated fetches the commit whose hash begins with rev, and its tree. It looks only at commits that branches and
// tags reach. Others, such as those of pull requests, aren't a version of the repository's, even where the server would
// give them.
func (r *repo) abbreviated(ctx context.Context, rev string) (*object.Commit, string, error) {
	var name string
	for ref, hash := range r.refs {
		if strings.HasPrefix(hash.String(), rev) && (name == "" || ref < name) {
			name = ref
		}
	}
	if name != "" {
		commit, err := r.commit(ctx, r.refs[name], r.tips[name])
		return commit, name, err
	}
	hash, err := r.search(ctx, rev)
	if err != nil {
		return nil, "", err
	}
	commit, err := r.commit(ctx, hash, hash)
	return commit, "", err
}

// search looks for a commit in the history. If the server can leave files out, it fetches the history alone, provided
// that the server then gives the one commit that is found; otherwise it fetches everything.
func (r *repo) search(ctx context.Context, rev string) (plumbing.Hash, error) {
	store := r.objects
	can := r.adv.Capabilities.Supports
	if !r.all && can(capability.Filter) && can(capability.AllowReachableSHA1InWant) && can(capability.Shallow) {
		if r.commits == nil {
			commits, err := newStorage(filepath.Join(r.dir, "commits"))
			if err == nil {
				err = r.pack(ctx, commits, r.everything(), 0, packp.FilterTreeDepth(0))
			}
			if err != nil {
				return plumbing.ZeroHash, err
			}
			r.commits = commits
		}
		store = r.commits
	} else if err := r.fetchAll(ctx); err != nil {
		return plumbing.ZeroHash, err
	}
	prefix, err := hex.DecodeString(rev)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("%s is not the beginning of a commit's hash", rev)
	}
	hashes, err := store.HashesWithPrefix(prefix)
	if err != nil {
		return plumbing.ZeroHash, err
	}
	hashes = slices.DeleteFunc(hashes, func(h plumbing.Hash) bool {
		_, err := store.EncodedObject(plumbing.CommitObject, h)
		return err != nil
	})
	switch len(hashes) {
	case 0:
		return plumbing.ZeroHash, fmt.Errorf("no branch or tag of it has a commit %s", rev)
	case 1:
		return hashes[0], nil
	}
	return plumbing.ZeroHash, fmt.Errorf("it has %d commits that begin with %s", len(hashes), rev)
}

// everything returns the hashes of all branches and tags.
func (r *repo) everything() []plumbing.Hash {
	var wants []plumbing.Hash
	for _, hash := range r.tips {
		wants = append(wants, hash)
	}
	plumbing.HashesSort(wants)
	return slices.Compact(wants)
}

func (r *repo) fetchAll(ctx context.Context) error {
	if r.all {
		return nil
	}
	err := r.pack(ctx, r.objects, r.everything(), 0, "")
	r.all = err == nil
	return err
}

// commit returns a commit. If need be it fetches tip, which is the commit or a tag of it, without history if the server
// can do that.
func (r *repo) commit(ctx context.Context, hash, tip plumbing.Hash) (*object.Commit, error) {
	if !r.all && !r.fetched[hash] {
		depth := 0
		if r.adv.Capabilities.Supports(capability.Shallow) {
			depth = 1
		}
		if err := r.pack(ctx, r.objects, []plumbing.Hash{tip}, depth, ""); err != nil {
			return nil, err
		}
		r.fetched[hash] = true
	}
	commit, err := object.GetCommit(r.objects, hash)
	if err != nil {
		return nil, fmt.Errorf("the server sent other objects than commit %s: %w", hash, err)
	}
	return commit, nil
}

// pack fetches objects.
func (r *repo) pack(ctx context.Context, into *filesystem.Storage, wants []plumbing.Hash, depth int, filter packp.Filter) error {
	if len(wants) == 0 {
		return errors.New("it has no branch and no tag")
	}
	req := newRequest(r.adv.Capabilities, wants, depth, filter)
	body, err := encodeRequest(req)
	if err != nil {
		return err
	}
	limits := ofHistory
	if depth > 0 {
		limits = ofOneCommit
	}
	return r.fetcher.Client.Policy.Retry(ctx, func() error {
		answer, err := r.remote.pack(ctx, body)
		if err != nil {
			return err
		}
		defer answer.Close()
		objects, err := openPack(answer, req)
		if err == nil {
			err = storePack(into, objects, limits)
		}
		if err != nil {
			return answer.explain(err)
		}
		return nil
	})
}
