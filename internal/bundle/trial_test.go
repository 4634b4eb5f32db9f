package bundle

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A trial is a bundle, what is to become of it, and a proxy and a registry that have what that needs.
type trial struct {
	*stock
	hub      *testkit.RegistryProxy
	disk     string // a file system in memory
	old, new string // folders of what there is before and after
	oldSet   gomod.Set

	mu       sync.Mutex
	requests []asked
	tick     atomic.Pointer[func()] // called before, during and after each answer
}

// asked is a request for a file of the proxy, or for a blob of the registry.
type asked struct {
	what string // the path of a file, or a digest
	from string // the header Range
}

func newTrial(t *testing.T) *trial {
	testkit.NeedRoot(t)
	s := &trial{stock: newStock(t, 4), disk: t.TempDir()}
	require.NoError(t, unix.Mount("tmpfs", s.disk, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(s.disk, unix.MNT_DETACH)) })
	s.setTick(func() {})
	s.proxy.Fail("/", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		s.answer(w, r, strings.TrimPrefix(r.URL.Path, "/"), next)
	})
	s.old, s.new, s.oldSet = t.TempDir(), t.TempDir(), s.set()
	s.create(s.old, s.stock.request())
	for i := range 15 {
		s.add(fmt.Sprintf("n%d.example/lib", i), "v1.0.0")
	}
	s.hub = testkit.ServeRegistryProxy(t, testkit.Registry(t), false)
	pushPlatforms(t, s.image(), 200_000)
	s.hub.Fail(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		what := ""
		if r.Method == http.MethodGet {
			what = path.Base(r.URL.Path)
		}
		s.answer(w, r, what, next)
	})
	s.create(s.new, s.request())
	return s
}

func (s *trial) image() string { return s.hub.Host + "/library/base:v1" }

func (s *trial) setTick(f func()) { s.tick.Store(&f) }

func (s *trial) answer(w http.ResponseWriter, r *http.Request, what string, next http.Handler) {
	tick := func() { (*s.tick.Load())() }
	tick()
	s.mu.Lock()
	s.requests = append(s.requests, asked{what, r.Header.Get("Range")})
	s.mu.Unlock()
	next.ServeHTTP(&testkit.Intercepted{ResponseWriter: w, To: func(b []byte) (int, error) {
		defer tick()
		return w.Write(b)
	}}, r)
	tick()
}

// request is for what the new bundle has.
func (s *trial) request() Request {
	req := s.stock.request()
	req.Images, req.Platforms = []string{s.image()}, imagePlatforms
	return req
}

func (s *trial) create(dir string, req Request) *Bundle {
	m := s.maker()
	m.Images = client(s.t)
	b, err := m.Create(s.t.Context(), dir, req)
	require.NoError(s.t, err)
	return b
}

// asked returns what the proxy and the registry were asked for since the last call.
func (s *trial) asked() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.requests
	s.requests = nil
	return all
}

// start makes a copy of the old bundle.
func (s *trial) start() (dir string) {
	dir, err := os.MkdirTemp(s.disk, "")
	require.NoError(s.t, err)
	require.NoError(s.t, os.CopyFS(dir, os.DirFS(s.old)))
	require.NoError(s.t, os.MkdirAll(filepath.Join(dir, "ingest"), 0o755)) // to be watched
	s.asked()
	return dir
}

// check checks that a bundle on which something was done to a run is whole, and returns what a next run must not fetch: by
// the path of the file or the digest of the blob how many bytes of it are there, or -1 for all.
func (s *trial) check(dir string) map[string]int64 {
	b, err := Open(s.t.Context(), dir, Trust{})
	require.NoError(s.t, err)
	set := s.oldSet
	if b.Digest() != mustOpen(s.t, s.old).Digest() {
		require.Equal(s.t, mustOpen(s.t, s.new).Digest(), b.Digest())
		set = s.set()
	}
	_, err = b.Verify(s.t.Context(), set, "", nil)
	require.NoError(s.t, err)
	fetched := map[string]int64{}
	for _, sum := range append(set.Zips(), set.GoMods()...) {
		name, _, err := fileOf(sum)
		require.NoError(s.t, err)
		fetched[name] = -1
	}
	staging := filepath.Join(dir, stagingDir)
	s.files(staging, func(name string) {
		if !strings.HasSuffix(name, ".part") && !strings.HasSuffix(name, ".origin") {
			fetched[name] = -1
		}
	})
	s.files(filepath.Join(dir, "blobs/sha256"), func(name string) { fetched["sha256:"+name] = -1 })
	ingest := filepath.Join(dir, "ingest")
	s.files(ingest, func(name string) {
		ref, _ := os.ReadFile(filepath.Join(ingest, path.Dir(name), "ref"))
		data, _ := os.ReadFile(filepath.Join(ingest, path.Dir(name), "data"))
		if _, dgst, ok := strings.Cut(string(ref), "layer-"); ok && len(data) > 0 {
			fetched[dgst] = int64(len(data))
		}
	})
	return fetched
}

// files calls visit for each file below a folder that may not be there.
func (s *trial) files(dir string, visit func(name string)) {
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			visit(name)
		}
		return err
	})
	if err != nil {
		require.ErrorIs(s.t, err, fs.ErrNotExist)
	}
}

// finish runs something to its end: it must fetch nothing again, and leave the new bundle and nothing else.
func (s *trial) finish(dir string, fetched map[string]int64, run func(dir string) error) {
	s.asked()
	require.NoError(s.t, run(dir))
	for _, a := range s.asked() {
		switch n, ok := fetched[a.what]; {
		case n > 0:
			require.Equal(s.t, fmt.Sprintf("bytes=%d-", n), a.from, "what there was of %s was fetched again", a.what)
		case ok:
			require.Fail(s.t, a.what+" was fetched again")
		}
	}
	s.same(dir)
}

func (s *trial) same(dir string) {
	require.Equal(s.t, read(s.t, s.new), read(s.t, dir))
	for _, leftover := range []string{stagingDir, "ingest/*"} {
		names, err := filepath.Glob(filepath.Join(dir, leftover))
		require.NoError(s.t, err)
		require.Empty(s.t, names)
	}
	require.NoError(s.t, os.RemoveAll(dir))
}

func mustOpen(t *testing.T, dir string) *Bundle {
	b, err := Open(t.Context(), dir, Trust{})
	require.NoError(t, err)
	return b
}
