package bundle

import (
	"context"
	"crypto/rand"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/note"
)

// A database is a checksum database that vouches for what is in stock.
type database struct {
	http.Handler
	key   string
	asked atomic.Int64
}

func newDatabase(s *stock) *database {
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example")
	require.NoError(s.t, err)
	return &database{key: key, Handler: sumdb.NewServer(sumdb.NewTestServer(signer, func(path, version string) (lines []byte, err error) {
		for line := range strings.Lines(s.sums) {
			if strings.HasPrefix(line, path+" "+version+" ") || strings.HasPrefix(line, path+" "+version+"/go.mod ") {
				lines = append(lines, line...)
			}
		}
		if lines == nil {
			return nil, fs.ErrNotExist
		}
		return lines, nil
	}))}
}

// Get implements sumdbcopy.Remote.
func (d *database) Get(_ context.Context, path string) ([]byte, error) {
	d.asked.Add(1)
	w := httptest.NewRecorder()
	d.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("%d: %w", w.Code, fs.ErrNotExist)
	}
	return w.Body.Bytes(), nil
}

// What a bundle at hand has is taken from it, images and the checksum database's word, too, and nobody is asked. What
// comes out is what the network gives.
func TestFromBundles(t *testing.T) {
	d := newDepot(t)
	db := newDatabase(d.stock)
	create := func(m Maker, platforms ...string) (*Bundle, error) {
		req := d.request()
		req.Images, req.Platforms, req.SumDB = []string{d.Host + "/library/base:v1"}, platforms, SumDB{Key: db.key, Remote: db}
		return m.Create(t.Context(), filepath.Join(t.TempDir(), "bundle"), req)
	}
	online := d.maker()
	online.Images = client(t)
	all, err := create(online, imagePlatforms...)
	require.NoError(t, err)
	want, err := create(online, "linux/amd64")
	require.NoError(t, err)

	from := func(b *Bundle) Maker {
		folder, view, err := b.Folder(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, view.Close()) })
		return Maker{Sources: Sources{Folders: []Folder{folder}}, Bundles: []*Bundle{b}, Images: Layouts{}}
	}
	asked := db.asked.Load()
	got, err := create(from(all), "linux/amd64")
	require.NoError(t, err)
	require.Equal(t, want.Digest(), got.Digest())
	same, err := create(from(all), imagePlatforms...)
	require.NoError(t, err)
	require.Equal(t, all.Digest(), same.Digest())
	fewer, err := create(from(got), "linux/amd64")
	require.NoError(t, err)
	require.Equal(t, want.Digest(), fewer.Digest(), "of an image that has lost platforms before")
	require.Equal(t, asked, db.asked.Load())

	_, err = create(from(got), imagePlatforms...)
	require.ErrorContains(t, err, "it is in none of the bundles", "the registry is asked for what the bundle has for other platforms")
}

// The size of an image is known from its manifests, and what is in a bundle needn't be fetched.
func TestImageSize(t *testing.T) {
	d := newDepot(t)
	ref := d.Host + "/library/base:v1"
	items, err := d.b.Items(t.Context())
	require.NoError(t, err)
	image := items[slices.IndexFunc(items, func(i Item) bool { return i.Kind == KindImage })]
	m := Maker{Images: client(t)}
	fetched := d.Fetched()
	size, missing, err := m.ImageSize(t.Context(), ref, imagePlatforms)
	require.NoError(t, err)
	require.Equal(t, image.Size, size)
	require.Greater(t, missing, int64(1_000_000), "two layers")
	require.Less(t, missing, size)
	size, missing, err = m.ImageSize(t.Context(), ref, imagePlatforms[:1], d.b)
	require.NoError(t, err)
	require.Less(t, size, image.Size)
	require.Zero(t, missing)
	require.Less(t, d.Fetched()-fetched, int64(10_000), "no layer")
	m.Bundles = []*Bundle{d.b}
	size, missing, err = m.ImageSize(t.Context(), ref, imagePlatforms)
	require.NoError(t, err)
	require.Equal(t, []int64{image.Size, 0}, []int64{size, missing})
	_, _, err = m.ImageSize(t.Context(), d.Host+"/library/none:v1", imagePlatforms)
	require.ErrorContains(t, err, "none")
}
