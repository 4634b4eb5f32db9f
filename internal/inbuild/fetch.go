package inbuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/gitfetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/step"
)

// inStep has the advice for errors of a step that fetches.
var inStep = fetch.Remedies{
	Missing:     "use a proxy that serves it, or pass a GOPROXY folder as the named context larder-modules",
	CA:          "if the network has a certificate authority of its own, pass it with --secret id=ca,src=FILE",
	Credentials: "pass --secret id=netrc,src=FILE",
}

const (
	parallelFetches = 16
	progressEvery   = 5 * time.Second
)

// fetchModules fetches the files that a set lists, and nothing else, and unpacks them.
func fetchModules(ctx context.Context, u *unpacking, set gomod.Set, ask *step.Modules) error {
	proxies, err := modfetch.ParseList(ask.GoProxy)
	if err != nil {
		return err
	}
	private := func(path string) bool { return gomod.NoProxy(ask.GoNoProxy, ask.GoPrivate, path) }
	if err := checkReachable(set, proxies[0], private); err != nil {
		return err
	}
	client, creds, err := newClient()
	if err != nil {
		return err
	}
	git, err := newGit(u.out, client, creds, ask.GoPrivate)
	if err != nil {
		return err
	}
	f := &fetcher{client: client, proxies: proxies, private: private, git: git, out: u.out}
	if ask.Kept != "" {
		if f.kept, err = openKept(ask.Kept); err != nil {
			return err
		}
		defer f.kept.close()
	}
	u.get = f.get
	stop := f.report(u, len(set.Zips())+len(set.GoMods()))
	unlimit := limitMemory(maxFetchMemory, &f.now, endStep)
	err = u.unpack(ctx, set, parallelFetches)
	unlimit()
	stop()
	if err != nil {
		return err
	}
	taken := ""
	if n := f.taken.Load(); n > 0 {
		taken = fmt.Sprintf(", and took %d files that were kept", n)
	}
	fmt.Fprintf(u.log, "fetched, checked and unpacked %d modules and %d go.mod files, %s%s\n", len(set.Zips()), len(set.GoMods()), megabytes(f.bytes.Load()), taken)
	if f.kept != nil {
		f.kept.trim(time.Now())
	}
	return nil
}

// checkReachable returns one error for the whole set, instead of one for each module, if the list of proxies forbids
// all modules that aren't private.
func checkReachable(set gomod.Set, first modfetch.Entry, private func(path string) bool) error {
	if first.Word != "off" {
		return nil
	}
	sums := slices.DeleteFunc(append(set.Zips(), set.GoMods()...), func(s gomod.Sum) bool { return private(s.Path) })
	if len(sums) == 0 {
		return nil
	}
	return fmt.Errorf("GOPROXY=off, nothing may be fetched, and the build needs %s (%d files of modules in all): set GOPROXY to a proxy that serves them, or pass a GOPROXY folder as the named context larder-modules",
		sums[0].Module(), len(sums))
}

// A fetcher gets the files of go.sum lines from proxies and version control.
type fetcher struct {
	client  *fetch.Client
	proxies []modfetch.Entry
	private func(path string) bool // no proxy may be asked
	git     *gitfetch.Fetcher
	out     *os.Root   // for files that are not kept
	kept    *keptFiles // may be nil

	now          fetchList
	taken, bytes atomic.Int64 // files that were kept, and what was fetched
}

// fetching is the folder for files until they are unpacked. No module path starts with a dot, so no module has that
// name.
const fetching = ".fetching"

// get returns the file of one go.sum line. It comes from the kept files, unless anew is true, else from a proxy if one
// may be asked and has it, else from version control.
func (f *fetcher) get(ctx context.Context, sum gomod.Sum, anew bool) (source, error) {
	defer f.now.begin(sum.Module())()
	if f.private(sum.Path) {
		return f.fetchGit(ctx, sum)
	}
	if f.kept != nil && !anew {
		if src, ok := f.kept.find(sum); ok {
			f.taken.Add(1)
			return src, nil
		}
	}
	src, err := f.download(ctx, sum)
	if !errors.Is(err, modfetch.ErrDirect) {
		return src, err
	}
	src, direct := f.fetchGit(ctx, sum)
	if direct != nil {
		return source{}, fmt.Errorf("%w; %w", err, direct)
	}
	return src, nil
}

// download fetches the file of a go.sum line from a proxy, and checks it. If the check succeeds the file is kept,
// otherwise removed.
func (f *fetcher) download(ctx context.Context, sum gomod.Sum) (source, error) {
	name, err := sumFile(sum)
	if err != nil {
		return source{}, err
	}
	dir, tmp := f.out, path.Join(fetching, name)
	if f.kept != nil {
		dir, tmp = f.kept.dir, f.kept.temporary()
	}
	from, err := download(ctx, f.client, f.proxies, name, dir, tmp, maxSize(sum))
	if err != nil {
		return source{}, errors.Join(err, removed(dir, tmp))
	}
	file := filepath.Join(dir.Name(), tmp)
	f.count(file)
	return source{file: file, from: from.Shown, checked: func(ok bool) {
		if ok && f.kept != nil && !from.Guarded(f.client, name) {
			f.kept.keep(tmp, sum)
		} else {
			_ = removed(dir, tmp) // it is removed with its folder at the end, or when it is old
		}
	}}, nil
}

// download fetches a file into the new file tmp of out, and returns its source.
func download(ctx context.Context, c *fetch.Client, list []modfetch.Entry, name string, out *os.Root, tmp string, limit int64) (*modfetch.Source, error) {
	if err := writeFile(out, tmp, nil, 0o644); err != nil {
		return nil, err
	}
	w, err := out.OpenFile(tmp, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	src, err := modfetch.Fetch(ctx, c, list, name, w, limit)
	return src, errors.Join(err, w.Close())
}

func (f *fetcher) count(file string) {
	if info, err := os.Stat(file); err == nil {
		f.bytes.Add(info.Size())
	}
}

// report writes a line of progress every few seconds until the returned function is called.
func (f *fetcher) report(u *unpacking, total int) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				fmt.Fprintf(u.log, "unpacked %d of %d files of modules, fetched %s\n", u.files.Load(), total, megabytes(f.bytes.Load()))
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
