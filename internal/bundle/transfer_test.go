package bundle

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/oci/registry"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

func client(t *testing.T) *registry.Client {
	c, err := registry.NewClient(registry.Options{})
	require.NoError(t, err)
	c.Policy.Backoff, c.Policy.MaxWait = time.Millisecond, 100*time.Millisecond
	return c
}

var imagePlatforms = []string{"linux/amd64", "linux/arm64"}

// pushPlatforms pushes a synthetic image for imagePlatforms, each with a layer of its own of so many bytes.
func pushPlatforms(t *testing.T, ref string, size int) {
	repo, err := client(t).Repository(ref)
	require.NoError(t, err)
	push := func(mediaType string, v any, tag string) ocispec.Descriptor {
		data, ok := v.([]byte)
		if !ok {
			data, err = json.Marshal(v)
			require.NoError(t, err)
		}
		desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
		_, err := repo.Push(t.Context(), desc, bytes.NewReader(data), tag)
		require.NoError(t, err)
		return desc
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, platform := range imagePlatforms {
		p := platforms.MustParse(platform)
		random := make([]byte, size)
		_, _ = rand.Read(random)
		var layer bytes.Buffer
		require.NoError(t, writeTar(t.Context(), &layer, time.Unix(0, 0), []file{memoryFile("etc/"+p.Architecture, random)}))
		l := push(ocispec.MediaTypeImageLayer, layer.Bytes(), "")
		config := push(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{l.Digest}}}, "")
		m := push(ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: index.Versioned, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{l}}, "")
		m.Platform = &p
		index.Manifests = append(index.Manifests, m)
	}
	push(ocispec.MediaTypeImageIndex, index, repo.Tag())
}

// A depot is a bundle with an image for two platforms, and a registry behind a proxy to push it to.
type depot struct {
	*stock
	*testkit.RegistryProxy
	b   *Bundle
	ref string
}

func newDepot(t *testing.T) *depot {
	d := &depot{stock: newStock(t, 20), RegistryProxy: testkit.ServeRegistryProxy(t, testkit.Registry(t), false)}
	pushPlatforms(t, d.Host+"/library/base:v1", 500_000)
	d.ref = d.Host + "/team/bundle:v1"
	d.make()
	return d
}

// make makes the bundle of what is in stock.
func (d *depot) make() {
	req := d.request()
	req.Images, req.Platforms = []string{d.Host + "/library/base:v1"}, imagePlatforms
	req.Compiled = []Compiled{d.compiledFor("one.example/app", "a")}
	m := d.maker()
	m.Images = client(d.t)
	var err error
	d.b, err = m.Create(d.t.Context(), filepath.Join(d.t.TempDir(), "bundle"), req)
	require.NoError(d.t, err)
}

func (d *depot) push(from ...string) (Transferred, error) {
	repo, err := client(d.t).Repository(d.ref, from...)
	require.NoError(d.t, err)
	return Push(d.t.Context(), d.b, repo, repo.Tag(), nil)
}

func (d *depot) pushed() {
	_, err := d.push()
	require.NoError(d.t, err)
}

// check says that a folder holds the depot's bundle.
func (d *depot) check(dir string) {
	b, err := Open(d.t.Context(), dir, Trust{})
	require.NoError(d.t, err)
	require.Equal(d.t, d.b.Digest(), b.Digest())
	_, err = b.Verify(d.t.Context(), d.set(), "", nil)
	require.NoError(d.t, err)
}

// blobs sums up the blobs of the bundle that are fetched as such.
func (d *depot) blobs() (n int64) {
	require.NoError(d.t, d.b.walk(d.t.Context(), func(desc ocispec.Descriptor) error {
		if !refers(desc) {
			n += desc.Size
		}
		return nil
	}))
	return n
}

