package bundle

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// heard is a Progress that writes down what it is told, and fails where that can't be.
type heard struct {
	t       *testing.T
	mu      sync.Mutex
	steps   []string // NAME DONE/TOTAL
	name    string
	items   int
	total   int
	bytes   int64
	of      int64
	started map[string]int64 // bytes of items that aren't done
}

func (h *heard) Begin(step string, items int, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
	h.name, h.total, h.of = step, items, bytes
}

func (h *heard) end() {
	if h.name == "" {
		return
	}
	h.steps = append(h.steps, fmt.Sprintf("%s %d/%d", h.name, h.items, h.total))
	if h.of > 0 {
		require.Equal(h.t, h.of, h.bytes, h.name)
	}
	require.Empty(h.t, h.started, "%s: what was begun is done", h.name)
	h.name, h.items, h.bytes = "", 0, 0
}

func (h *heard) At(item string, bytes, of int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if of > 0 {
		require.LessOrEqual(h.t, bytes, of, item)
	}
	h.started[item] = bytes
}

func (h *heard) Done(item string, bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.started, item)
	h.items++
	h.bytes += bytes
	require.True(h.t, h.total == 0 || h.items <= h.total, "%s: %d of %d", h.name, h.items, h.total)
}

// hear returns what a function tells, as a list of steps.
func hear(t *testing.T, f func(p progress.Reporter) error) []string {
	t.Helper()
	h := &heard{t: t, started: map[string]int64{}}
	require.NoError(t, f(h))
	h.end()
	return h.steps
}

// What takes long tells of each step how many things it has, and of each of them when it is done.
func TestProgress(t *testing.T) {
	s := newStock(t, 5)
	dir := filepath.Join(t.TempDir(), "bundle")
	req, db := s.full(dir)
	made := []string{
		"get modules 5/5", "write layers of modules 4/4", "get toolchains 1/1", "write layers of toolchain 1/1",
		"copy from the checksum database 6/6", "get images 1/1", "add vulndb 0/0", "add files 0/0", "add compiled packages 1/0",
	}
	create := func(dir string) func(p progress.Reporter) error {
		return func(p progress.Reporter) error {
			m := s.maker()
			m.Images, m.Progress = s.images(), p
			_, err := m.Create(t.Context(), dir, req)
			return err
		}
	}
	told := hear(t, create(filepath.Join(t.TempDir(), "new")))
	require.Equal(t, made, told)
	told = hear(t, create(dir)) // nothing is fetched, and all is looked at
	require.Equal(t, made, told)
	b := mustOpen(t, dir)

	blobs, err := b.blobs(t.Context())
	require.NoError(t, err)
	all := len(blobs)
	told = hear(t, func(p progress.Reporter) error {
		_, err := b.Verify(t.Context(), s.set(), db.Key, p)
		return err
	})
	require.Equal(t, []string{
		fmt.Sprintf("check blobs %d/%[1]d", all), "check files 1/1", "check modules 5/5", "check sumdb 1/1", "check toolchain 1/1", "check tools 1/1", "check vulndb 1/1",
		"check compiled packages 1/1", "look up hashes in the checksum database 11/11",
	}, told)
	told = hear(t, func(p progress.Reporter) error {
		_, err := b.Export(t.Context(), Export{Dir: filepath.Join(t.TempDir(), "out"), Sums: s.set(), Key: db.Key, Progress: p})
		return err
	})
	require.Contains(t, told, fmt.Sprintf("check blobs %d/%[1]d", all))
	require.Contains(t, told, "export modules 5/5")
	require.Equal(t, "export images 1/0", told[len(told)-1])
	told = hear(t, func(p progress.Reporter) error {
		_, err := Merge(t.Context(), filepath.Join(t.TempDir(), "all"), []*Bundle{b, b}, nil, SumDB{}, p)
		return err
	})
	require.Contains(t, told, "get modules 5/5")
}

// A transfer tells of each blob, and of large ones how far they are, also where it goes on after one that was stopped.
func TestProgressOfTransfers(t *testing.T) {
	d := newDepot(t)
	blobs, err := d.b.blobs(t.Context())
	require.NoError(t, err)
	push := fmt.Sprintf("push blobs %d/%[1]d", len(blobs)+1)
	for range 2 { // the second time all is there
		told := hear(t, func(p progress.Reporter) error {
			repo, err := client(t).Repository(d.ref)
			require.NoError(t, err)
			_, err = Push(t.Context(), d.b, repo, repo.Tag(), p)
			return err
		})
		require.Equal(t, []string{push}, told)
	}

	dir := filepath.Join(t.TempDir(), "pulled")
	manifests := 0
	for _, b := range blobs {
		if refers(b) {
			manifests++
		}
	}
	want := []string{fmt.Sprintf("pull manifests %d/0", manifests+1), fmt.Sprintf("pull blobs %d/%[1]d", len(blobs)-manifests)}
	for range 2 {
		told := hear(t, func(p progress.Reporter) error {
			_, _, err := Pull(t.Context(), dir, d.ref, client(t), Trust{}, p)
			return err
		})
		require.Equal(t, want, told)
	}
}

// Bytes are told while they come, and not only at the end of a file.
func TestProgressOfBytes(t *testing.T) {
	s := newStock(t, 1)
	noise := make([]byte, 1<<20) // can't be compressed
	_, _ = rand.Read(noise)
	zip := testkit.Module{Path: "big.example/m", Version: "v1.0.0", Files: map[string]string{"m.go": "package m\n", "big.txt": string(noise)}}
	s.sums += zip.Write(t, s.dir)
	told := make(chan struct{})
	var once sync.Once
	s.proxy.Fail("big.example/m/@v/v1.0.0.zip", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		next.ServeHTTP(&pausingWriter{ResponseWriter: w, until: told}, r)
	})
	m := s.maker()
	m.Progress = watcher{&heard{t: t, started: map[string]int64{}}, func(item string, bytes int64) {
		if item == "big.example/m@v1.0.0" && bytes > 0 {
			once.Do(func() { close(told) })
		}
	}}
	_, err := m.Create(t.Context(), t.TempDir(), s.request())
	require.NoError(t, err)
}

// watcher calls at for what is told of a part of an item.
type watcher struct {
	*heard
	at func(item string, bytes int64)
}

func (w watcher) At(item string, bytes, of int64) {
	w.heard.At(item, bytes, of)
	w.at(item, bytes)
}

// A pausingWriter sends the first bytes of an answer, and the rest when until is closed.
type pausingWriter struct {
	http.ResponseWriter
	until <-chan struct{}
	sent  int
}

func (w *pausingWriter) Write(p []byte) (int, error) {
	if w.sent >= 64<<10 {
		http.NewResponseController(w.ResponseWriter).Flush()
		<-w.until
	}
	n, err := w.ResponseWriter.Write(p)
	w.sent += n
	return n, err
}
