package bundle

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/registry"
	"github.com/larder-build/larder/internal/retry"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

func quiet(string, int64) {}

func client(t *testing.T) *registry.Client {
	c, err := registry.NewClient(registry.Options{})
	require.NoError(t, err)
	c.Retry = retry.Policy{Tries: 5, Backoff: time.Millisecond, MaxWait: 100 * time.Millisecond}
	return c
}

// pushPlatforms pushes a synthetic image for two platforms, each with a layer of its own.
func pushPlatforms(t *testing.T, ref string) {
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
	for _, arch := range []string{"amd64", "arm64"} {
		p := ocispec.Platform{OS: "linux", Architecture: arch}
		random := make([]byte, 500_000)
		_, _ = rand.Read(random)
		var layer bytes.Buffer
		require.NoError(t, writeTar(t.Context(), &layer, []file{memoryFile("etc/"+arch, random)}))
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
	pushPlatforms(t, d.Host+"/library/base:v1")
	d.ref = d.Host + "/team/bundle:v1"
	d.make()
	return d
}

// make makes the bundle of what is in stock.
func (d *depot) make() {
	req := d.request()
	req.Images, req.Platforms = []string{d.Host + "/library/base:v1"}, []string{"linux/amd64", "linux/arm64"}
	m := d.maker()
	m.Images = client(d.t)
	var err error
	d.b, err = m.Create(d.t.Context(), filepath.Join(d.t.TempDir(), "bundle"), req)
	require.NoError(d.t, err)
}

func (d *depot) push(from ...string) (Transferred, error) {
	repo, err := client(d.t).Repository(d.ref, from...)
	require.NoError(d.t, err)
	return Push(d.t.Context(), d.b, repo, repo.Tag(), quiet)
}

func (d *depot) pushed() {
	_, err := d.push()
	require.NoError(d.t, err)
}

// check says that a folder holds the depot's bundle.
func (d *depot) check(dir string) {
	b, err := Open(dir)
	require.NoError(d.t, err)
	require.Equal(d.t, d.b.Digest(), b.Digest())
	_, err = b.Verify(d.t.Context(), d.set(), "")
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
	var mu sync.Mutex
	told := map[string]int64{}
	repo, err := client(t).Repository(d.ref)
	require.NoError(t, err)
	first, err := Push(t.Context(), d.b, repo, repo.Tag(), func(what string, bytes int64) {
		mu.Lock()
		defer mu.Unlock()
		told[what] += bytes
	})
	require.NoError(t, err)
	require.Equal(t, first.Blobs, first.Moved)
	require.Len(t, told, first.Blobs)
	puts := d.Requests("PUT", "")
	again, err := d.push()
	require.NoError(t, err)
	require.Equal(t, Transferred{Blobs: first.Blobs, Bytes: first.Bytes}, again)
	require.Equal(t, puts, d.Requests("PUT", ""), "nothing is sent again")

	dir := filepath.Join(t.TempDir(), "pulled")
	before := d.Fetched()
	b, got, err := Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	require.Equal(t, d.b.Digest(), b.Digest())
	require.Equal(t, d.blobs(), d.Fetched()-before)
	require.Equal(t, first, got)
	d.check(dir)
	before = d.Fetched()
	_, got, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	require.Zero(t, d.Fetched()-before)
	require.Equal(t, 1, got.Moved, "the index, which isn't kept as a blob")

	crane := testkit.Tool(t, "crane")
	key := ModulesTag(d.set().Key())
	require.Equal(t, b.Images()[ModulesName].Digest.String(), strings.TrimSpace(testkit.Run(t, crane, "digest", d.Host+"/team/bundle:"+key)))
	testkit.Run(t, crane, "pull", d.Host+"/team/bundle:"+key, filepath.Join(t.TempDir(), "modules.tar"))
	base := b.Images()[d.Host+"/library/base:v1"]
	testkit.Run(t, crane, "pull", "--platform", "linux/arm64", d.Host+"/team/bundle@"+base.Digest.String(), filepath.Join(t.TempDir(), "base.tar"))
}

// A pull over an older bundle fetches what that lacks, and so does one that mends.
func TestPullDelta(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	dir := t.TempDir()
	_, first, err := Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	d.add("new.example/lib", "v1.0.0")
	d.make()
	again, err := d.push()
	require.NoError(t, err)
	require.Less(t, again.MovedBytes, first.Bytes/10)

	before := d.Fetched()
	_, got, err := Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	d.check(dir)
	require.Equal(t, again.MovedBytes, got.MovedBytes)
	require.Less(t, d.Fetched()-before, first.Bytes/10)

	layers, err := d.b.layers(t.Context(), ModulesName)
	require.NoError(t, err)
	for i, damage := range []func([]byte) []byte{
		func(data []byte) []byte { data[len(data)/2] ^= 1; return data },
		func(data []byte) []byte { return data[:len(data)/2] },
	} {
		name := filepath.Join(dir, "blobs/sha256", layers[i].Digest.Encoded())
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.Remove(name))
		require.NoError(t, os.WriteFile(name, damage(data), 0o644))
	}
	before = d.Fetched()
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	d.check(dir)
	require.Equal(t, layers[0].Size+layers[1].Size, d.Fetched()-before)
}

