package inbuild

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/errgroup"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/modfetch"
)

// caSecret is where BuildKit puts the secret "ca": roots of the user's own network, as PEM.
const caSecret = "/run/secrets/ca"

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
	if err := checkPrivate(set, *goprivate, *gonoproxy); err != nil {
		return err
	}
	if err := checkReachable(set, proxies[0]); err != nil {
		return err
	}
	client, err := modfetch.NewClient(caSecret, nil, inStep)
	if err != nil {
		return err
	}
	return fill(*out, func(out *os.Root) error {
		f := &fetcher{client: client, proxies: proxies, out: out, log: stdout}
		return f.fetch(ctx, set)
	})
}

// checkPrivate refuses a module that the user keeps from proxies: it would have to come from version control.
func checkPrivate(set gomod.Set, goprivate, gonoproxy string) error {
	name, patterns := "GONOPROXY", gonoproxy
	if patterns == "" {
		name, patterns = "GOPRIVATE", goprivate
	}
	var private []string
	for _, sum := range append(set.Zips(), set.GoMods()...) {
		if m := sum.Module().String(); module.MatchPrefixPatterns(patterns, sum.Path) && !slices.Contains(private, m) {
			private = append(private, m)
		}
	}
	if len(private) == 0 {
		return nil
	}
	more := ""
	if len(private) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(private)-1)
	}
	return fmt.Errorf("%s%s matches %s=%s: no proxy may be asked for it, and Larder doesn't fetch from version control: set GONOPROXY=none if your proxy serves it, or pass a GOPROXY folder as the named context larder-modules",
		private[0], more, name, patterns)
}

// checkReachable refuses a list that names no proxy with one error, not one for each module.
func checkReachable(set gomod.Set, first modfetch.Entry) error {
	if first.Source != nil || set.Empty() {
		return nil
	}
	sums := append(set.Zips(), set.GoMods()...)
	why := "nothing may be fetched"
	if first.Word == "direct" {
		why = "Larder doesn't fetch from version control"
	}
	return fmt.Errorf("GOPROXY=%s, %s, and the build needs %s (%d files of modules in all): set GOPROXY to a proxy that serves them, or pass a GOPROXY folder as the named context larder-modules",
		first.Word, why, sums[0].Module(), len(sums))
}

type fetcher struct {
	client  *modfetch.Client
	proxies []modfetch.Entry
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
	limit := int64(modzip.MaxZipFile)
	if sum.GoMod {
		limit = modzip.MaxGoMod
	}
	tmp := path.Join(fetching, name)
	src, size, err := download(ctx, f.client, f.proxies, name, f.out, tmp, limit)
	if err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	if err := modfetch.VerifySum(sum, filepath.Join(f.out.Name(), tmp), src.Shown); err != nil {
		return err
	}
	if err := errors.Join(f.out.MkdirAll(path.Dir(name), 0o755), f.out.Rename(tmp, name)); err != nil {
		return fmt.Errorf("%s: %w", m, err)
	}
	f.files.Add(1)
	f.bytes.Add(size)
	return nil
}

// download fetches name into the new file tmp of out, and returns where it came from and its size.
func download(ctx context.Context, c *modfetch.Client, list []modfetch.Entry, name string, out *os.Root, tmp string, limit int64) (*modfetch.Source, int64, error) {
	if err := writeFile(out, tmp, nil, 0o644); err != nil {
		return nil, 0, err
	}
	w, err := out.OpenFile(tmp, os.O_WRONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	src, err := c.Fetch(ctx, list, name, w, limit)
	var info fs.FileInfo
	if err == nil {
		info, err = w.Stat()
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, 0, err
	}
	return src, info.Size(), nil
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
