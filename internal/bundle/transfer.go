package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/distribution/reference"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/progress"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// parallelBlobs is how many blobs are transferred at a time.
const parallelBlobs = 4

// A Target is a repository of a registry.
type Target interface {
	// Push stores a blob, manifest or index unless the repository has it, and reports whether it was sent. A manifest or
	// index also gets the tag, if that isn't "". The blobs that it refers to must be there already.
	Push(ctx context.Context, desc ocispec.Descriptor, data io.ReaderAt, tag string) (sent bool, err error)
}

// Transferred counts the images and blobs of a push or pull.
type Transferred struct {
	Blobs, Moved      int   // all of them, and those that the other side lacked
	Bytes, MovedBytes int64 // likewise

	Index digest.Digest // by which the registry has the bundle, with its signature
}

// A transfer is one push or pull.
type transfer struct {
	progress progress.Reporter
	trust    Trust
	first    []digest.Digest // what a pull has before all else: the signature
	mu       sync.Mutex
	count    Transferred
}

func (t *transfer) done(desc ocispec.Descriptor, moved bool) {
	t.mu.Lock()
	t.count.Blobs++
	t.count.Bytes += desc.Size
	if moved {
		t.count.Moved++
		t.count.MovedBytes += desc.Size
	}
	t.mu.Unlock()
	t.progress.Done(desc.Digest.String(), desc.Size)
}

// at returns a function that tells how many bytes of a blob are transferred.
func (t *transfer) at(desc ocispec.Descriptor) func(bytes int64) {
	return func(n int64) { t.progress.At(desc.Digest.String(), n, desc.Size) }
}

// Push puts a bundle into a registry: all blobs and images, then its index under a tag, its modules under the tag of each
// of its module sets, and each toolchain under its own tag. Blobs that are there already aren't sent, so a repeated
// push continues one that failed. A pull of the tag gets the old bundle until the new one is whole.
func Push(ctx context.Context, b *Bundle, to Target, tag string, p progress.Reporter) (Transferred, error) {
	t := &transfer{progress: progress.Or(p)}
	if b.Since() != "" {
		return t.count, b.deltaError()
	}
	if err := b.refuseStrangers(); err != nil {
		return t.count, err
	}
	sets, err := b.Sets(ctx)
	if err != nil {
		return t.count, err
	}
	data, err := json.Marshal(b.index)
	if err != nil {
		return t.count, err
	}
	index := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(data), Size: int64(len(data))}
	blobs, err := b.blobs(ctx)
	if err != nil {
		return t.count, err
	}
	t.progress.Begin("push blobs", len(blobs)+1, size(blobs)+index.Size)
	if err := t.pushBlobs(ctx, b, to, blobs); err != nil {
		return t.count, err
	}
	if err := t.pushManifests(ctx, b, to, b.index.Manifests, map[digest.Digest]bool{}); err != nil {
		return t.count, err
	}
	sent, err := to.Push(ctx, index, bytes.NewReader(data), tag)
	if err != nil {
		return t.count, fmt.Errorf("pushing the index of %s: %w", b.dir, err)
	}
	t.done(index, sent)
	t.count.Index = index.Digest
	return t.count, b.pushTags(ctx, to, sets)
}

var tagRegexp = regexp.MustCompile("^" + reference.TagRegexp.String() + "$")