func isBlob(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/")
}

// wrong changes a byte of the first n answers with a blob of over 100 kB.
func wrong(n int64) testkit.Fault {
	var count atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if !isBlob(r) {
			next.ServeHTTP(w, r)
			return
		}
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		data := rec.Body.Bytes()
		if len(data) > 100_000 && count.Add(1) <= n {
			data[len(data)/2] ^= 1
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(data)
	}
}

// breaks ends every answer with a blob after some bytes, n times for each blob.
func breaks(n int, after int, how func(*http.Request)) testkit.Fault {
	var mu sync.Mutex
	count := map[string]int{}
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		mu.Lock()
		count[r.URL.Path]++
		c := count[r.URL.Path]
		mu.Unlock()
		if isBlob(r) && c <= n {
			w = testkit.After(w, after, func() { how(r) })
		}
		next.ServeHTTP(w, r)
	}
}

func abort(*http.Request) { testkit.Abort() }

// Over a registry that fails for a while a pull gets all, and nothing twice.
func TestPullAfterFaults(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	var count atomic.Int64
	for name, f := range map[string]testkit.Fault{
		"closes in mid-body": breaks(3, 70_000, abort),
		"stalls":             breaks(1, 300_000, d.Stall),
		"500 each fourth time": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if count.Add(1)%4 == 0 {
				w.WriteHeader(500)
				return
			}
			next.ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d.Fail(f)
			defer d.Fail(nil)
			c := client(t)
			if name == "stalls" {
				c.Stall = time.Second
			}
			before := d.Fetched()
			dir := t.TempDir()
			_, _, err := Pull(t.Context(), dir, d.ref, c, quiet)
			require.NoError(t, err)
			d.check(dir)
			require.Equal(t, d.blobs(), d.Fetched()-before)
		})
	}
}

