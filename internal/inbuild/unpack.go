package inbuild

import (
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
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/errgroup"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/modfetch"
)

const cacheDownload = "cache/download" // where a GOMODCACHE keeps what isn't unpacked

// runUnpack makes a read-only GOMODCACHE of GOPROXY folders: unpacked trees, and of the download cache the go.mod
// files, the zips' hashes and a minimal .info for each version; the zips themselves stay behind, no build reads them.
// Flags: --sums FILE (the module set), --from DIR (may be repeated), --out DIR.
func runUnpack(ctx context.Context, args []string, stdout io.Writer) error {
	flags := newFlags("unpack")
	sums := flags.String("sums", "", "")
	out := flags.String("out", "", "")
	var from stringList
	flags.Var(&from, "from", "")
	if err := parseFlags(flags, args, "sums", "out", "from"); err != nil {
		return err
	}
	set, err := readSums(*sums)
	if err != nil {
		return err
	}
	src, err := openFolders(from)
	if err != nil {
		return err
	}
	var present gomod.Set
	if err := fill(*out, func(out *os.Root) error {
		var missing []gomod.Sum
		if present, missing, err = partition(set, src); err != nil {
			return err
		}
		tellMissing(stdout, missing)
		return unpackSet(ctx, out, present, src)
	}); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "checked and unpacked %d modules\n", len(present.Zips()))
	return nil
}

// partition parts a set into what the folders have and what they lack. A folder that 'go mod download' made lacks some
// of what go.sum lists, such as what only the tests of dependencies need, and no build misses it; but a folder that has
// nothing at all, not even a go.mod file, is another folder than was meant.
func partition(set gomod.Set, src folders) (present gomod.Set, missing []gomod.Sum, err error) {
	present, err = set.Filter(func(sum gomod.Sum) (bool, error) {
		_, err := locate(sum, src, modzip.MaxZipFile)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, sum)
			return false, nil
		}
		return err == nil, err
	})
	if err == nil && present.Empty() && len(set.GoMods()) > 0 {
		err = fmt.Errorf("the module folder has none of the %d files that go.sum lists, not even that of %s: give a folder in GOPROXY layout, such as the go command's cache/download after 'go mod download'", len(missing), missing[0].Module())
	}
	return present, missing, err
}

// tellMissing lists the first of what is missing.
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

// unpackSet unpacks every module of the set, as many at a time as there are processors. It stops at the first error.
func unpackSet(ctx context.Context, out *os.Root, set gomod.Set, src folders) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	known := versions{seen: map[module.Version]bool{}}
	for _, sum := range append(set.Zips(), set.GoMods()...) {
		known.add(sum.Module())
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if sum.GoMod {
				return unpackMod(out, sum, src, &known)
			}
			return unpackZip(ctx, out, sum, src)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for m := range known.seen {
		if err := writeInfo(out, m); err != nil {
			return fmt.Errorf("%s: writing its .info: %w", m, err)
		}
	}
	if err := sealModules(out); err != nil {
		return fmt.Errorf("finishing the module cache: %w", err)
	}
	return nil
}

// sealModules does what seal does but for the trees of modules, which are sealed already. It lets any user add modules to
// a cache that is mounted to take writes, which are dropped after the step: the folders above the trees of modules, and
// those of the download cache, are open to all.
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

// versions are those that need an .info: the set's, and all that its go.mod files require. Of the latter a pruned build
// list has some whose own go.mod file nobody reads, but 'go list -m all' asks whether they exist.
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

// unpackZip unpacks a zip, and checks it meanwhile.
func unpackZip(ctx context.Context, out *os.Root, sum gomod.Sum, src folders) error {
	m := sum.Module()
	zip, err := locate(sum, src, modzip.MaxZipFile)
	if err != nil {
		return err
	}
	dir, err := moduleDir(m)
	if err != nil {
		return err
	}
	if err := extractChecked(ctx, out, dir, m, zip, zip, modfetch.InGoSum(sum), readOnly); err != nil {
		return err
	}
	name, err := versionFile(m, ".ziphash")
	if err != nil {
		return err
	}
	return writeFile(out, path.Join(cacheDownload, name), []byte(sum.Hash), 0o444)
}

func unpackMod(out *os.Root, sum gomod.Sum, src folders, known *versions) error {
	file, err := locate(sum, src, modzip.MaxGoMod)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", sum.Module(), err)
	}
	if err := modfetch.VerifyMod(sum.Module(), data, file, modfetch.InGoSum(sum)); err != nil {
		return err
	}
	known.addRequired(data)
	name, err := sumFile(sum)
	if err != nil {
		return err
	}
	return writeFile(out, path.Join(cacheDownload, name), data, 0o444)
}

// locate finds the file of a go.sum line. The error is fs.ErrNotExist if no folder has it.
func locate(sum gomod.Sum, src folders, limit int64) (string, error) {
	name, err := sumFile(sum)
	if err != nil {
		return "", err
	}
	file, err := src.find(name, limit)
	if err != nil {
		return "", fmt.Errorf("%s: %w", sum.Module(), err)
	}
	return file, nil
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

// writeInfo writes a version's .info as the go command itself would write it, since it rewrites any that it would
// write in another way. No checksum covers an .info, so nothing is taken from one that a proxy made: the time is that
// of a pseudo-version's name, or none.
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
