package stock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/progress"
	"golang.org/x/mod/module"
)

// Settings are the go command's settings for modules.
type Settings struct {
	GOPROXY, GOPRIVATE, GONOPROXY, GONOSUMDB, GOSUMDB, GOMODCACHE string
}

// A Stocker knows where modules and other items come from. Command runs the go command, which fetches from version
// control and finds out what a tool needs; it is "go", or empty if there is none.
type Stocker struct {
	Go      Settings
	Client  *fetch.Client
	Command string
	Env     []string         // of the go command
	Folders []bundle.Folder  // at hand, to be looked into before a network is asked: bundles', and others
	Bundles []*bundle.Bundle // at hand, of which tools are taken
	Roots   []byte           // PEM: all certificate authorities that it is to trust, and git; nil for those that they have

	Progress progress.Reporter

	proxies []modfetch.Entry
}

// New checks the settings.
func New(settings Settings, client *fetch.Client, command string, env []string) (*Stocker, error) {
	s := &Stocker{Go: settings, Client: client, Command: command, Env: env, Progress: progress.Or(nil)}
	list := settings.GOPROXY
	if list == "" {
		list = planner.DefaultProxy
	}
	var err error
	s.proxies, err = modfetch.ParseList(list)
	return s, err
}

// Sources returns where modules come from. Folders that are at hand come first; the last of them is the go command's
// own cache.
func (s *Stocker) Sources() bundle.Sources {
	folders := slices.Clone(s.Folders)
	if s.Go.GOMODCACHE != "" {
		cache := filepath.Join(s.Go.GOMODCACHE, "cache", "download")
		if info, err := os.Stat(cache); err == nil && info.IsDir() {
			folders = append(folders, bundle.Folder{Name: "the module cache", FS: os.DirFS(cache)})
		}
	}
	return bundle.Sources{Folders: folders, Client: s.Client, Proxies: s.proxies, Direct: s.direct, Private: s.private}
}

// private reports whether no proxy may be asked for a module.
func (s *Stocker) private(path string) bool {
	return gomod.NoProxy(s.Go.GONOPROXY, s.Go.GOPRIVATE, path)
}

// unlisted reports whether the checksum database may not be asked for a module.
func (s *Stocker) unlisted(path string) bool {
	return gomod.NoSumDB(s.Go.GONOSUMDB, s.Go.GOPRIVATE, path)
}

// direct fetches a module from version control with the go command, with the user's settings, keys and netrc.
func (s *Stocker) direct(ctx context.Context, m module.Version) (zip, mod, info string, err error) {
	if s.Command == "" {
		return "", "", "", errors.New("it comes from version control, and there is no go command on this machine to fetch it: install Go, or name a proxy in GOPROXY that has it")
	}
	out, err := s.run(ctx, "", []string{"GOPROXY=direct", "GOSUMDB=off", "GOWORK=off", "GOFLAGS=-mod=mod"}, "mod", "download", "-json", m.String())
	var got struct{ Zip, GoMod, Info, Error string }
	if jerr := json.Unmarshal(out, &got); jerr != nil && err == nil {
		err = fmt.Errorf("reading what the go command says: %w", jerr)
	}
	if got.Error != "" {
		err = errors.New(why(m.Path, strings.TrimPrefix(masked(got.Error), m.String()+": ")))
	}
	if err != nil {
		return "", "", "", fmt.Errorf("fetching it from version control: %w", err)
	}
	return got.Zip, got.GoMod, got.Info, nil
}

// authorization matches a header with credentials.
var authorization = regexp.MustCompile(`(?i)\b(basic|bearer) +\S{16,}`)

// masked returns the go command's output without credentials. The output repeats a server's answer, and git's, and a
// server may repeat what it was sent.
func masked(said string) string { return authorization.ReplaceAllString(said, "$1 xxxxx") }

// why returns the go command's message about a module that git can't get. If the message lacks git's own, it adds how
// to get that.
func why(path, said string) string {
	if repo, _, ok := strings.Cut(path, ".git"); ok && strings.HasPrefix(said, "no secure protocol found") {
		said += fmt.Sprintf(": 'git ls-remote https://%s.git' says why: git takes credentials from ~/.netrc, its own settings, or an SSH agent", repo)
	}
	return said
}

// run runs the go command in a folder and returns its output. The error holds what the command wrote to stderr.
func (s *Stocker) run(ctx context.Context, dir string, env []string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.Command, args...)
	cmd.Dir = dir
	roots, remove, err := s.rootsFile()
	if err != nil {
		return nil, err
	}
	defer remove()
	cmd.Env = slices.Concat(s.Env, roots, env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && ctx.Err() == nil {
		return out, fmt.Errorf("go %s: %w: %s", args[0], err, masked(strings.TrimSpace(stderr.String())))
	}
	return out, errors.Join(err, ctx.Err())
}

// rootsFile writes the certificate authorities to a file for the go command and git: each of them reads only one file.
func (s *Stocker) rootsFile() (env []string, remove func(), err error) {
	if s.Roots == nil {
		return nil, func() {}, nil
	}
	f, err := os.CreateTemp("", "larder-roots-*.pem")
	if err != nil {
		return nil, nil, err
	}
	remove = func() { os.Remove(f.Name()) }
	_, err = f.Write(s.Roots)
	if err = errors.Join(err, f.Close()); err != nil {
		remove()
		return nil, nil, err
	}
	return []string{"SSL_CERT_FILE=" + f.Name(), "GIT_SSL_CAINFO=" + f.Name()}, remove, nil
}

// SumDB returns the checksum database that the settings name, to be copied from. It is the zero value if the settings
// turn it off. No server is asked before the first lookup.
func (s *Stocker) SumDB() (bundle.SumDB, error) {
	key, err := modfetch.DatabaseKey(s.Go.GOSUMDB)
	if err != nil || key == "" {
		return bundle.SumDB{}, err
	}
	return bundle.SumDB{Key: key, Remote: &database{of: s}, Unlisted: s.unlisted}, nil
}

// A database is a checksum database that is located at the first request: a proxy may pass requests on to it, and
// finding out takes a request.
type database struct {
	of   *Stocker
	mu   sync.Mutex
	open *modfetch.Database
}

// Get implements sumdbcopy.Remote.
func (d *database) Get(ctx context.Context, path string) ([]byte, error) {
	db, err := d.find(ctx)
	if err != nil {
		return nil, err
	}
	return db.Get(ctx, path)
}

func (d *database) find(ctx context.Context) (db *modfetch.Database, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open, err = modfetch.NewDatabase(ctx, d.of.Client, d.of.Go.GOSUMDB, d.of.proxies)
	}
	return d.open, err
}

// Size returns the size in bytes of the file of a go.sum line, from a folder at hand (see Sources) or from a proxy, and
// whether it is at hand.
func (s *Stocker) Size(ctx context.Context, folders []bundle.Folder, sum gomod.Sum) (size int64, have bool, err error) {
	name, err := sum.File(".zip")
	if err != nil {
		return 0, false, err
	}
	for _, f := range folders {
		if info, err := fs.Stat(f.FS, name); err == nil {
			return info.Size(), true, nil
		}
	}
	if s.private(sum.Path) {
		return 0, false, fs.ErrNotExist
	}
	size, err = modfetch.Size(ctx, s.Client, s.proxies, name)
	return size, false, err
}
