package inbuild

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
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/sync/errgroup"

	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gorecipe"
	"github.com/larder-build/larder/internal/step"
)

const cacheDownload = "cache/download" // where a GOMODCACHE keeps what isn't unpacked

// runModules makes a read-only GOMODCACHE of the modules that go.sum lists, and of nothing else. It has unpacked trees
// and, in the download cache, the go.mod files, the zips' hashes and a minimal .info for each version. It has no zips,
// because no build reads them. Each file is checked against go.sum while it is unpacked. The files come from GOPROXY
// folders or are fetched.
func runModules(ctx context.Context, s *step.Modules, to output) error {
	s.GoProxy = cmp.Or(s.GoProxy, os.Getenv("GOPROXY"))
	s.GoPrivate = cmp.Or(s.GoPrivate, os.Getenv("GOPRIVATE"))
	s.GoNoProxy = cmp.Or(s.GoNoProxy, os.Getenv("GONOPROXY"))
	if len(s.From) == 0 && s.GoProxy == "" {
		return &step.UsageError{Err: errors.New("in-build modules: one of --from and --goproxy is needed")}
	}
	set, err := readSums(s.Sums)
	if err != nil {
		return err
	}
	only, err := readSources(s.Only)
	if err != nil {
		return err
	}
	return fill(s.Out, func(out *os.Root) error {
		u := unpacking{out: out, log: to.stdout, only: only, known: versions{seen: map[module.Version]bool{}}}
		if len(s.From) == 0 {
			return fetchModules(ctx, &u, set, s)
		}
		src, err := openFolders(s.From)
		if err != nil {
			return err
		}
		present, missing, err := partition(set, src)
		if err != nil {
			return err
		}
		tellMissing(to.stdout, missing)
		u.get = func(_ context.Context, sum gomod.Sum, _ bool) (source, error) { return src.get(sum) }
		if err := u.unpack(ctx, present, runtime.GOMAXPROCS(0)); err != nil {
			return err
		}
		fmt.Fprintf(to.stdout, "checked and unpacked %d modules\n", len(present.Zips()))
		return nil
	})
}

// partition splits a set into the lines whose files the folders have, and those whose files they lack. A folder that
// 'go mod download' made lacks some files that go.sum lists, such as those that only the tests of dependencies need,
// and no build misses them. But if a folder has no file at all, not even a go.mod file, it is the wrong folder.
func partition(set gomod.Set, src folders) (present gomod.Set, missing []gomod.Sum, err error) {
	present, err = set.Filter(func(sum gomod.Sum) (bool, error) {
		_, err := src.get(sum)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, sum)
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("%s: %w", sum.Module(), err)
		}
		return true, nil
	})
	if err == nil && present.Empty() && len(set.GoMods()) > 0 {
		err = fmt.Errorf("the module folder has none of the %d files that go.sum lists, not even that of %s: give a folder in GOPROXY layout, such as the go command's cache/download after 'go mod download'", len(missing), missing[0].Module())
	}
	return present, missing, err
}

// tellMissing lists the first of the missing lines.
func tellMissing(w io.Writer, missing []gomod.Sum) {
	for i, sum := range missing {
		if i == modfetch.MaxReported {
			fmt.Fprintf(w, "… and %d more\n", len(missing)-i)
			return
		}
		what := "zip"
		if sum.GoMod {
			what = "go.mod file"
		}
		fmt.Fprintf(w, "left out, as the folder lacks it: the %s of %s\n", what, sum.Module())
	}
}

// An unpacking makes a GOMODCACHE of the files of a module set.
type unpacking struct {
	out   *os.Root
	log   io.Writer
	get   func(ctx context.Context, sum gomod.Sum, anew bool) (source, error) // called by several at once
	only  *gorecipe.Sources                                                   // that are unpacked; nil for all
	known versions

	files atomic.Int64 // so far

	mu     sync.Mutex
	failed []error
}

// A source is a candidate for the file of a go.sum line.
type source struct {
	file, from string        // from is what errors call it
	checked    func(ok bool) // is told whether it was; may be nil
	kept       bool          // if it wasn't, it can be had anew
}

// unpack unpacks every module of the set, several at a time. It goes on after a module that failed, so that one run
// reports all failures: the error has a line for each of the first, and their number.
func (u *unpacking) unpack(ctx context.Context, set gomod.Set, parallel int) error {
	sums := append(set.Zips(), set.GoMods()...)
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, sum := range sums {
		u.known.add(sum.Module())
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			err := caught(func() error { return u.unpackSum(ctx, sum) })
			if bug := new(bugError); errors.As(err, &bug) {
				err = fmt.Errorf("%s: %w", sum.Module(), err)
			}
			if err != nil {
				u.mu.Lock()
				defer u.mu.Unlock()
				u.failed = append(u.failed, err)
			}
			return nil
		})
	}
	_ = group.Wait() // its functions return none
	if ctx.Err() != nil {
		return fmt.Errorf("fetching modules was stopped after %d of %d files: %w", u.files.Load(), len(sums), context.Cause(ctx))
	}
	if len(u.failed) > 0 {
		return modfetch.Summarize(u.failed)
	}
	for m := range u.known.seen {
		if err := writeInfo(u.out, m); err != nil {
			return fmt.Errorf("%s: writing its .info: %w", m, err)
		}
	}
	if err := errors.Join(u.out.RemoveAll(fetching), sealModules(u.out)); err != nil {
		return fmt.Errorf("finishing the module cache: %w", err)
	}
	return nil
}

