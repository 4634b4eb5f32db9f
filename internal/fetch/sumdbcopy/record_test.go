package sumdbcopy

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/tlog"
)

func shuffled(list []module.Version) []module.Version {
	list = slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func TestRecord(t *testing.T) {
	for _, size := range []int{1, 2, 255, 256, 257, 70000} { // one, two and three levels of tiles, whole and partial
		db := newDatabase(t, size)
		var list []module.Version
		for _, i := range []int{0, 1, 3, 200, 254, 255, 256, 300, 511, 512, 65535, 65536, 69999} {
			if i < size {
				list = append(list, mod(i))
			}
		}
		dir := t.TempDir()
		c, err := db.recorder(dir).Record(t.Context(), shuffled(append(list, list[0])))
		require.NoError(t, err)
		require.Equal(t, "sum.example.com/db", c.Name)
		require.EqualValues(t, size, c.Head.N)
		files := read(t, dir, c)
		require.Contains(t, files, "sumdb/sum.example.com/db/lookup/example.com/!some/m0@v1.0.0")

		// The files are what a new go command asks for, no more and no less, in whatever order.
		for range 3 {
			fresh := db.desk(t, nil, dir)
			fresh.finds(t, shuffled(list)...)
			asked := map[string]string{}
			for name := range fresh.asked {
				asked["sumdb/"+db.name+"/"+name] = files["sumdb/"+db.name+"/"+name]
			}
			asked["sumdb/"+db.name+"/latest"] = files["sumdb/"+db.name+"/latest"]
			require.Empty(t, cmp.Diff(files, asked))
		}
		client, err := NewClient(os.DirFS(dir), db.key)
		require.NoError(t, err)
		lines, err := client.Lookup(list[0].Path, list[0].Version+"/go.mod")
		require.NoError(t, err)
		require.Equal(t, sums(list[0])[1:], lines)

		// Nothing is asked for twice, by this run or the next.
		for path, n := range db.asked {
			require.Equal(t, 1, n, path)
		}
		clear(db.asked)
		again, err := db.recorder(dir).Record(t.Context(), shuffled(list))
		require.NoError(t, err)
		require.Equal(t, c, again)
		require.Empty(t, db.asked)

		other := t.TempDir()
		again, err = db.recorder(other).Record(t.Context(), shuffled(list))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(files, read(t, other, again)), "the same head, the same files")
	}
}

// A later copy keeps the head as long as it can, and leads on from it when it can't.
func TestRecordLater(t *testing.T) {
	db := newDatabase(t, 300)
	a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
	first, err := db.recorder(a).Record(t.Context(), mods(1, 299))
	require.NoError(t, err)
	db.add(t, 300, 1000)

	clear(db.asked)
	second, err := db.recorder(b, a).Record(t.Context(), mods(1, 2, 299))
	require.NoError(t, err)
	require.Equal(t, first.Head, second.Head)
	require.Equal(t, map[string]int{"/lookup/example.com/!some/m2@v1.0.0": 1}, db.asked, "its tiles are in the earlier copy")
	delta := read(t, b, second)
	for name, data := range read(t, a, first) {
		require.Equal(t, data, delta[name], "%s stays", name)
		delete(delta, name)
	}
	require.Len(t, delta, 1)

	third, err := db.recorder(c, b).Record(t.Context(), mods(2, 999))
	require.NoError(t, err)
	require.EqualValues(t, 1000, third.Head.N)
	require.Contains(t, third.Files, "sumdb/sum.example.com/db/heads/300")

	// Desks that last saw the old head, or none, find all that the copies have.
	old := []byte(read(t, a, first)["sumdb/sum.example.com/db/latest"])
	for range 5 {
		db.desk(t, old, c, b).finds(t, shuffled(mods(1, 2, 299, 999))...)
		db.desk(t, nil, c, b).finds(t, shuffled(mods(1, 2, 299, 999))...)
	}

	// A copy with no network at all of what several copies have.
	merged := db.recorder(t.TempDir(), b, c)
	merged.Remote = db.failing()
	_, err = merged.Record(t.Context(), mods(1, 2, 299, 999))
	require.NoError(t, err)
}

