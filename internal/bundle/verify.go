package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/fetch/sumdbcopy"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Verified counts the things that were checked and are right.
type Verified struct {
	Blobs, Modules, GoMods, Toolchains, Images, Tools, Files, Answers, Compiled int
	Bytes                                                                       int64 // of all blobs
	SumDB                                                                       int   // hashes that the checksum database vouches for
	Unproved                                                                    int   // hashes that neither that does nor a go.sum
}

// Verify recomputes the digest of every blob, and the h1 hash of every module, go.mod file and toolchain. Each of these
// must be what the manifest says, what a go.sum among sums says, if it lists it, and, if key is given, what the copy of
// the checksum database in the bundle proves under that key. What sums list and the bundle lacks is an error, as is a
// file that the manifest doesn't list, and a toolchain for which neither these nor a pin vouch, as nobody else will check
// it. All that is wrong is told, up to a bound. A delta is verified as what it makes of the bundle that it was opened On.
func (b *Bundle) Verify(ctx context.Context, sums gomod.Set, key string, p progress.Reporter) (Verified, error) {
	v := &verification{b: b, progress: progress.Or(p), proved: map[gomod.Sum]bool{}}
	if b.Since() != "" && b.base == nil {
		return v.count, b.deltaError()
	}
	if err := v.blobs(ctx); err != nil {
		return v.count, err
	}
	_, parts, err := b.manifest(ctx)
	if err != nil {
		return v.count, err
	}
	for _, name := range b.Strangers() {
		v.fail(strangerError(b.dir, name))
	}
	v.expect(sums)
	if err := v.images(ctx, itemsOf(parts)); err != nil {
		return v.count, err
	}
	v.missing()
	if len(v.failed) == 0 {
		if err := v.vouched(ctx, parts, key); err != nil {
			return v.count, err
		}
		v.unproved(parts, key)
	}
	return v.count, v.result()
}

// itemsOf returns the items of each image.
func itemsOf(parts []part) map[string][]Item {
	byImage := map[string][]Item{}
	for _, p := range parts {
		byImage[p.image] = append(byImage[p.image], p.items...)
	}
	return byImage
}

// A verification is one run of Verify, or of Export.
type verification struct {
	b        *Bundle
	progress progress.Reporter
	known    map[gomod.Sum]string // hashes of a line without its own

	mu     sync.Mutex
	proved map[gomod.Sum]bool     // by a go.sum or the checksum database
	bodies map[digest.Digest]bool // of answers: those whose digest was computed and is right
	count  Verified
	failed []error
}

func (v *verification) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = append(v.failed, err)
}

// result returns an error that lists everything that is wrong, up to a limit.
func (v *verification) result() error { return modfetch.Summarize(v.failed) }

// each runs a check for each element of a list, on all processors.
func each[T any](ctx context.Context, list []T, check func(T) error) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, x := range list {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error { return check(x) })
	}
	return errors.Join(group.Wait(), context.Cause(ctx))
}

// blobs recomputes the digests of all blobs. If one is wrong, nothing else in the bundle is checked.
func (v *verification) blobs(ctx context.Context) error {
	list, err := v.b.blobs(ctx)
	if err != nil {
		return err
	}
	v.progress.Begin("check blobs", len(list), size(list))
	return each(ctx, list, func(d ocispec.Descriptor) error {
		if err := v.b.checkBlobBy(ctx, d, func(n int64) { v.progress.At(d.Digest.String(), n, d.Size) }); err != nil {
			return err
		}
		v.progress.Done(d.Digest.String(), d.Size)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.count.Blobs++
		v.count.Bytes += d.Size
		return nil
	})
}

func (b *Bundle) checkBlob(ctx context.Context, d ocispec.Descriptor) error {
	return b.checkBlobBy(ctx, d, func(int64) {})
}

// checkBlobBy checks the digest of a blob, and calls at with the number of bytes that were read of it.
func (b *Bundle) checkBlobBy(ctx context.Context, d ocispec.Descriptor, at func(bytes int64)) error {
	ra, err := b.reader(ctx, d)
	if err != nil {
		return err
	}
	defer ra.Close()
	got, err := digest.Canonical.FromReader(io.NewSectionReader(watchedReader{ra, at}, 0, ra.Size()))
	if err != nil {
		return fmt.Errorf("%s: reading blob %s: %w", b.dir, d.Digest, err)
	}
	if got != d.Digest {
		return digestError(b.dir, d, got)
	}
	return nil
}

func (v *verification) expect(sums gomod.Set) {
	v.known = map[gomod.Sum]string{}
	for _, s := range slices.Concat(sums.Zips(), sums.GoMods(), sums.Toolchains()) {
		hash := s.Hash
		s.Hash = ""
		v.known[s] = hash
	}
}

// images checks all images but the bundle's own records, and compiled packages after the others.
func (v *verification) images(ctx context.Context, items map[string][]Item) error {
	compiled := v.b.compiledImages()
	has := v.b.Images()
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if name == ManifestName || name == SignatureName || slices.Contains(compiled, name) {
			continue
		}
		if err := v.image(ctx, name, has[name], items[name]); err != nil {
			return err
		}
	}
	if len(compiled) > 0 {
		v.progress.Begin("check compiled packages", len(compiled), 0)
	}
	for _, name := range compiled {
		if err := v.compiled(ctx, name, has[name], items[name]); err != nil {
			return err
		}
		v.progress.Done(name, 0)
	}
	return nil
}

