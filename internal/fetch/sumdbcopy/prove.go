package sumdbcopy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"
)

// tileHeight is the height of the tiles that the go command asks for.
const tileHeight = 8

// prove checks that records and earlier heads belong to the tree of the common head, and writes the tiles that prove
// it. A go command that starts from nothing asks for these and no others: for every record it reads those tiles of the
// tree that have its right edge, and those on the way from there down to the record (tlog.TileHashReader, in whatever
// order the records come). One that last saw an earlier head also asks for those with that head's right edge.
func (r *recording) prove(ctx context.Context, records []record, earlier []head) error {
	t := &tiles{ctx: ctx, recording: r}
	reader := tlog.TileHashReader(r.head.tree, t)
	for some := range slices.Chunk(records, batch) {
		if err := proveRecords(reader, some); err != nil {
			return err
		}
		if t.err != nil {
			return t.err
		}
	}
	for _, h := range append(earlier, r.head) {
		hash, err := tlog.TreeHash(h.tree.N, reader)
		if err != nil {
			return fmt.Errorf("proving its earlier tree of %d records: %w", h.tree.N, err)
		}
		if hash != h.tree.Hash {
			return fmt.Errorf("it contradicts itself: its tree of %d records isn't the beginning of its tree of %d: believe neither, and tell its owner", h.tree.N, r.head.tree.N)
		}
	}
	return t.err
}

func proveRecords(reader tlog.HashReader, records []record) error {
	indexes := make([]int64, len(records))
	for i, rec := range records {
		indexes[i] = tlog.StoredHashIndex(0, rec.id)
	}
	hashes, err := reader.ReadHashes(indexes)
	if err != nil {
		return fmt.Errorf("proving %s and the %d records after it: %w", records[0].mod, len(records)-1, err)
	}
	for i, rec := range records {
		if hashes[i] != rec.hash {
			return fmt.Errorf("%s: the record isn't the one in the signed tree: somebody changed it on its way, or in an earlier copy", rec.mod)
		}
	}
	return nil
}

// tiles reads the tiles for a recording, from its known copies or the remote.
type tiles struct {
	ctx context.Context // tlog.TileReader takes none
	*recording
	err error // of SaveTiles, which can't return it
}

// Height implements tlog.TileReader.
func (t *tiles) Height() int { return tileHeight }

// ReadTiles implements tlog.TileReader.
func (t *tiles) ReadTiles(list []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(list))
	group, ctx := errgroup.WithContext(t.ctx)
	group.SetLimit(requests)
	for i, tile := range list {
		group.Go(func() (err error) {
			data[i], err = t.read(ctx, tile)
			return err
		})
	}
	return data, group.Wait()
}

func (t *tiles) read(ctx context.Context, tile tlog.Tile) ([]byte, error) {
	data, err := readTile(tile, func(name string) ([]byte, error) { return readFirst(t.known, name) })
	if errors.Is(err, fs.ErrNotExist) {
		data, err = readTile(tile, func(name string) ([]byte, error) { return t.Remote.Get(ctx, "/"+name) })
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tile.Path(), err)
	}
	return data, nil
}

// SaveTiles implements tlog.TileReader. It is called after the tiles were checked.
func (t *tiles) SaveTiles(list []tlog.Tile, data [][]byte) {
	for i, tile := range list {
		if err := t.write(tile.Path(), data[i]); err != nil {
			t.err = err
		}
	}
}

// readTile reads a tile. A tile may be the beginning of a larger one: once the tree has grown, a database need only
// have the larger tile.
func readTile(tile tlog.Tile, read func(name string) ([]byte, error)) ([]byte, error) {
	size := tile.W * tlog.HashSize
	data, err := read(tile.Path())
	if errors.Is(err, fs.ErrNotExist) {
		whole := tile
		whole.W = 1 << tile.H
		if data, err = read(whole.Path()); err == nil && len(data) == whole.W*tlog.HashSize {
			data = data[:size]
		}
	}
	if err == nil && len(data) != size {
		err = fmt.Errorf("the tile has %d bytes: expected %d", len(data), size)
	}
	return data, err
}