// failing is a database that can't be reached.
func (d *database) failing() Remote {
	down := &database{url: d.url, asked: map[string]int{}}
	down.alter = func(string, []byte) ([]byte, error) { return nil, errors.New("no network") }
	return down
}

// Copies that know nothing of each other serve a new desk nevertheless.
func TestLookupOfUnrelatedCopies(t *testing.T) {
	db := newDatabase(t, 600)
	a, b := t.TempDir(), t.TempDir()
	_, err := db.recorder(a).Record(t.Context(), mods(1, 599))
	require.NoError(t, err)
	db.add(t, 600, 1000)
	_, err = db.recorder(b).Record(t.Context(), mods(2, 900))
	require.NoError(t, err)
	for range 5 {
		db.desk(t, nil, b, a).finds(t, shuffled(mods(1, 2, 900))...)
	}
	k := db.desk(t, nil, b, a)
	data, err := Lookup(k.copies, "lookup/example.com/!some/m599@v1.0.0")
	require.NoError(t, err)
	_, _, signed, err := tlog.ParseRecord(data)
	require.NoError(t, err)
	tree, err := tlog.ParseTree(signed)
	require.NoError(t, err)
	require.EqualValues(t, 600, tree.N, "no tile proves it under the newer head")
	db.desk(t, nil, b, a).finds(t, mod(599))
	_, err = Lookup(k.copies, "lookup/example.com/!some/m5@v1.0.0")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Where the tree has outgrown a tile, a database may have only the whole one.
func TestRecordWholeTiles(t *testing.T) {
	db := newDatabase(t, 300)
	dir := t.TempDir()
	_, err := db.recorder(dir).Record(t.Context(), mods(1))
	require.NoError(t, err)
	db.add(t, 300, 600)
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "sumdb", db.name, "tile")))
	db.alter = func(path string, data []byte) ([]byte, error) {
		if strings.HasPrefix(path, "/tile/8/0/001.p/") {
			return nil, fs.ErrNotExist
		}
		return data, nil
	}
	_, err = db.recorder(dir).Record(t.Context(), mods(1, 299))
	require.NoError(t, err)
	db.desk(t, nil, dir).finds(t, mods(299, 1)...)
}

// A run that was broken off is gone on with: only the tiles that it had not checked are asked for again.
func TestRecordResumes(t *testing.T) {
	db := newDatabase(t, 2000)
	dir := t.TempDir()
	list := mods(1, 500, 900, 1300, 1999)
	lookups := len(list)
	left := lookups + 2
	db.alter = func(_ string, data []byte) ([]byte, error) {
		db.mu.Lock()
		defer db.mu.Unlock()
		if left--; left < 0 {
			return nil, errors.New("connection reset")
		}
		return data, nil
	}
	_, err := db.recorder(dir).Record(t.Context(), list)
	require.ErrorContains(t, err, "connection reset")
	db.alter = nil
	_, err = db.recorder(dir).Record(t.Context(), list)
	require.NoError(t, err)
	for path, n := range db.asked {
		if strings.HasPrefix(path, "/lookup/") {
			require.Equal(t, 1, n, path)
			lookups--
		}
	}
	require.Zero(t, lookups)
	db.desk(t, nil, dir).finds(t, list...)
}

