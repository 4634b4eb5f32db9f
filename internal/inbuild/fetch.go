package inbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/errgroup"

	"github.com/larder-build/larder/internal/gitfetch"
	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/modfetch"
)

// inStep is what to do about errors of a step that fetches.
var inStep = modfetch.Remedies{
	Missing:     "use a proxy that serves it, or pass a GOPROXY folder as the named context larder-modules",
	CA:          "if the network has a certificate authority of its own, pass it with --secret id=ca,src=FILE",
	Credentials: "pass --secret id=netrc,src=FILE",
}

const (
	parallelFetches = 16
	progressEvery   = 5 * time.Second
)

// runFetch fetches what go.sum lists, and nothing else, into a GOPROXY folder: for each line the zip or the go.mod
// file, checked as it lands. It is the only step of a module layer that has a network.
// Flags: --sums FILE (the module set), --out DIR, --goproxy LIST, --goprivate and --gonoproxy PATTERNS as the go
// command takes them.
func runFetch(ctx context.Context, args []string, stdout io.Writer) error {
	flags := newFlags("fetch")
	sums := flags.String("sums", "", "")
	out := flags.String("out", "", "")
	goproxy := flags.String("goproxy", os.Getenv("GOPROXY"), "")
	goprivate := flags.String("goprivate", os.Getenv("GOPRIVATE"), "")
	gonoproxy := flags.String("gonoproxy", os.Getenv("GONOPROXY"), "")
	if err := parseFlags(flags, args, "sums", "out", "goproxy"); err != nil {
		return err
	}
	set, err := readSums(*sums)
	if err != nil {
		return err
	}
	proxies, err := modfetch.ParseList(*goproxy)
	if err != nil {
		return err
	}
	private := func(path string) bool { return gomod.NoProxy(*gonoproxy, *goprivate, path) }
	if err := checkReachable(set, proxies[0], private); err != nil {
		return err
	}
	client, creds, err := newClient()
	if err != nil {
		return err
	}
	return fill(*out, func(out *os.Root) error {
		git, err := newGit(out, client, creds, *goprivate)
		if err != nil {
			return err
		}
		f := &fetcher{client: client, proxies: proxies, private: private, git: git, out: out, log: stdout}
		return f.fetch(ctx, set)
	})
}

// checkReachable refuses a list that forbids all that isn't private with one error, not one for each module.
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

type fetcher struct {
	client  *modfetch.Client
	proxies []modfetch.Entry
	private func(path string) bool // no proxy may be asked
	git     *gitfetch.Fetcher
	out     *os.Root
	log     io.Writer

	files, bytes atomic.Int64 // so far

	mu     sync.Mutex
	failed []error
}

// fetch fetches every file of the set. It goes on after a module that failed, so that one run tells of all that fail:
// the error has a line for each of the first, and the count.
func (f *fetcher) fetch(ctx context.Context, set gomod.Set) error {
	sums := append(set.Zips(), set.GoMods()...)
	stop := f.report(len(sums))
	var group errgroup.Group
	group.SetLimit(parallelFetches)
	for _, sum := range sums {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			if err := f.fetchSum(ctx, sum); err != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.failed = append(f.failed, err)
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return none
	stop()
	if ctx.Err() != nil {
		return fmt.Errorf("fetching modules was stopped after %d of %d files: %w", f.files.Load(), len(sums), context.Cause(ctx))
	}
	if len(f.failed) > 0 {
		return modfetch.Summarize(f.failed)
	}
	if err := errors.Join(f.out.RemoveAll(fetching), seal(f.out)); err != nil {
		return fmt.Errorf("finishing the module folder: %w", err)
	}
	fmt.Fprintf(f.log, "fetched and checked %d zips and %d go.mod files, %s\n", len(set.Zips()), len(set.GoMods()), megabytes(f.bytes.Load()))
	return nil
}

// fetching is where files are until they are checked: no module path starts with a dot.
const fetching = ".fetching"

// fetchSum fetches the file of one go.sum line and checks it, before it gets its name.
func (f *fetcher) fetchSum(ctx context.Context, sum gomod.Sum) error {
	m := sum.Module()
	name, err := sumFile(sum)
	if err != nil {
		return err
	}
	tmp, from, err := f.get(ctx, sum, name)
	if err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	if err := modfetch.VerifySum(sum, filepath.Join(f.out.Name(), tmp), from); err != nil {
		return err
	}
	info, err := f.out.Stat(tmp)
	if err := errors.Join(err, f.out.MkdirAll(path.Dir(name), 0o755), f.out.Rename(tmp, name)); err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	f.files.Add(1)
	f.bytes.Add(info.Size())
	return nil
}

// get fetches the file of one go.sum line, from a proxy if one may be asked and has it, else from version control. It
// returns the file's name in out and where it came from.
func (f *fetcher) get(ctx context.Context, sum gomod.Sum, name string) (file, from string, err error) {
	if f.private(sum.Path) {
		return f.fetchGit(ctx, sum)
	}
	limit := int64(modzip.MaxZipFile)
	if sum.GoMod {
		limit = modzip.MaxGoMod
	}
	tmp := path.Join(fetching, name)
	src, err := download(ctx, f.client, f.proxies, name, f.out, tmp, limit)
	if !errors.Is(err, modfetch.ErrDirect) {
		if err != nil {
			return "", "", err
		}
		return tmp, src.Shown, nil
	}
	file, from, direct := f.fetchGit(ctx, sum)
	if direct != nil {
		return "", "", fmt.Errorf("%w; %w", err, direct)
	}
	return file, from, nil
}

// download fetches name into the new file tmp of out, and returns where it came from.
func download(ctx context.Context, c *modfetch.Client, list []modfetch.Entry, name string, out *os.Root, tmp string, limit int64) (*modfetch.Source, error) {
	if err := writeFile(out, tmp, nil, 0o644); err != nil {
		return nil, err
	}
	w, err := out.OpenFile(tmp, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	src, err := c.Fetch(ctx, list, name, w, limit)
	return src, errors.Join(err, w.Close())
}

// report writes a line of progress every few seconds until the function that it returns is called.
func (f *fetcher) report(total int) (stop func()) {
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
				fmt.Fprintf(f.log, "fetched %d of %d files of modules, %s\n", f.files.Load(), total, megabytes(f.bytes.Load()))
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
