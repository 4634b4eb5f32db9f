package bundle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// A pull over an older bundle fetches what that lacks, and so does one that mends.
func TestPullDelta(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	dir := t.TempDir()
	_, first, err := Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	d.add("new.example/lib", "v1.0.0")
	d.make()
	again, err := d.push()
	require.NoError(t, err)
	require.Less(t, again.MovedBytes, first.Bytes/10)

	before := d.Fetched()
	_, got, err := Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
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
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
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
				c.Policy.Stall = 5 * time.Second // a busy machine isn't silent for that long
			}
			before := d.Fetched()
			dir := t.TempDir()
			_, _, err := Pull(t.Context(), dir, d.ref, c, Trust{}, nil)
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
			_, _, err := Pull(t.Context(), dir, older.ref, client(t), Trust{}, nil)
			require.NoError(t, err)
			before := d.Fetched()
			d.Fail(f)
			_, _, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
			require.ErrorContains(t, err, "(tried 5 times)")
			older.check(dir)
			d.Fail(nil)
			_, _, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
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
	_, _, err := Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	d.check(dir)

	dir = t.TempDir()
	d.Fail(wrong(1 << 30))
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.ErrorContains(t, err, "refusing blob sha256:")
	require.ErrorContains(t, err, "twice its registry sent other bytes")
	require.NoFileExists(t, filepath.Join(dir, "index.json"))
	d.Fail(nil)
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err, "wrong bytes are not what the next pull begins with")
	d.check(dir)
}

func TestPullCancelled(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	dir := t.TempDir()
	_, _, err := Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
	require.NoError(t, err)
	old := d.b
	pushPlatforms(t, d.Host+"/library/base:v1", 500_000)
	d.make()
	d.pushed()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	d.Fail(breaks(1, 200_000, func(r *http.Request) { cancel(enough); d.Stall(r) }))
	_, _, err = Pull(ctx, dir, d.ref, client(t), Trust{}, nil)
	require.ErrorIs(t, err, enough)
	b, err := Open(t.Context(), dir, Trust{})
	require.NoError(t, err)
	require.Equal(t, old.Digest(), b.Digest())
	_, err = b.Verify(t.Context(), d.set(), "", nil)
	require.NoError(t, err)
}

func TestPullRefuses(t *testing.T) {
	d := newDepot(t)
	d.pushed()
	for ref, want := range map[string]string{
		"/library/base:v1": `it is not a bundle: it has no image named "manifest"`,
		"/team/bundle:" + gomod.SetTag(d.set().Key()): "is not a bundle, but of the type application/vnd.oci.image.manifest.v1+json",
		"/team/none:v1": "has no " + d.Host + "/team/none:v1",
	} {
		dir := filepath.Join(t.TempDir(), "new")
		_, _, err := Pull(t.Context(), dir, d.Host+ref, client(t), Trust{}, nil)
		require.ErrorContains(t, err, want)
		require.NoFileExists(t, filepath.Join(dir, "index.json"))
	}

	layout := t.TempDir()
	foreign := &Bundle{dir: layout, store: d.b.store}
	foreign.setImage("other", d.b.index.Manifests[0])
	require.NoError(t, foreign.commit())
	_, _, err := Pull(t.Context(), layout, d.ref, client(t), Trust{}, nil)
	require.ErrorContains(t, err, "is an OCI layout, but not a bundle")

	dir := t.TempDir()
	_, _, err = Pull(t.Context(), dir, d.ref, client(t), Trust{}, nil)
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
	_, _, err = Pull(t.Context(), dir, d.Host+"/team/bundle:lying", client(t), Trust{}, nil)
	require.ErrorContains(t, err, "refusing what says so")
	d.check(dir)
}
