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
	x, err := replay.ReadFolder(fsys)
	if err != nil {
		return nil, err
	}
	info, err := fs.Stat(fsys, replay.IndexName)
	if err != nil {
		return nil, err
	}
	index := itemFiles{Item{Kind: KindFile, Name: replay.IndexName, Size: info.Size()}, []file{fileOfFS(fsys, replay.IndexName, info.Size())}}
	if index.item.Digest, err = index.files[0].digest(); err != nil {
		return nil, err
	}
	group := []itemFiles{index}
	have := map[digest.Digest]bool{}
	for _, i := range answers(x) {
		if len(group) >= perLayer {
			groups, group = append(groups, group), nil
		}
		g := itemFiles{item: i}
		if !have[i.Digest] {
			f := fileOfFS(fsys, replay.BodyName(i.Digest), i.Size)
			got, err := f.digest()
			if err = errors.Join(err, ctx.Err()); err != nil {
				return nil, err
			}
			if got != i.Digest {
				return nil, fmt.Errorf("the answer of %s has digest %s, and its index says %s: record it anew", i.Name, got, i.Digest)
			}
			g.files = []file{f}
			have[i.Digest] = true
		}
		group = append(group, g)
	}
	return append(groups, group), nil
}

// fileOfFS returns a file whose content is read from a file system.
func fileOfFS(fsys fs.FS, name string, size int64) file {
	return file{name, size, func() (io.ReadCloser, error) { return fsys.Open(name) }}
}

// answers returns the items of recorded answers. Answers without a body are in the index alone.
func answers(x replay.Index) (items []Item) {
	for _, a := range x.Answers {
		if a.Digest != "" {
			items = append(items, Item{Kind: KindAnswer, Name: a.URL, Version: a.Accept, Size: a.Size, Digest: a.Digest})
		}
	}
	return items
}

// checkRecorded compares the items of a recording with its index, because builds read the index.
func checkRecorded(view fs.FS, items []Item) error {
	x, err := replay.ReadFolder(view)
	if err != nil {
		return err
	}
	listed := slices.DeleteFunc(slices.Clone(items), func(i Item) bool { return i.Kind != KindAnswer })
	want := answers(x)
	slices.SortFunc(listed, compareItems)
	slices.SortFunc(want, compareItems)
	if !slices.Equal(listed, want) {
		return errors.New("the manifest lists other answers than the index of what was recorded: don't use this bundle")
	}
	return nil
}

// Recorded opens the recorded answers of servers to build steps. It returns nil if nothing was recorded. The caller
// closes the view.
func (b *Bundle) Recorded(ctx context.Context) (*View, error) {
	if _, ok := b.Images()[RecordedName]; !ok {
		return nil, nil
	}
	return b.View(ctx, RecordedName)
}
