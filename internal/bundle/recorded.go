package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/larder-build/larder/internal/replay"
	"github.com/opencontainers/go-digest"
)

// perLayer is the greatest number of answers in a layer. The list of a layer's items is read into memory as a whole.
const perLayer = 20_000

// recordedFiles returns the files of a recording, grouped by layers: the index, and each body once, with an item for
// each answer.
func recordedFiles(ctx context.Context, fsys fs.FS) (groups [][]itemFiles, err error) {
	info, err := fs.Stat(fsys, replay.IndexName)
	if err != nil {
		return nil, fmt.Errorf("reading a recording: %w", err)
	}
	index := itemFiles{Item{Kind: KindFile, Name: replay.IndexName, Size: info.Size()}, []file{fileOfFS(fsys, replay.IndexName, info.Size())}}
	if index.item.Digest, err = index.files[0].digest(); err != nil {
		return nil, err
	}
	group := []itemFiles{index}
	have := map[digest.Digest]digest.Digest{} // equal digests share one string
	err = replay.EachAnswer(fsys, func(a replay.Answer) error {
		i, ok := itemOf(a)
		if !ok {
			return nil
		}
		if len(group) >= perLayer {
			groups, group = append(groups, group), nil
		}
		g := itemFiles{item: i}
		if known, ok := have[i.Digest]; ok {
			g.item.Digest = known
		} else {
			if g.files, err = bodyOf(fsys, i); err != nil {
				return err
			}
			have[i.Digest] = i.Digest
		}
		group = append(group, g)
		return ctx.Err()
	})
	return append(groups, group), err
}

// bodyOf returns the file with the body of an answer, after it was checked against the index.
func bodyOf(fsys fs.FS, i Item) ([]file, error) {
	f := fileOfFS(fsys, replay.BodyName(i.Digest), i.Size)
	got, err := f.digest()
	if err == nil && got != i.Digest {
		err = fmt.Errorf("the answer of %s has digest %s, and its index says %s: record it anew", i.Name, got, i.Digest)
	}
	return []file{f}, err
}

// fileOfFS returns a file whose content is read from a file system.
func fileOfFS(fsys fs.FS, name string, size int64) file {
	return file{name, size, func() (io.ReadCloser, error) { return fsys.Open(name) }}
}

// itemOf returns the item of an answer. An answer without a body has no item: it is in the index alone.
func itemOf(a replay.Answer) (i Item, ok bool) {
	return Item{Kind: KindAnswer, Name: a.URL, Version: a.Accept, Size: a.Size, Digest: a.Digest}, a.Digest != ""
}

// checkRecorded compares the items of a recording with its index, which builds read. Both are in the same order.
func checkRecorded(view fs.FS, items []Item) error {
	differ := errors.New("the manifest lists other answers than the index of what was recorded: don't use this bundle")
	isAnswer := func(i Item) bool { return i.Kind == KindAnswer }
	err := replay.EachAnswer(view, func(a replay.Answer) error {
		want, ok := itemOf(a)
		if !ok {
			return nil
		}
		n := slices.IndexFunc(items, isAnswer)
		if n < 0 || items[n] != want {
			return differ
		}
		items = items[n+1:]
		return nil
	})
	if err == nil && slices.ContainsFunc(items, isAnswer) {
		return differ
	}
	return err
}

// Recorded opens the recorded answers of servers to build steps. It returns nil if nothing was recorded. The caller
// closes the view.
func (b *Bundle) Recorded(ctx context.Context) (*View, error) {
	if _, ok := b.Images()[RecordedName]; !ok {
		return nil, nil
	}
	return b.View(ctx, RecordedName)
}
