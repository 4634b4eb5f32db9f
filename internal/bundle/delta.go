package bundle

import (
	"context"
	"fmt"
	"maps"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sinceAnnotation is an annotation on the index of a delta: the digest of the bundle that the delta is applied to.
const sinceAnnotation = "build.larder.bundle.since"

// Since returns the digest of the bundle that a delta is applied to, or "" for a whole bundle.
func (b *Bundle) Since() digest.Digest { return digest.Digest(b.index.Annotations[sinceAnnotation]) }

// deltaError returns the error of a delta that is used where a whole bundle is needed.
func (b *Bundle) deltaError() error {
	return fmt.Errorf("%s is a delta, without what the bundle %s has: apply it there with 'larder bundle apply', and take that; 'verify', 'sign' and 'diff' can do with a delta if they are given that bundle, too", b.dir, b.Since())
}

// otherBase returns the error of a delta that isn't a delta to the bundle older.
func (b *Bundle) otherBase(older *Bundle) error {
	return fmt.Errorf("%s is a delta to the bundle %s, and %s is %s: apply the deltas between them first, or make one with 'larder bundle create --since %s'", b.dir, b.Since(), older.dir, older.Digest(), older.dir)
}

// On returns a view of the bundle that results from applying a delta to an older one. It is for reading only.
func (b *Bundle) On(older *Bundle) (*Bundle, error) {
	switch b.Since() {
	case "":
		return nil, fmt.Errorf("%s is no delta: leave %s out", b.dir, older.dir)
	case older.Digest():
		on := *b
		on.base = older
		return &on, nil
	}
	return nil, b.otherBase(older)
}

// Apply applies a delta to the bundle in a folder. The result is the same everywhere, byte for byte. The bundle stays
// as it was until everything that the delta needs is there. The signatures are those of the delta, unless it has none
// and was applied before. Trust must accept the old bundle, whatever its serial, as it accepted the delta. The result
// may not have a lower serial unless trust allows that: see Trust.Replace.
func Apply(ctx context.Context, dir string, delta *Bundle, trust Trust) (*Bundle, error) {
	since := delta.Since()
	if since == "" {
		return nil, fmt.Errorf("%s is no delta: name first what 'larder bundle create --since' made, and then the bundle to bring up to date; to make one bundle of two, use 'larder bundle merge'", delta.dir)
	}
	if err := delta.refuseStrangers(); err != nil {
		return nil, err
	}
	b, unlock, err := openLocked(ctx, dir, Trust{Keys: trust.Keys})
	if err != nil {
		return nil, err
	}
	defer unlock()
	if to := b.Since(); to != "" {
		return nil, fmt.Errorf("%s is a delta itself, to the bundle %s: apply it there, and then %s to that", dir, to, delta.dir)
	}
	next := &Bundle{dir: dir, store: b.store, index: applied(delta.index), signed: delta.signed}
	same := next.Digest() == b.Digest() // it was applied before
	signature, signed := next.Images()[SignatureName]
	if same && (!signed || signature.Digest == b.Images()[SignatureName].Digest) {
		return b, b.collect(ctx)
	}
	if !same && since != b.Digest() {
		return nil, delta.otherBase(b)
	}
	if err := trust.Replace(ctx, b, delta, delta.dir); err != nil {
		return nil, err
	}
	both := &Bundle{dir: delta.dir, store: delta.store, index: next.index, base: b}
	err = both.walk(ctx, func(desc ocispec.Descriptor) error {
		if next.has(ctx, desc) {
			return nil
		}
		return next.copyBlob(ctx, both, desc)
	})
	if err != nil {
		return nil, err
	}
	if err := next.commit(); err != nil {
		return nil, err
	}
	return next, next.collect(ctx)
}

// applied returns the index of the bundle that a delta makes. It returns the index of a whole bundle unchanged.
func applied(index ocispec.Index) ocispec.Index {
	index.Annotations = maps.Clone(index.Annotations)
	delete(index.Annotations, sinceAnnotation)
	if len(index.Annotations) == 0 {
		index.Annotations = nil
	}
	return index
}

// A Change is a difference between two bundles: an item that is new, gone or changed.
type Change struct {
	Old *Item `json:"old,omitempty"` // nil where it is new
	New *Item `json:"new,omitempty"` // nil where it is gone
}

// Diff returns the changes from an older bundle to a newer one, sorted. Items that differ only in their origin and in
// the time when they were fetched are the same. The newer one may be a delta to the older.
func Diff(ctx context.Context, older, newer *Bundle) ([]Change, error) {
	if on, err := newer.On(older); err == nil {
		newer = on
	}
	a, err := older.Items(ctx)
	if err != nil {
		return nil, err
	}
	b, err := newer.Items(ctx)
	if err != nil {
		return nil, err
	}
	var changes []Change
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && compareItems(a[0], b[0]) < 0:
			changes = append(changes, Change{Old: &a[0]})
			a = a[1:]
		case len(a) == 0 || compareItems(a[0], b[0]) > 0:
			changes = append(changes, Change{New: &b[0]})
			b = b[1:]
		default:
			if a[0].H1 != b[0].H1 || a[0].GoModH1 != b[0].GoModH1 || a[0].H1 == "" && a[0].Digest != b[0].Digest {
				changes = append(changes, Change{Old: &a[0], New: &b[0]})
			}
			a, b = a[1:], b[1:]
		}
	}
	return changes, nil
}