func TestRecordRefuses(t *testing.T) {
	flip := func(part string) func(string, []byte) ([]byte, error) {
		return func(path string, data []byte) ([]byte, error) {
			if strings.Contains(path, part) {
				data[10] ^= 1
			}
			return data, nil
		}
	}
	for name, test := range map[string]struct {
		prepare func(t *testing.T, db *database, r *Recorder)
		mods    []module.Version
		want    string
	}{
		"no key":       {func(_ *testing.T, _ *database, r *Recorder) { r.Key = "sum.golang.org" }, mods(1), "expected NAME+HASH+KEY"},
		"another key":  {func(t *testing.T, _ *database, r *Recorder) { r.Key = newDatabase(t, 1).key }, mods(1), "example.com/Some/m1@v1.0.0: the signed tree head"},
		"private":      {nil, []module.Version{mod(1), {Path: "private.example.com/x", Version: "v1.0.0"}}, "it doesn't know private.example.com/x@v1.0.0: name it in GOPRIVATE"},
		"bad path":     {nil, []module.Version{{Path: "../x", Version: "v1.0.0"}}, "malformed module path"},
		"nothing":      {nil, nil, "no module version to look up"},
		"changed tile": {func(_ *testing.T, db *database, _ *Recorder) { db.alter = flip("/tile/") }, mods(1), "inconsistent tile"},
		"changed record": {func(_ *testing.T, db *database, _ *Recorder) {
			db.alter = func(path string, data []byte) ([]byte, error) {
				return []byte(strings.Replace(string(data), "h1:", "h1:AAAA", 1)), nil
			}
		}, mods(1), "example.com/Some/m1@v1.0.0: the record isn't the one in the signed tree"},
		"another module's record": {func(_ *testing.T, db *database, _ *Recorder) {
			db.alter = func(path string, data []byte) ([]byte, error) {
				return []byte(strings.ReplaceAll(string(data), "/m1 ", "/m2 ")), nil
			}
		}, mods(1), "a record without the line example.com/Some/m1 v1.0.0 h1:"},
		"short tile": {func(_ *testing.T, db *database, _ *Recorder) {
			db.alter = func(path string, data []byte) ([]byte, error) {
				if strings.HasPrefix(path, "/tile/") {
					data = data[1:]
				}
				return data, nil
			}
		}, mods(1), "expected"},
		"unreachable": {func(_ *testing.T, db *database, r *Recorder) { r.Remote = db.failing() }, mods(1), "example.com/Some/m1@v1.0.0: no network"},
		"a fork": {func(t *testing.T, db *database, r *Recorder) {
			twin := &database{name: db.name, key: db.key}
			twin.start(t, db.signer, 0)
			twin.add(t, 100, 200)
			dir := t.TempDir()
			_, err := twin.recorder(dir).Record(t.Context(), mods(150))
			require.NoError(t, err)
			r.Known = []fs.FS{os.DirFS(dir)}
		}, mods(299), "it contradicts itself: its tree of 100 records"},
		"a damaged earlier head": {func(_ *testing.T, db *database, r *Recorder) {
			r.Known = []fs.FS{fstest.MapFS{"sumdb/" + db.name + "/latest": {Data: []byte("go.sum database tree\n1\n")}}}
		}, mods(1), "latest of an earlier copy: the signed tree head"},
	} {
		t.Run(name, func(t *testing.T) {
			db := newDatabase(t, 300)
			r := db.recorder(t.TempDir())
			if test.prepare != nil {
				test.prepare(t, db, &r)
			}
			_, err := r.Record(t.Context(), test.mods)
			require.ErrorContains(t, err, test.want)
			require.NoFileExists(t, filepath.Join(r.Dir, "sumdb", db.name, "latest"))
		})
	}
}

// Whatever copies hold, a lookup neither panics nor makes up a record.
func FuzzLookup(f *testing.F) {
	head := []byte("go.sum database tree\n2\nnND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=\n\n— x AAAA\n")
	f.Add([]byte("0\nexample.com/m v1.0.0 h1:AAAA\n\ngo.sum database tree\n1\nnND/nri/U0xuHUrYSy0HtMeal2vzD9V4k/BO79C+QeI=\n\n— x AAAA\n"), head, make([]byte, 64))
	f.Add([]byte("9223372036854775807\nx\n\n"), []byte("go.sum database tree\n9223372036854775807\n"), []byte{})
	f.Fuzz(func(t *testing.T, lookup, latest, tile []byte) {
		copies := []fs.FS{
			fstest.MapFS{"latest": {Data: latest}, "tile/8/0/000.p/2": {Data: tile}, "tile/8/0/000": {Data: tile}},
			fstest.MapFS{"lookup/example.com/m@v1.0.0": {Data: lookup}},
		}
		data, err := Lookup(copies, "lookup/example.com/m@v1.0.0")
		if err != nil {
			return
		}
		id, text, _, err := tlog.ParseRecord(data)
		require.NoError(t, err)
		wantID, want, _, err := tlog.ParseRecord(lookup)
		require.NoError(t, err)
		require.Equal(t, wantID, id)
		require.Equal(t, want, text)
	})
}
