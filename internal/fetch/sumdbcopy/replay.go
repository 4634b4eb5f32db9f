package sumdbcopy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// NewClient returns a client of the database with the given verifier key. The client reads only a copy, from fsys above
// its folder sumdb. Its Lookup checks the signature and the proof, and returns the lines for a go.sum.
func NewClient(fsys fs.FS, key string) (*sumdb.Client, error) {
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("the checksum database's key %q: %w: expected NAME+HASH+KEY, as its owner published it", key, err)
	}
	sub, err := fs.Sub(fsys, "sumdb/"+verifier.Name())
	if err != nil {
		return nil, fmt.Errorf("the copy of the checksum database %s: %w", verifier.Name(), err)
	}
	return sumdb.NewClient(&replay{key: key, fsys: sub}), nil
}

// Has reports whether a copy of the database with a verifier key has the record of a module version.
func Has(fsys fs.FS, key string, m module.Version) (bool, error) {
	file, err := lookupFile(m)
	if err != nil {
		return false, err
	}
	name, _, _ := strings.Cut(key, "+")
	_, err = fs.Stat(fsys, path.Join("sumdb", name, file))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// A replay implements sumdb.ClientOps over a copy. It knows no earlier head, like a new go command.
type replay struct {
	key  string
	fsys fs.FS
}

func (r *replay) ReadRemote(path string) ([]byte, error) {
	return readFile(r.fsys, strings.TrimPrefix(path, "/"))
}

func (r *replay) ReadConfig(file string) ([]byte, error) {
	if file == "key" {
		return []byte(r.key), nil
	}
	return nil, nil
}

func (r *replay) WriteConfig(string, []byte, []byte) error { return nil }
func (r *replay) ReadCache(string) ([]byte, error)         { return nil, fs.ErrNotExist }
func (r *replay) WriteCache(string, []byte)                {}
func (r *replay) Log(string)                               {}
func (r *replay) SecurityError(string)                     {}

// Lookup returns a lookup file, lookup/<module>@<version>, from the first of several copies of one database that has
// it. The copies are its folders sumdb/<name>. If the tiles prove the record under the newest head of all copies, the
// file gets that head, so that a go command sees as few heads as possible; otherwise it keeps its own. The go command
// checks the signatures.
func Lookup(copies []fs.FS, file string) ([]byte, error) {
	data, err := readFirst(copies, file)
	if err != nil || len(copies) == 1 {
		return data, err
	}
	id, text, signed, err := tlog.ParseRecord(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	newest, err := tlog.ParseTree(signed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	own := newest
	for _, fsys := range copies {
		other, err := readFile(fsys, "latest")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if tree, err := tlog.ParseTree(other); err == nil && tree.N > newest.N {
			newest, signed = tree, other
		}
	}
	if newest == own || !proves(copies, newest, id, text) {
		return data, nil
	}
	return withHead(data, signed)
}

// proves reports whether the tiles of copies prove a record under a head.
func proves(copies []fs.FS, tree tlog.Tree, id int64, text []byte) bool {
	hashes, err := tlog.TileHashReader(tree, tilesOf(copies)).ReadHashes([]int64{tlog.StoredHashIndex(0, id)})
	return err == nil && hashes[0] == tlog.RecordHash(text)
}

// tilesOf implements tlog.TileReader over copies.
type tilesOf []fs.FS

func (t tilesOf) Height() int { return tileHeight }

func (t tilesOf) ReadTiles(list []tlog.Tile) (data [][]byte, err error) {
	data = make([][]byte, len(list))
	for i, tile := range list {
		if data[i], err = readTile(tile, func(name string) ([]byte, error) { return readFirst(t, name) }); err != nil {
			return nil, fmt.Errorf("%s: %w", tile.Path(), err)
		}
	}
	return data, nil
}

func (t tilesOf) SaveTiles([]tlog.Tile, [][]byte) {}

var (
	_ sumdb.ClientOps = (*replay)(nil)
	_ tlog.TileReader = tilesOf(nil)
)