// image checks the items of one image.
func (v *verification) image(ctx context.Context, name string, desc ocispec.Descriptor, items []Item) error {
	if !own(name) {
		if len(items) != 1 || items[0].Digest != desc.Digest {
			v.fail(fmt.Errorf("%s: the manifest doesn't list the image %s as %s", v.b.dir, name, desc.Digest))
		}
		if err := v.b.checkPin(ctx, name, desc); err != nil {
			v.fail(err)
		}
		v.count.Images++
		return nil
	}
	view, err := v.b.View(ctx, name)
	if err != nil {
		return err
	}
	defer view.Close()
	v.listed(view, name, items)
	v.progress.Begin("check "+name, len(items), 0)
	if name == RecordedName {
		v.recorded(view, items)
	}
	return each(ctx, items, func(i Item) error { v.item(view, i); return nil })
}

// listed checks that the manifest lists all files of one of the bundle's own images, and only items of the right kinds.
func (v *verification) listed(view *View, name string, items []Item) {
	seen := map[string]bool{}
	for _, i := range items {
		if !slices.Contains(kinds[name], i.Kind) {
			v.fail(fmt.Errorf("%s: the manifest lists %s in the image %s, which has none of that kind", v.b.dir, i.ID(), name))
		}
		files, err := i.files()
		if err != nil {
			v.fail(fmt.Errorf("%s: the manifest lists %s: %w", v.b.dir, i.ID(), err))
		}
		for _, f := range files {
			seen[f] = true
		}
	}
	if name != SumDBName { // its item is the layer, whose digest was checked
		for _, f := range view.Names() {
			if !seen[f] {
				v.fail(fmt.Errorf("%s: the image %s has the file %s, which the manifest doesn't list", v.b.dir, name, f))
			}
		}
	}
}

// recorded checks the list of recorded answers.
func (v *verification) recorded(view *View, items []Item) {
	if err := checkRecorded(view, items); err != nil {
		v.fail(fmt.Errorf("%s: %w", v.b.dir, err))
	}
}

// missing reports modules that go.sum lists and the bundle lacks.
func (v *verification) missing() {
	var lines []gomod.Sum
	for s := range v.known {
		if s.Path != gomod.ToolchainPath {
			lines = append(lines, s)
		}
	}
	slices.SortFunc(lines, func(a, b gomod.Sum) int { return strings.Compare(a.String(), b.String()) })
	for _, s := range lines {
		what := "zip"
		if s.GoMod {
			what = "go.mod file"
		}
		v.fail(fmt.Errorf("%s lacks the %s of %s, which go.sum lists: run 'larder bundle create' again", v.b.dir, what, s.Module()))
	}
}

// vouched checks modules and toolchains against the copies of checksum databases, if there are any, as the go command
// would.
func (v *verification) vouched(ctx context.Context, parts []part, key string) error {
	if _, ok := v.b.Images()[SumDBName]; !ok || key == "" {
		return nil
	}
	view, err := v.b.View(ctx, SumDBName)
	if err != nil {
		return err
	}
	defer view.Close()
	return v.vouchedBy(ctx, view, parts, key)
}

// vouchedBy checks modules and toolchains against one copy of a checksum database.
func (v *verification) vouchedBy(ctx context.Context, sumdb fs.FS, parts []part, key string) error {
	client, err := sumdbcopy.NewClient(sumdb, key)
	if err != nil {
		return err
	}
	hashes := 0
	for _, p := range parts {
		for _, i := range p.items {
			hashes += len(i.sums())
		}
	}
	v.progress.Begin("look up hashes in the checksum database", hashes, 0)
	for _, p := range parts {
		for _, i := range p.items {
			for _, s := range i.sums() {
				if err := ctx.Err(); err != nil {
					return err
				}
				v.progress.Done(s.Module().String(), 0)
				listed, err := sumdbcopy.Has(sumdb, key, s.Module())
				if err != nil {
					return err
				}
				if !listed {
					continue // it is private
				}
				version := s.Version
				if s.GoMod {
					version += "/go.mod"
				}
				got, err := client.Lookup(s.Path, version)
				switch {
				case err != nil:
					v.fail(fmt.Errorf("%s: %s: the copy of the checksum database: %s", v.b.dir, i.ID(), strings.TrimSpace(err.Error())))
				case !slices.Contains(got, s.String()):
					v.fail(fmt.Errorf("%s: %s: the checksum database says %q, the bundle has %s", v.b.dir, i.ID(), got, s))
				default:
					v.count.SumDB++
					v.proved[s] = true
				}
			}
		}
	}
	return nil
}

// unproved finds items that only the bundle's own manifest proves. A build has the hashes of modules in its go.sum, but
// none of a toolchain.
func (v *verification) unproved(parts []part, key string) {
	why := "the bundle's copy of the checksum database doesn't list it: run 'larder bundle create' again"
	if _, ok := v.b.Images()[SumDBName]; !ok {
		why = "the bundle has no copy of the checksum database: make it without --no-sumdb"
	} else if key == "" {
		why = "GOSUMDB=off: set it to the checksum database that the bundle has a copy of"
	}
	for _, p := range parts {
		for _, i := range p.items {
			pinned := false // then it was compared with the pin
			if i.Kind == KindToolchain {
				_, pinned = gotoolchain.Toolchain{Version: i.Version}.Pin(i.Platform)
			}
			for _, s := range i.sums() {
				switch {
				case v.proved[s] || pinned:
				case s.Path != gomod.ToolchainPath:
					v.count.Unproved++
				default:
					v.fail(fmt.Errorf("%s: %s: nothing shows that it is what Go's makers published: Larder has no pin of it, and %s, or name with --go-sum a file with the line of %s that you trust", v.b.dir, i.ID(), why, s.Module()))
				}
			}
		}
	}
}
