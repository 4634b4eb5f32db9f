package bundle

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A stock is a module proxy on loopback, and what go.sum has of its modules.
type stock struct {
	t     *testing.T
	dir   string
	proxy *testkit.Proxy
	sums  string
}

func newStock(t *testing.T, count int) *stock {
	s := &stock{t: t, dir: t.TempDir()}
	s.proxy = testkit.ServeProxy(t, s.dir)
	for i := range count {
		s.add(fmt.Sprintf("m%d.example/lib", i), "v1.0.0")
	}
	return s
}

func (s *stock) add(path, version string) {
	s.sums += testkit.Module{Path: path, Version: version, Files: map[string]string{"lib.go": "package lib\n\n// " + strings.Repeat(path, 50) + "\n"}}.Write(s.t, s.dir)
}

func (s *stock) set() gomod.Set {
	set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(s.sums)})
	require.NoError(s.t, err)
	return set
}

func (s *stock) request() Request {
	set := s.set()
	return Request{Modules: set, Keys: []string{set.Key()}}
}

func (s *stock) maker() Maker {
	client, err := fetch.NewClient("", nil, fetch.Remedies{Missing: "use another proxy", CA: "pass --ca"})
	require.NoError(s.t, err)
	list, err := modfetch.ParseList(s.proxy.URL)
	require.NoError(s.t, err)
	return Maker{
		Sources: Sources{Client: client, Proxies: list},
	}
}

func (s *stock) create(dir string, req Request) *Bundle {
	b, err := s.maker().Create(s.t.Context(), dir, req)
	require.NoError(s.t, err)
	return b
}

// zips counts the requests for zips.
func (s *stock) zips() (n int) {
	for _, r := range s.proxy.Requests() {
		if strings.HasSuffix(r, ".zip") {
			n++
		}
	}
	return n
}

func TestCreate(t *testing.T) {
	s := newStock(t, 40)
	dir := filepath.Join(t.TempDir(), "bundle")
	b := s.create(dir, s.request())
	require.Equal(t, 40, s.zips())
	got, err := b.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 40, got.Modules)
	require.NoDirExists(t, filepath.Join(dir, stagingDir))

	items, err := b.Items(t.Context())
	require.NoError(t, err)
	require.Len(t, items, 40)
	require.Equal(t, KindModule, items[0].Kind)
	require.Equal(t, s.proxy.URL, items[0].Origin)
	require.Equal(t, "2020-01-01T00:00:00Z", items[0].Time.Format("2006-01-02T15:04:05Z07:00"))

	view, err := b.View(t.Context(), ModulesName)
	require.NoError(t, err)
	defer view.Close()
	require.NoError(t, fstest.TestFS(view, "m0.example/lib/@v/v1.0.0.zip", "m39.example/lib/@v/v1.0.0.info"))
	want, err := os.ReadFile(filepath.Join(s.dir, "m7.example/lib/@v/v1.0.0.zip"))
	require.NoError(t, err)
	zip, err := fs.ReadFile(view, "m7.example/lib/@v/v1.0.0.zip")
	require.NoError(t, err)
	require.Equal(t, want, zip)

	again := s.create(dir, s.request())
	require.Equal(t, b.Digest(), again.Digest(), "made again, a bundle is the same")
	require.Equal(t, 40, s.zips(), "and nothing is fetched again")
	elsewhere := s.create(t.TempDir(), s.request())
	require.Equal(t, b.Digest(), elsewhere.Digest(), "wherever it is made")
}

// What a run that failed has fetched, the next doesn't fetch again; and the old bundle is whole until then.
func TestCreateGoesOn(t *testing.T) {
	s := newStock(t, 10)
	dir := filepath.Join(t.TempDir(), "bundle")
	first := s.create(dir, s.request())
	for i := range 20 {
		s.add(fmt.Sprintf("n%d.example/lib", i), "v1.0.0")
	}
	bad := "n3.example/lib/@v/v1.0.0.zip"
	data, err := os.ReadFile(filepath.Join(s.dir, bad))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, bad), []byte("nonsense"), 0o644))
	_, err = s.maker().Create(t.Context(), dir, s.request())
	require.ErrorContains(t, err, "n3.example/lib@v1.0.0: refusing its zip")
	fetched := s.zips()

	old, err := Open(t.Context(), dir, Trust{})
	require.NoError(t, err)
	require.Equal(t, first.Digest(), old.Digest())
	_, err = old.Verify(t.Context(), gomod.Set{}, "", nil)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(filepath.Join(s.dir, bad), data, 0o644))
	b := s.create(dir, s.request())
	require.Equal(t, fetched+1, s.zips())
	_, err = b.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
}

