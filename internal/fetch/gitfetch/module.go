package gitfetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// A repoPlace is the place of a module's version in a repository. The rules are the go command's, in
// cmd/go/internal/fetch/modfetch.
type repoPlace struct {
	store  storer.EncodedObjectStorer
	commit *object.Commit
	tree   *object.Tree // of the commit
	ref    string       // that led to it; empty for one from the history
	dir    string       // of the tree, that is the module's root
	gomod  []byte
}

// locate finds a module's version in its repository, and fetches its commit.
func (r *repo) locate(ctx context.Context, at *root, m module.Version) (*repoPlace, error) {
	prefix, major, _ := module.SplitPathVersion(m.Path) // m was checked
	dir := ""
	if at.prefix != m.Path {
		if prefix != at.prefix && !strings.HasPrefix(prefix, at.prefix+"/") {
			return nil, fmt.Errorf("the repository of %s can't have the module %s", at.prefix, m.Path)
		}
		dir = strings.Trim(strings.TrimPrefix(prefix, at.prefix), "/")
	}
	if at.subdir != "" {
		dir = path.Join(dir, at.subdir)
	}
	p := &repoPlace{store: r.objects}
	var err error
	if module.IsPseudoVersion(m.Version) {
		err = p.atPseudo(ctx, r, m.Version)
	} else {
		tag := path.Join(dir, strings.TrimSuffix(m.Version, "+incompatible"))
		p.commit, p.ref, err = r.tag(ctx, tag)
	}
	if err != nil {
		return nil, err
	}
	if p.tree, err = p.commit.Tree(); err != nil {
		return nil, fmt.Errorf("reading commit %s: %w", p.commit.Hash, err)
	}
	return p, p.find(dir, major, at.prefix != m.Path, m)
}

// atPseudo finds the commit of a pseudo-version, and checks that it has the version's time.
func (p *repoPlace) atPseudo(ctx context.Context, r *repo, version string) error {
	rev, err := module.PseudoVersionRev(version)
	if err != nil {
		return err
	}
	if len(rev) != 12 {
		return fmt.Errorf("the revision %s in the version has not 12 digits", rev)
	}
	if p.commit, p.ref, err = r.abbreviated(ctx, rev); err != nil {
		return err
	}
	t, err := module.PseudoVersionTime(version)
	if err == nil && !t.Equal(p.time()) {
		err = fmt.Errorf("commit %s is of %s, which is not the time in the version", rev, p.time().Format(module.PseudoVersionTimestampFormat))
	}
	return err
}

func (p *repoPlace) time() time.Time { return p.commit.Committer.When.UTC().Truncate(time.Second) }

// find sets the module's folder and go.mod file. A major version v2 may be in dir, or in dir/v2, not in both.
func (p *repoPlace) find(dir, major string, below bool, m module.Version) error {
	first, err := p.read(path.Join(dir, "go.mod"), modzip.MaxGoMod)
	if err != nil && !errors.Is(err, object.ErrFileNotFound) {
		return err
	}
	name := modfile.ModulePath(first)
	isFirst := err == nil && (sameMajor(name, major) || major == "" && strings.HasPrefix(name, "gopkg.in/"))
	if strings.HasPrefix(major, "/") && below {
		sub := path.Join(dir, major[1:])
		second, err := p.read(path.Join(sub, "go.mod"), modzip.MaxGoMod)
		switch {
		case err == nil && !sameMajor(modfile.ModulePath(second), major):
			return fmt.Errorf("%s/go.mod is of the module %q, not of one that ends in %s", sub, modfile.ModulePath(second), major)
		case err == nil && isFirst:
			return fmt.Errorf("both %s and %s/go.mod are of modules that end in %s", path.Join(dir, "go.mod"), sub, major)
		case err == nil:
			p.dir, p.gomod = sub, second
			return nil
		case !errors.Is(err, object.ErrFileNotFound):
			return err
		}
	}
	p.dir = dir
	switch {
	case isFirst && strings.HasSuffix(m.Version, "+incompatible"):
		return fmt.Errorf("it has a go.mod file at %s, so its version can't be +incompatible", p.commit.Hash)
	case isFirst:
		p.gomod = first
		return nil
	case err == nil:
		return fmt.Errorf("%s is of the module %q at %s, not of %s", path.Join(dir, "go.mod"), name, p.commit.Hash, m.Path)
	case dir == "" && (major == "" || strings.HasPrefix(major, ".")):
		p.gomod = fmt.Appendf(nil, "module %s\n", modfile.AutoQuote(m.Path))
		return nil
	}
	return fmt.Errorf("it has no %s at %s", path.Join(dir, "go.mod"), p.commit.Hash)
}

// sameMajor reports whether a module path allows the versions of a major version suffix.
func sameMajor(path, major string) bool {
	_, own, ok := module.SplitPathVersion(path)
	if path == "" || !ok {
		return false
	}
	if major == "" {
		p := module.PathMajorPrefix(own)
		return p == "" || p == "v0" || p == "v1"
	}
	return own != "" && own[1:] == major[1:]
}

// read returns the content of a file in the tree. For a symbolic link it is the link's target, as in git.
func (p *repoPlace) read(name string, limit int64) ([]byte, error) {
	entry, err := p.tree.FindEntry(name)
	if errors.Is(err, object.ErrEntryNotFound) || errors.Is(err, object.ErrDirectoryNotFound) || err == nil && !isBlob(entry.Mode) {
		return nil, object.ErrFileNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	f, err := p.tree.TreeEntryFile(entry)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if f.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes: the go command allows %d", name, f.Size, limit)
	}
	rc, err := f.Reader()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	defer rc.Close()
	var b bytes.Buffer
	_, err = io.Copy(&b, io.LimitReader(rc, limit))
	return b.Bytes(), err
}

func (p *repoPlace) info(r *repo, version string) info {
	return info{Version: version, Time: p.time(), Origin: origin{VCS: "git", URL: r.url, Subdir: p.dir, Hash: p.commit.Hash.String(), Ref: p.ref}}
}
