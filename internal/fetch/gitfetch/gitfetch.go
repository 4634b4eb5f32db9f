// Package gitfetch makes the files of modules straight from their git repositories, as the go command does for
// GOPROXY=direct. It exists because a build step has neither go nor git: its root file system is empty. A module made
// here has the same h1 hash that the go command computes, and the caller must check that hash: the package doesn't
// check that a pseudo-version descends from the tag that it names.
package gitfetch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
)

// Options say where to work and how to reach repositories.
type Options struct {
	Dir        string        // an empty folder for repositories and what is made of them; its owner removes it
	Client     *fetch.Client // for HTTP, with its credentials, certificate authorities and proxies
	Rewriter   Rewriter      // nil for none
	KnownHosts []byte        // text of a known_hosts file, for SSH: no host is trusted that isn't in it
	Agent      string        // socket of an SSH agent; empty for none

	GOINSECURE, GOVCS, GOPRIVATE string // as the go command has them
}

// A Rewriter returns the URL to use instead of another, as git's url.BASE.insteadOf does.
type Rewriter interface{ Rewrite(repo string) string }

// A Fetcher fetches modules. It fetches each repository once for all modules in it. Several goroutines may use it.
type Fetcher struct {
	Options
	govcs govcs

	mu    sync.Mutex
	roots map[string]*root // by module path
	repos map[string]*repo // by URL
}

// New returns a Fetcher. It fails if GOVCS isn't valid.
func New(o Options) (*Fetcher, error) {
	rules, err := parseGOVCS(o.GOVCS)
	if err != nil {
		return nil, err
	}
	return &Fetcher{Options: o, govcs: rules, roots: map[string]*root{}, repos: map[string]*repo{}}, nil
}

// Files are the names of a module's files in the Fetcher's folder.
type Files struct {
	Zip  string // empty where only the go.mod file was asked for
	Mod  string
	Info string // the version and its time, as JSON, and where it came from
}

// Fetch makes the zip, go.mod and .info files of a module. An error doesn't name the module, but the repository, its
// server or the variable that forbids it. If the server refuses, it is a fetch.RefusedError.
func (f *Fetcher) Fetch(ctx context.Context, m module.Version) (Files, error) {
	return f.fetch(ctx, m, true)
}

// FetchMod makes the go.mod and .info files alone.
func (f *Fetcher) FetchMod(ctx context.Context, m module.Version) (Files, error) {
	return f.fetch(ctx, m, false)
}

func (f *Fetcher) fetch(ctx context.Context, m module.Version, zip bool) (Files, error) {
	if err := module.Check(m.Path, m.Version); err != nil {
		return Files{}, fetch.OneLine(err)
	}
	found, err := f.root(ctx, m.Path)
	if err != nil {
		return Files{}, err
	}
	if found.vcs == "mod" {
		return f.fromProxy(ctx, found, m, zip)
	}
	repo, err := f.repo(ctx, found)
	if err != nil {
		return Files{}, err
	}
	files, err := f.fromRepo(ctx, repo, found, m, zip)
	if err != nil {
		return Files{}, fmt.Errorf("%s: %w", repo.shown, err)
	}
	return files, nil
}

func (f *Fetcher) fromRepo(ctx context.Context, r *repo, found *root, m module.Version, zip bool) (Files, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, err := r.locate(ctx, found, m)
	if err != nil {
		return Files{}, err
	}
	files, err := f.names(m)
	if err != nil {
		return Files{}, err
	}
	info, err := json.Marshal(at.info(r, m.Version))
	if err != nil {
		return Files{}, err
	}
	if err := errors.Join(atomicfile.Write(files.Mod, at.gomod), atomicfile.Write(files.Info, info)); err != nil {
		return Files{}, err
	}
	if !zip {
		files.Zip = ""
		return files, nil
	}
	return files, atomicfile.WriteBy(files.Zip, func(w *os.File) error { return at.writeZip(ctx, w, m) })
}

// names returns the names for the files of a module.
func (f *Fetcher) names(m module.Version) (Files, error) {
	path, err := module.EscapePath(m.Path)
	if err != nil {
		return Files{}, err
	}
	version, err := module.EscapeVersion(m.Version)
	if err != nil {
		return Files{}, err
	}
	base := filepath.Join(f.Dir, "modules", filepath.FromSlash(path), "@v", version)
	return Files{Zip: base + ".zip", Mod: base + ".mod", Info: base + ".info"}, os.MkdirAll(filepath.Dir(base), 0o755)
}

// fromProxy fetches a module from the module proxy that the server of its path names.
func (f *Fetcher) fromProxy(ctx context.Context, found *root, m module.Version, zip bool) (Files, error) {
	list, err := modfetch.ParseList(found.repo)
	if err != nil || len(list) != 1 || list[0].Source == nil {
		return Files{}, fmt.Errorf("%s names a module proxy for %s whose URL can't be used", found.by, found.prefix)
	}
	files, err := f.names(m)
	if err != nil {
		return Files{}, err
	}
	path, _ := module.EscapePath(m.Path) // names has checked both
	version, _ := module.EscapeVersion(m.Version)
	get := func(file, ext string, limit int64) error {
		return atomicfile.WriteBy(file, func(w *os.File) error {
			_, err := modfetch.Fetch(ctx, f.Client, list, path+"/@v/"+version+ext, w, limit)
			return err
		})
	}
	if err := get(files.Info, ".info", modzip.MaxGoMod); err != nil {
		return Files{}, err
	}
	if err := get(files.Mod, ".mod", modzip.MaxGoMod); err != nil || !zip {
		files.Zip = ""
		return files, err
	}
	return files, get(files.Zip, ".zip", modzip.MaxZipFile)
}

// An info is the content of a .info file, as the go command writes it.
type info struct {
	Version string
	Time    time.Time
	Origin  origin
}

type origin struct {
	VCS, URL          string
	Subdir, Hash, Ref string `json:",omitempty"`
}