func TestPushPull(t *testing.T) {
	d := newDepot(t)
	first, err := d.push()
	require.NoError(t, err)
	require.Equal(t, first.Blobs, first.Moved)
	puts := d.Requests("PUT", "")
	again, err := d.push()
	require.NoError(t, err)
	require.Equal(t, Transferred{Blobs: first.Blobs, Bytes: first.Bytes, Index: first.Index}, again)
	require.Equal(t, puts, d.Requests("PUT", ""), "nothing is sent again")

	dir := filepath.Join(t.TempDir(), "pulled")
	before := d.Fetched()
	b, got, err := Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	require.Equal(t, d.b.Digest(), b.Digest())
	require.Equal(t, d.blobs(), d.Fetched()-before)
	require.Equal(t, first, got)
	d.check(dir)
	before = d.Fetched()
	_, got, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	require.Zero(t, d.Fetched()-before)
	require.Equal(t, 1, got.Moved, "the index, which isn't kept as a blob")

	crane := testkit.Tool(t, "crane")
	key := gomod.SetTag(d.set().Key())
	require.Equal(t, b.Images()[ModulesName].Digest.String(), strings.TrimSpace(testkit.Run(t, crane, "digest", d.Host+"/team/bundle:"+key)))
	testkit.Run(t, crane, "pull", d.Host+"/team/bundle:"+key, filepath.Join(t.TempDir(), "modules.tar"))
	base := b.Images()[d.Host+"/library/base:v1"]
	testkit.Run(t, crane, "pull", "--platform", "linux/arm64", d.Host+"/team/bundle@"+base.Digest.String(), filepath.Join(t.TempDir(), "base.tar"))
}

func TestPushAfterFaults(t *testing.T) {
	d := newDepot(t)
	var mu sync.Mutex
	count := map[string]int{}
	d.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		what := r.Method + r.URL.Path
		if blob := r.URL.Query().Get("digest"); blob != "" {
			what = blob
		}
		mu.Lock()
		count[what]++
		n := count[what]
		mu.Unlock()
		switch {
		case r.Method == http.MethodPut && n < 3:
			_, _ = io.CopyN(io.Discard, r.Body, 1000)
			testkit.Abort()
		case n == 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(429)
		default:
			next.ServeHTTP(w, r)
		}
	})
	d.pushed()
	d.Fail(nil)
	dir := t.TempDir()
	_, _, err := Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	d.check(dir)
}

// A push that failed leaves the tag where it was, and the next sends only the rest.
func TestPushGoesOn(t *testing.T) {
	d := newDepot(t)
	blob := d.b.Images()[ModulesName].Digest.String()
	d.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, blob) {
			w.WriteHeader(507)
			return
		}
		next.ServeHTTP(w, r)
	})
	first, err := d.push()
	require.ErrorContains(t, err, "answered 507 Insufficient Storage (tried 5 times)")
	_, _, _, err = client(t).Resolve(t.Context(), d.ref)
	require.ErrorContains(t, err, "has no")
	d.Fail(nil)
	rest, err := d.push()
	require.NoError(t, err)
	require.Equal(t, rest.Blobs, first.Moved+rest.Moved)

	d.ref = d.Host + "/team/copy:v1"
	copied, err := d.push(d.Host + "/team/bundle")
	require.NoError(t, err)
	require.Less(t, copied.MovedBytes, d.blobs()/10, "blobs are mounted")
	dir := t.TempDir()
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	d.check(dir)
}

func TestPushRefuses(t *testing.T) {
	d := newDepot(t)
	d.add("new.example/lib", "v1.0.0")
	req := d.request()
	req.Since = d.b
	delta := d.create(t.TempDir(), req)
	repo, err := client(t).Repository(d.ref)
	require.NoError(t, err)
	_, err = Push(t.Context(), delta, repo, "v1", nil)
	require.ErrorContains(t, err, "is a delta, without what the bundle sha256:")

	layers, err := d.b.layers(t.Context(), ModulesName)
	require.NoError(t, err)
	require.NoError(t, d.b.store.Delete(t.Context(), layers[0].Digest))
	_, err = Push(t.Context(), d.b, repo, "v1", nil)
	require.ErrorContains(t, err, "is not whole: it lacks blob "+layers[0].Digest.String())
	_, err = d.b.Verify(t.Context(), gomod.Set{}, "", nil)
	require.Error(t, err)
}