func TestDelta(t *testing.T) {
	s := newStock(t, 30)
	here, there := filepath.Join(t.TempDir(), "here"), filepath.Join(t.TempDir(), "there")
	old := s.create(here, s.request())
	require.NoError(t, os.CopyFS(there, os.DirFS(here)))
	kept := filepath.Join(t.TempDir(), "kept")
	require.NoError(t, os.CopyFS(kept, os.DirFS(here)))
	s.add("new.example/lib", "v1.0.0")
	req := s.request()
	req.Since = old
	deltaDir := filepath.Join(t.TempDir(), "delta")
	delta := s.create(deltaDir, req)
	require.Equal(t, old.Digest(), delta.Since())
	delta = mustOpen(t, deltaDir)
	_, err := delta.Verify(t.Context(), gomod.Set{}, "", nil)
	require.ErrorContains(t, err, deltaDir+" is a delta, without what the bundle "+old.Digest().String()+" has")
	on, err := delta.On(old)
	require.NoError(t, err)
	got, err := on.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
	require.Equal(t, 31, got.Modules)
	_, err = old.On(old)
	require.ErrorContains(t, err, "is no delta")

	for _, dir := range []string{here, there, there} { // applied twice, it changes nothing
		b, err := Apply(t.Context(), dir, delta, Trust{})
		require.NoError(t, err)
		got, err := b.Verify(t.Context(), s.set(), "", nil)
		require.NoError(t, err)
		require.Equal(t, 31, got.Modules)
	}
	size := func(dir string) (n int64) {
		require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				info, err := d.Info()
				require.NoError(t, err)
				n += info.Size()
			}
			return err
		}))
		return n
	}
	require.Less(t, size(deltaDir), size(there)/4)

	before, err := Open(t.Context(), here, Trust{})
	require.NoError(t, err)
	old, err = Open(t.Context(), kept, Trust{})
	require.NoError(t, err)
	changes, err := Diff(t.Context(), old, before)
	require.NoError(t, err)
	require.Len(t, changes, 1)
	require.Equal(t, "module new.example/lib@v1.0.0", changes[0].New.ID())
	reopened, err := Open(t.Context(), deltaDir, Trust{})
	require.NoError(t, err)
	fromDelta, err := Diff(t.Context(), old, reopened)
	require.NoError(t, err)
	require.Equal(t, changes, fromDelta, "a delta tells what it brings")

	few := newStock(t, 3)
	other := few.create(t.TempDir(), few.request())
	_, err = Apply(t.Context(), other.Dir(), delta, Trust{})
	require.ErrorContains(t, err, "is a delta to the bundle sha256:")
	_, err = delta.On(other)
	require.ErrorContains(t, err, "is a delta to the bundle sha256:")
	was := read(t, other.Dir())
	_, err = Apply(t.Context(), other.Dir(), old, Trust{})
	require.ErrorContains(t, err, kept+" is no delta: name first")
	require.Equal(t, was, read(t, other.Dir()))
	was = read(t, deltaDir)
	_, err = Apply(t.Context(), deltaDir, delta, Trust{})
	require.ErrorContains(t, err, deltaDir+" is a delta itself, to the bundle "+delta.Since().String())
	require.Equal(t, was, read(t, deltaDir))
}

func TestVerifyFindsDamage(t *testing.T) {
	s := newStock(t, 5)
	dir := filepath.Join(t.TempDir(), "bundle")
	s.create(dir, s.request())
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	require.NoError(t, err)
	for _, blob := range blobs {
		data, err := os.ReadFile(blob)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(blob, 0o644))
		for name, damaged := range map[string][]byte{"flipped": append([]byte{data[0] ^ 1}, data[1:]...), "short": data[:len(data)/2], "gone": nil} {
			require.NoError(t, os.Remove(blob))
			if damaged != nil {
				require.NoError(t, os.WriteFile(blob, damaged, 0o644))
			}
			b, err := Open(t.Context(), dir, Trust{})
			require.NoError(t, err)
			_, err = b.Verify(t.Context(), gomod.Set{}, "", nil)
			require.ErrorContains(t, err, filepath.Base(blob), name)
			require.NoError(t, os.WriteFile(blob, data, 0o644))
		}
	}
	b, err := Open(t.Context(), dir, Trust{})
	require.NoError(t, err)
	_, err = b.Verify(t.Context(), s.set(), "", nil)
	require.NoError(t, err)
}

func TestVerifyAgainstGoSum(t *testing.T) {
	s := newStock(t, 3)
	b := s.create(t.TempDir(), s.request())
	parse := func(text string) gomod.Set {
		set, err := gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(text)})
		require.NoError(t, err)
		return set
	}
	_, err := b.Verify(t.Context(), parse("a.example/other v1.0.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=\n"), "", nil)
	require.ErrorContains(t, err, "lacks the zip of a.example/other@v1.0.0, which go.sum lists")
	_, err = b.Verify(t.Context(), parse("m1.example/lib v1.0.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=\n"), "", nil)
	require.ErrorContains(t, err, "module m1.example/lib@v1.0.0: m1.example/lib/@v/v1.0.0.zip has h1:")
}