// What a pull that failed has fetched, the next one doesn't; and the old bundle is whole until then.
func TestPullGoesOn(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	older := newDepot(t)
	older.pushed()
	for name, f := range map[string]testkit.Fault{
		"closes in mid-body, always": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if isBlob(r) && r.Header.Get("Range") != "" {
				testkit.Abort()
			}
			breaks(9, 70_000, abort)(w, r, next)
		},
		"500 on manifests in the end": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, d.b.Images()[ModulesName].Digest.String()) {
				w.WriteHeader(500)
				return
			}
			next.ServeHTTP(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, _, err := Pull(t.Context(), dir, older.ref, client(t), quiet)
			require.NoError(t, err)
			before := d.Fetched()
			d.Fail(f)
			_, _, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
			require.ErrorContains(t, err, "(tried 5 times)")
			older.check(dir)
			d.Fail(nil)
			_, _, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
			require.NoError(t, err)
			d.check(dir)
			require.LessOrEqual(t, d.Fetched()-before, d.blobs())
			left, err := filepath.Glob(filepath.Join(dir, "ingest", "*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestPullWrongBytes(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	dir := t.TempDir()
	d.Fail(wrong(1))
	_, _, err := Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	d.check(dir)

	dir = t.TempDir()
	d.Fail(wrong(1 << 30))
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.ErrorContains(t, err, "refusing blob sha256:")
	require.ErrorContains(t, err, "twice its registry sent other bytes")
	require.NoFileExists(t, filepath.Join(dir, "index.json"))
	d.Fail(nil)
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err, "wrong bytes are not what the next pull begins with")
	d.check(dir)
}

func TestPullCancelled(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	dir := t.TempDir()
	_, _, err := Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	old := d.b
	pushPlatforms(t, d.Host+"/library/base:v1")
	d.make()
	d.pushed()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	d.Fail(breaks(1, 200_000, func(r *http.Request) { cancel(enough); d.Stall(r) }))
	_, _, err = Pull(ctx, dir, d.ref, client(t), quiet)
	require.ErrorIs(t, err, enough)
	b, err := Open(dir)
	require.NoError(t, err)
	require.Equal(t, old.Digest(), b.Digest())
	_, err = b.Verify(t.Context(), d.set(), "")
	require.NoError(t, err)
}

func TestPullRefuses(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	for ref, want := range map[string]string{
		"/library/base:v1":                          `it is not a bundle: it has no image named "manifest"`,
		"/team/bundle:" + ModulesTag(d.set().Key()): "is not a bundle, but of the type application/vnd.oci.image.manifest.v1+json",
		"/team/none:v1":                             "has no " + d.Host + "/team/none:v1",
	} {
		dir := filepath.Join(t.TempDir(), "new")
		_, _, err := Pull(t.Context(), dir, d.Host+ref, client(t), quiet)
		require.ErrorContains(t, err, want)
		require.NoFileExists(t, filepath.Join(dir, "index.json"))
	}

	layout := t.TempDir()
	foreign := &Bundle{dir: layout, store: d.b.store}
	foreign.setImage("other", d.b.index.Manifests[0])
	require.NoError(t, foreign.commit())
	_, _, err := Pull(t.Context(), layout, d.ref, client(t), quiet)
	require.ErrorContains(t, err, "is an OCI layout, but not a bundle")

	dir := t.TempDir()
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
	require.NoError(t, err)
	lying := *d.b
	lying.index.Manifests = append([]ocispec.Descriptor{}, d.b.index.Manifests...)
	lying.index.Manifests[0].Size++
	data, err := json.Marshal(lying.index)
	require.NoError(t, err)
	repo, err := client(t).Repository(d.Host + "/team/bundle:lying")
	require.NoError(t, err)
	_, err = repo.Push(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(data), Size: int64(len(data))}, bytes.NewReader(data), "lying")
	require.NoError(t, err)
	_, _, err = Pull(t.Context(), dir, d.Host+"/team/bundle:lying", client(t), quiet)
	require.ErrorContains(t, err, "refusing what says so")
	d.check(dir)
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
	_, _, err := Pull(t.Context(), dir, d.ref, client(t), quiet)
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
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), quiet)
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
	_, err = Push(t.Context(), delta, repo, "v1", quiet)
	require.ErrorContains(t, err, "is a delta: apply it to the bundle sha256:")

	layers, err := d.b.layers(t.Context(), ModulesName)
	require.NoError(t, err)
	require.NoError(t, d.b.store.Delete(t.Context(), layers[0].Digest))
	_, err = Push(t.Context(), d.b, repo, "v1", quiet)
	require.ErrorContains(t, err, "is not whole: it lacks blob "+layers[0].Digest.String())
	_, err = d.b.Verify(t.Context(), gomod.Set{}, "")
	require.Error(t, err)
}
