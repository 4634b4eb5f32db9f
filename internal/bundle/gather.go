package bundle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/progress"
	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/errgroup"
)

// parallelFiles is how many files are fetched or hashed at a time.
const parallelFiles = 16

// stagingDir is the folder, inside a bundle that is being made, that holds fetched files until they are in a layer. The
// next run uses the files that a killed run left there.
const stagingDir = ".staging"

// A Folder is a GOPROXY folder that is read before any network is asked: the go command's cache, or a bundle's View.
type Folder struct {
	Name    string // the origin of what comes from it
	FS      fs.FS
	Origins map[string]string // of files that came from elsewhere before
}

// Sources says where module files come from, in this order.
type Sources struct {
	Folders []Folder
	Client  *fetch.Client // nil if there are the folders alone
	Proxies []modfetch.Entry
	// Direct fetches a module version from version control. It returns the paths of the zip, the go.mod file and the
	// .info. They needn't exist if it returns an error. It is called for modules that match Private, and where the
	// list of proxies ends in direct.
	Direct  func(ctx context.Context, m module.Version) (zip, mod, info string, err error)
	Private func(path string) bool // nil for none
}

// A gatherer gets the files of modules.
type gatherer struct {
	from     Sources
	dir      string // the staging folder, as a GOPROXY folder
	progress progress.Reporter

	direct sync.Map // of module.Version to func() (direct, error)
}

// A verifiedFile is a file whose h1 matched go.sum.
type verifiedFile struct {
	file
	origin string
}

// modules gets the files of all modules of a set: for each module its item and the files for the layer.
func (g *gatherer) modules(ctx context.Context, set gomod.Set) ([]itemFiles, error) {
	byModule := map[module.Version][]gomod.Sum{}
	for _, s := range append(set.Zips(), set.GoMods()...) {
		byModule[s.Module()] = append(byModule[s.Module()], s)
	}
	var list []module.Version
	for m := range byModule {
		list = append(list, m)
	}
	module.Sort(list)
	out := make([]itemFiles, len(list))
	if len(list) > 0 {
		g.progress.Begin("get modules", len(list), 0)
	}
	var failed []error
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(parallelFiles)
	for i, m := range list {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			var err error
			out[i], err = g.module(ctx, m, byModule[m])
			g.progress.Done(m.String(), out[i].item.Size)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return none
	if ctx.Err() != nil {
		return nil, fmt.Errorf("stopped after some of %d modules, which the next run won't fetch again: %w", len(list), context.Cause(ctx))
	}
	return out, modfetch.Summarize(failed)
}

// An itemFiles is an item of a bundle with its files in the layer.
type itemFiles struct {
	item  Item
	files []file
}

func (g *gatherer) module(ctx context.Context, m module.Version, sums []gomod.Sum) (itemFiles, error) {
	out := itemFiles{item: Item{Kind: KindGoMod, Name: m.Path, Version: m.Version}}
	for _, s := range sums {
		f, err := g.find(ctx, s)
		if err != nil {
			return out, err
		}
		out.files = append(out.files, f.file)
		if s.GoMod {
			out.item.GoModH1 = s.Hash
			if out.item.Kind == KindModule {
				continue
			}
		} else {
			out.item.Kind, out.item.H1 = KindModule, s.Hash
		}
		out.item.Size, out.item.Origin = f.size, f.origin
		if out.item.Digest, err = f.digest(); err != nil {
			return out, fmt.Errorf("%s: %w", m, err)
		}
	}
	info, err := g.info(ctx, m)
	if err != nil {
		return out, err
	}
	if !info.Time.IsZero() {
		out.item.Time = &info.Time
	}
	data, err := json.Marshal(info)
	if err != nil {
		return out, err
	}
	name, err := sums[0].File(".info")
	if err != nil {
		return out, err
	}
	out.files = append(out.files, memoryFile(name, data))
	return out, nil
}

func (f file) digest() (digest.Digest, error) {
	r, err := f.open()
	if err != nil {
		return "", err
	}
	d, err := digest.FromReader(r)
	return d, errors.Join(err, r.Close())
}

// find gets the file of a go.sum line, and checks it against the line's hash.
func (g *gatherer) find(ctx context.Context, s gomod.Sum) (verifiedFile, error) {
	name, limit, err := fileOf(s)
	if err != nil {
		return verifiedFile{}, err
	}
	staged := filepath.Join(g.dir, filepath.FromSlash(name))
	origin, err := os.ReadFile(staged + ".origin")
	if err == nil && len(origin) > 0 && modfetch.VerifySum(s, staged, "the staging folder") == nil {
		f, err := diskFile(name, staged)
		return verifiedFile{f, string(origin)}, err
	}
	for _, folder := range g.from.Folders {
		f, err := folder.find(s, name, limit)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return verifiedFile{}, err
		}
	}
	from, err := g.fetch(ctx, s, name, staged, limit)
	if err != nil {
		return verifiedFile{}, err
	}
	f, err := diskFile(name, staged)
	return verifiedFile{f, from}, err
}

// fileOf returns the name of the file of a go.sum line in a GOPROXY folder, and how large it may be.
func fileOf(s gomod.Sum) (name string, limit int64, err error) {
	if s.GoMod {
		name, err = s.File(".mod")
		return name, modzip.MaxGoMod, err
	}
	name, err = s.File(".zip")
	return name, modzip.MaxZipFile, err
}