// pushTags tags the images of modules and toolchains with keys, by which a build finds them.
func (b *Bundle) pushTags(ctx context.Context, to Target, sets []string) error {
	tags := map[string][]string{}
	for _, key := range sets {
		tags[ModulesName] = append(tags[ModulesName], gomod.SetTag(key))
	}
	items, err := b.Items(ctx)
	if err != nil {
		return err
	}
	for _, i := range items {
		if i.Kind == KindToolchain {
			tags[ToolchainName] = append(tags[ToolchainName], gotoolchain.Toolchain{Version: i.Version}.Tag(i.Platform))
		}
	}
	images := b.Images()
	for _, name := range []string{ModulesName, ToolchainName} {
		for _, tag := range tags[name] {
			if !tagRegexp.MatchString(tag) { // it is a part of a URL
				return fmt.Errorf("%s: the manifest has what makes the tag %q, which is none: don't use this bundle", b.dir, tag)
			}
			if desc, ok := images[name]; ok {
				if _, err := b.push(ctx, to, desc, tag, func(int64) {}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// pushBlobs pushes those of some blobs that aren't a manifest or an index.
func (t *transfer) pushBlobs(ctx context.Context, b *Bundle, to Target, blobs []ocispec.Descriptor) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, desc := range slices.DeleteFunc(blobs, refers) {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			sent, err := b.push(ctx, to, desc, "", t.at(desc))
			if err == nil {
				t.done(desc, sent)
			}
			return err
		})
	}
	return group.Wait()
}

// pushManifests pushes manifests and indexes. Each is pushed after the blobs that it refers to, as registries require.
func (t *transfer) pushManifests(ctx context.Context, b *Bundle, to Target, list []ocispec.Descriptor, seen map[digest.Digest]bool) error {
	for _, desc := range list {
		if !refers(desc) || seen[desc.Digest] {
			continue
		}
		seen[desc.Digest] = true
		children, err := b.children(ctx, desc)
		if err != nil {
			return err
		}
		if err := t.pushManifests(ctx, b, to, children, seen); err != nil {
			return err
		}
		sent, err := b.push(ctx, to, desc, "", t.at(desc))
		if err != nil {
			return err
		}
		t.done(desc, sent)
	}
	return nil
}

// push pushes one blob of the bundle. It calls at with the number of bytes that were read of it.
func (b *Bundle) push(ctx context.Context, to Target, desc ocispec.Descriptor, tag string, at func(bytes int64)) (sent bool, err error) {
	ra, err := b.reader(ctx, desc)
	if err != nil {
		return false, err
	}
	defer ra.Close()
	if sent, err = to.Push(ctx, desc, watchedReader{ra, at}, tag); err != nil {
		err = fmt.Errorf("pushing %s of %s: %w", desc.Digest, b.dir, err)
	}
	return sent, err
}

// Pull fetches the bundle that a reference names into a folder. Blobs that the folder has already, from an older bundle
// or from a pull that failed, aren't fetched; damaged ones are fetched again. An older bundle there stays whole until
// the new one replaces it at once. The new one must be trusted, and may not be older: see Trust.Replace.
func Pull(ctx context.Context, dir, ref string, from ImageSource, trust Trust, p progress.Reporter) (*Bundle, Transferred, error) {
	t := &transfer{progress: progress.Or(p), trust: trust}
	name, desc, fetcher, err := from.Resolve(ctx, ref)
	if err != nil {
		return nil, t.count, fmt.Errorf("pulling the bundle %s: %w", ref, err)
	}
	if pinned, err := reference.ParseNormalizedNamed(name); err == nil {
		if d, ok := pinned.(reference.Digested); ok && d.Digest() != desc.Digest {
			return nil, t.count, fmt.Errorf("%s: the registry has %s there: don't use it", name, desc.Digest)
		}
	}
	if desc.Size > maxRoot {
		return nil, t.count, fmt.Errorf("%s is said to have %d bytes: of the index of a bundle at most %d are read", name, desc.Size, maxRoot)
	}
	if !images.IsIndexType(desc.MediaType) {
		return nil, t.count, fmt.Errorf("%s is not a bundle, but of the type %s: push one with 'larder bundle push'", name, desc.MediaType)
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, t.count, err
	}
	defer unlock()
	old, err := open(ctx, dir, Trust{})
	if err != nil {
		return nil, t.count, err
	}
	if _, ok := old.Images()[ManifestName]; !ok && len(old.index.Manifests) > 0 {
		return nil, t.count, fmt.Errorf("%s is an OCI layout, but not a bundle: it has no image named %q: pull into another folder", dir, ManifestName)
	}
	b := &Bundle{dir: dir, store: old.store}
	if err := t.pull(ctx, old, b, name, desc, fetcher); err != nil {
		return nil, t.count, fmt.Errorf("pulling the bundle %s: %w", name, err)
	}
	if err := b.commit(); err != nil {
		return nil, t.count, err
	}
	return b, t.count, b.collect(ctx)
}

// pull fetches an index, makes it the bundle's index, and fetches all blobs that it leads to, the signature first.
func (t *transfer) pull(ctx context.Context, old, b *Bundle, name string, desc ocispec.Descriptor, fetcher remotes.Fetcher) error {
	t.progress.Begin("pull manifests", 0, 0)
	if err := t.pullBlob(ctx, b, desc, fetcher); err != nil {
		return err
	}
	t.count.Index = desc.Digest
	data, err := b.readBlob(ctx, desc)
	if err != nil {
		return err
	}
	if err := b.readJSON(ctx, desc, &b.index); err != nil {
		return err
	}
	if _, ok := b.Images()[ManifestName]; !ok {
		return fmt.Errorf("it is not a bundle: it has no image named %q; push one with 'larder bundle push'", ManifestName)
	}
	if err := b.checkIndex(); err != nil {
		return err
	}
	if signature, ok := b.Images()[SignatureName]; ok {
		err := b.walkFrom(ctx, []ocispec.Descriptor{signature}, func(d ocispec.Descriptor) error {
			t.first = append(t.first, d.Digest)
			if d.Size > maxSignature {
				return fmt.Errorf("it has a signature of over %d bytes: don't use this bundle", maxSignature)
			}
			return t.pullBlob(ctx, b, d, fetcher)
		})
		if err != nil {
			return err
		}
	}
	if err := t.trust.admit(ctx, b, data); err != nil {
		return err
	}
	if err := t.trust.Replace(ctx, old, b, name); err != nil {
		return err
	}
	if err := b.refuseStrangers(); err != nil {
		return err
	}
	if since := b.Since(); since != "" {
		return fmt.Errorf("it is a delta to the bundle %s: apply it there, and push what comes of it", since)
	}
	if err := t.pullBlobs(ctx, b, fetcher); err != nil {
		return err
	}
	_, _, err = b.manifest(ctx)
	return err
}

// pullBlobs fetches all blobs that the index leads to. It fetches manifests one after the other, because they name
// further blobs, and then the other blobs at the same time.
func (t *transfer) pullBlobs(ctx context.Context, b *Bundle, fetcher remotes.Fetcher) error {
	var blobs []ocispec.Descriptor
	err := b.walk(ctx, func(desc ocispec.Descriptor) error {
		switch {
		case slices.Contains(t.first, desc.Digest):
			return nil
		case refers(desc):
			return t.pullBlob(ctx, b, desc, fetcher)
		}
		blobs = append(blobs, desc)
		return nil
	})
	if err != nil {
		return err
	}
	t.progress.Begin("pull blobs", len(blobs), size(blobs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelBlobs)
	for _, desc := range blobs {
		group.Go(func() error { return t.pullBlob(ctx, b, desc, fetcher) })
	}
	return group.Wait()
}

// pullBlob fetches a blob unless it is there and whole.
func (t *transfer) pullBlob(ctx context.Context, b *Bundle, desc ocispec.Descriptor, fetcher remotes.Fetcher) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	there, err := b.whole(ctx, desc)
	if err == nil && !there {
		err = b.fetchBlob(ctx, fetcher, desc, t.at(desc))
	}
	if err == nil {
		t.done(desc, !there)
	}
	return err
}