// unpackSum unpacks the file of one go.sum line.
func (u *unpacking) unpackSum(ctx context.Context, sum gomod.Sum) error {
	write := u.unpackZip
	if sum.GoMod {
		write = u.unpackMod
	}
	try := func(anew bool) (src source, err error) {
		if src, err = u.get(ctx, sum, anew); err != nil {
			return source{}, fmt.Errorf("%s: %w", sum.Module(), err)
		}
		err = write(ctx, sum, src)
		if src.checked != nil {
			src.checked(err == nil)
		}
		return src, err
	}
	src, err := try(false)
	if err != nil && src.kept && ctx.Err() == nil {
		fmt.Fprintf(u.log, "%s: what was kept of it is damaged, and is fetched anew\n", sum.Module())
		_, err = try(true)
	}
	if err == nil {
		u.files.Add(1)
	}
	return err
}

// sealModules does the same as seal, except for the trees of modules, which are sealed already. It makes the folders
// above these trees, and those of the download cache, writable for all users: a step may mount the cache so that writes
// are dropped at its end, and then any user can add modules.
func sealModules(out *os.Root) error {
	return fs.WalkDir(out.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.Contains(name, "@") && !strings.HasPrefix(name, cacheDownload+"/"):
			return fs.SkipDir
		case d.IsDir():
			err = out.Chmod(name, 0o777)
		}
		return errors.Join(err, out.Chtimes(name, epoch, epoch))
	})
}

// versions are the module versions that need an .info: those of the set, and all that its go.mod files require. Among
// the latter are versions of a pruned build list whose own go.mod file nobody reads, but 'go list -m all' asks whether
// they exist.
type versions struct {
	mu   sync.Mutex
	seen map[module.Version]bool
}

func (v *versions) add(m module.Version) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.seen[m] = true
}

func (v *versions) addRequired(goMod []byte) {
	f, err := modfile.ParseLax("go.mod", goMod, nil)
	if err != nil {
		return // the go command will say so, if it comes to read the file
	}
	for _, r := range f.Require {
		if module.Check(r.Mod.Path, r.Mod.Version) == nil {
			v.add(r.Mod)
		}
	}
}

// unpackZip unpacks a zip, and checks it at the same time: all of it, also what isn't unpacked.
func (u *unpacking) unpackZip(ctx context.Context, sum gomod.Sum, src source) error {
	m := sum.Module()
	dir, err := moduleDir(m)
	if err != nil {
		return err
	}
	if err := extractChecked(ctx, u.out, dir, m, src.file, src.from, modfetch.InGoSum(sum), onlyOf(u.only, dir)); err != nil {
		return errors.Join(err, u.out.RemoveAll(dir))
	}
	name, err := versionFile(m, ".ziphash")
	if err != nil {
		return err
	}
	return writeFile(u.out, path.Join(cacheDownload, name), []byte(sum.Hash), 0o444)
}

func (u *unpacking) unpackMod(_ context.Context, sum gomod.Sum, src source) error {
	data, err := os.ReadFile(src.file)
	if err != nil {
		return fmt.Errorf("%s: %w", sum.Module(), err)
	}
	if err := modfetch.VerifyMod(sum.Module(), data, src.from, modfetch.InGoSum(sum)); err != nil {
		return err
	}
	u.known.addRequired(data)
	name, err := sumFile(sum)
	if err != nil {
		return err
	}
	return writeFile(u.out, path.Join(cacheDownload, name), data, 0o444)
}

// moduleDir returns the name of a module's tree in a GOMODCACHE.
func moduleDir(m module.Version) (string, error) {
	p, err := module.EscapePath(m.Path)
	if err != nil {
		return "", err
	}
	v, err := module.EscapeVersion(m.Version)
	if err != nil {
		return "", err
	}
	return p + "@" + v, nil
}

// writeInfo writes a version's .info exactly as the go command would, because the go command rewrites any that differs.
// No checksum covers an .info, so it takes nothing from a proxy's: the time is the one in a pseudo-version's name, or
// none.
func writeInfo(out *os.Root, m module.Version) error {
	info := struct {
		Version string
		Time    time.Time
	}{Version: m.Version}
	if module.IsPseudoVersion(m.Version) {
		t, err := module.PseudoVersionTime(m.Version)
		if err != nil {
			return err
		}
		info.Time = t
	}
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	name, err := versionFile(m, ".info")
	if err != nil {
		return err
	}
	return writeFile(out, path.Join(cacheDownload, name), data, 0o444)
}