// find returns a file of the folder that has the right hash. The error is fs.ErrNotExist for a file with another hash
// too, so that the next source is asked.
func (f Folder) find(s gomod.Sum, name string, limit int64) (verifiedFile, error) {
	info, err := fs.Stat(f.FS, name)
	if err != nil {
		return verifiedFile{}, fs.ErrNotExist
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return verifiedFile{}, fs.ErrNotExist
	}
	open := func() (io.ReadCloser, error) { return f.FS.Open(name) }
	r, err := f.FS.Open(name)
	if err != nil {
		return verifiedFile{}, fs.ErrNotExist
	}
	defer r.Close()
	got := ""
	if s.GoMod {
		var data []byte
		if data, err = io.ReadAll(io.LimitReader(r, limit)); err == nil {
			got, err = modfetch.HashMod(data)
		}
	} else if ra, ok := r.(io.ReaderAt); ok {
		if err = modfetch.CheckZipIn(s.Module(), ra, info.Size()); err == nil {
			got, err = modfetch.HashZip(ra, info.Size())
		}
	}
	if err != nil || got != s.Hash {
		return verifiedFile{}, fs.ErrNotExist
	}
	return verifiedFile{file{name, info.Size(), open}, cmp.Or(f.Origins[name], f.Name)}, nil
}

// fetch gets a file into the staging folder, from a proxy or from version control, and returns from where.
func (g *gatherer) fetch(ctx context.Context, s gomod.Sum, name, staged string, limit int64) (string, error) {
	m := s.Module()
	if err := os.MkdirAll(filepath.Dir(staged), 0o755); err != nil {
		return "", err
	}
	tmp := staged + ".part"
	defer os.Remove(tmp)
	from, err := g.download(ctx, m, name, tmp, limit)
	if errors.Is(err, modfetch.ErrDirect) {
		from = "version control"
		err = g.fetchDirect(ctx, m, path.Ext(name), tmp)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", m, err)
	}
	if err := modfetch.VerifySum(s, tmp, from); err != nil {
		return "", err
	}
	// The file is the last to be there: the next run doesn't ask for it again.
	if err := os.WriteFile(staged+".origin", []byte(from), 0o644); err != nil {
		return "", err
	}
	return from, os.Rename(tmp, staged)
}

// download gets a file from the proxies. The error is modfetch.ErrDirect where version control is to be asked.
func (g *gatherer) download(ctx context.Context, m module.Version, name, tmp string, limit int64) (string, error) {
	if g.from.Client == nil {
		return "", g.from.lacking(name)
	}
	if g.from.Private != nil && g.from.Private(m.Path) {
		return "", modfetch.ErrDirect
	}
	w, err := os.Create(tmp)
	if err != nil {
		return "", err
	}
	sink := watchedSink{w, func(n int64) { g.progress.At(m.String(), n, 0) }}
	src, err := modfetch.Fetch(ctx, g.from.Client, g.from.Proxies, name, sink, limit)
	if err = errors.Join(err, w.Close()); err != nil {
		return "", err
	}
	return src.Shown, nil
}

// lacking returns the error of a file that every folder lacks or has damaged, if no network is to be asked.
func (s Sources) lacking(name string) error {
	var names []string
	for _, f := range s.Folders {
		names = append(names, f.Name)
	}
	return fmt.Errorf("%s is not in %s, or it is damaged there: see 'larder bundle verify', and add with 'larder bundle create' what is lacking", path.Base(name), strings.Join(names, ", nor in "))
}

// direct has the paths of the files that version control gave for a module.
type direct struct{ zip, mod, info string }

func (g *gatherer) fetchDirect(ctx context.Context, m module.Version, ext, tmp string) error {
	once, _ := g.direct.LoadOrStore(m, sync.OnceValues(func() (direct, error) {
		zip, mod, info, err := g.from.Direct(ctx, m)
		return direct{zip, mod, info}, err
	}))
	got, err := once.(func() (direct, error))()
	if err != nil {
		return err
	}
	src := map[string]string{".zip": got.zip, ".mod": got.mod, ".info": got.info}[ext]
	r, err := os.Open(src)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(tmp)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// versionInfo is the content of an .info file, as the go command writes it.
type versionInfo struct {
	Version string
	Time    time.Time
}

// info returns the version and time of a module version. No checksum covers an .info file, so only the time is taken
// from it, and a module without an .info file is put into a bundle all the same.
func (g *gatherer) info(ctx context.Context, m module.Version) (versionInfo, error) {
	info := versionInfo{Version: m.Version}
	if module.IsPseudoVersion(m.Version) {
		var err error
		info.Time, err = module.PseudoVersionTime(m.Version)
		return info, err
	}
	name, err := gomod.Sum{Path: m.Path, Version: m.Version}.File(".info")
	if err != nil {
		return info, err
	}
	staged := filepath.Join(g.dir, filepath.FromSlash(name))
	data, err := os.ReadFile(staged)
	for _, f := range g.from.Folders {
		if err != nil {
			data, err = fs.ReadFile(f.FS, name)
		}
	}
	if err != nil {
		if err := os.MkdirAll(filepath.Dir(staged), 0o755); err != nil {
			return info, err
		}
		tmp := staged + ".part"
		_, err = g.download(ctx, m, name, tmp, maxInfo)
		if errors.Is(err, modfetch.ErrDirect) {
			err = g.fetchDirect(ctx, m, ".info", tmp)
		}
		if err != nil {
			return info, errors.Join(removed(tmp), context.Cause(ctx))
		}
		if err := os.Rename(tmp, staged); err != nil {
			return info, err
		}
		data, _ = os.ReadFile(staged)
	}
	var said versionInfo
	if len(data) <= maxInfo && json.Unmarshal(data, &said) == nil {
		info.Time = said.Time.UTC().Truncate(time.Second)
	}
	return info, nil
}

func removed(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// maxInfo is the greatest size of an .info file, in which a proxy may write much about the origin of a version.
const maxInfo = 1 << 20
