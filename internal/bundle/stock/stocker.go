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
	"golang.org/x/mod/module"
)

// Settings are the go command's own.
type Settings struct {
	GOPROXY, GOPRIVATE, GONOPROXY, GONOSUMDB, GOSUMDB, GOMODCACHE string
}

// A Stocker knows where things are to be had. Command runs the go command, for what comes from version control and to
// find out what a tool needs; it is "go", or empty where there is none.
type Stocker struct {
	Go      Settings
	Client  *fetch.Client
	Command string
	Env     []string         // of the go command
	Folders []bundle.Folder  // at hand, to be looked into before a network is asked: bundles', and others
	Bundles []*bundle.Bundle // at hand, of which tools are taken
	Roots   []byte           // PEM: all certificate authorities that it is to trust, and git; nil for those that they have

	proxies []modfetch.Entry
}

// New checks the settings.
func New(settings Settings, client *fetch.Client, command string, env []string) (*Stocker, error) {
	s := &Stocker{Go: settings, Client: client, Command: command, Env: env}
	list := settings.GOPROXY
	if list == "" {
		list = planner.DefaultProxy
	}
	var err error
	s.proxies, err = modfetch.ParseList(list)
	return s, err
}

// Sources returns where modules come from. Folders that are at hand come first, of which the go command's own cache is
// the last.
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

// direct has the go command fetch a module from version control, as the user's settings, keys and netrc have it.
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

// masked is what the go command says without the credentials in it: it tells what a server answers, and git does, and a
// server may repeat what it was sent.
func masked(said string) string { return authorization.ReplaceAllString(said, "$1 xxxxx") }

// why is what the go command says of a module that git doesn't get, and how to hear what git says where it doesn't tell.
func why(path, said string) string {
	if repo, _, ok := strings.Cut(path, ".git"); ok && strings.HasPrefix(said, "no secure protocol found") {
		said += fmt.Sprintf(": 'git ls-remote https://%s.git' says why: git takes credentials from ~/.netrc, its own settings, or an SSH agent", repo)
	}
	return said
}

// run runs the go command in a folder and returns what it prints; its errors are what it says.
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

// rootsFile writes the certificate authorities where the go command and git find them: either reads one file alone.
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

// SumDB returns the checksum database that the settings name, to be copied from. It is the zero value where they turn it
// off. Nobody is asked before there is something to ask.
func (s *Stocker) SumDB() (bundle.SumDB, error) {
	key, err := modfetch.DatabaseKey(s.Go.GOSUMDB)
	if err != nil || key == "" {
		return bundle.SumDB{}, err
	}
	return bundle.SumDB{Key: key, Remote: &database{of: s}, Unlisted: s.unlisted}, nil
}

// A database is found when it is first asked: a proxy may pass it on, which takes a request to know.
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

// Size returns how many bytes the file of a go.sum line has, from a folder at hand (see Sources) or as a proxy tells, and
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
