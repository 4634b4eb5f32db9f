package bundle

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/modfetch"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// faultMoments is at how many moments of a run something is done to it.
const faultMoments = 20

// TestMain lets the test binary be the process that is killed: see killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "victim" {
		if err := victim(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func victim(what string, args []string) error {
	ctx := context.Background()
	if what == "apply" {
		delta, err := Open(args[1])
		if err != nil {
			return err
		}
		_, err = Apply(ctx, args[0], delta)
		return err
	}
	sums, err := os.ReadFile(args[2])
	if err != nil {
		return err
	}
	set, err := gomod.ParseSums(gomod.File{Name: args[2], Data: sums})
	if err != nil {
		return err
	}
	client, err := modfetch.NewClient("", nil, modfetch.Remedies{})
	if err != nil {
		return err
	}
	list, err := modfetch.ParseList(args[1])
	if err != nil {
		return err
	}
	m := Maker{Sources: Sources{Client: client, Proxies: list}, Tell: func(string, int64) {}}
	_, err = m.Create(ctx, args[0], Request{Modules: set, Keys: []string{set.Key()}})
	return err
}

// A trial is a bundle, what is to become of it, and a proxy that has what that needs.
type trial struct {
	*stock
	disk     string // a file system in memory
	old, new string // folders of what there is before and after
	oldSet   gomod.Set

	mu       sync.Mutex
	requests []string
	tick     atomic.Pointer[func()] // called before and after each answer
}

func newTrial(t *testing.T) *trial {
	testkit.NeedRoot(t)
	s := &trial{stock: newStock(t, 4), disk: t.TempDir()}
	require.NoError(t, unix.Mount("tmpfs", s.disk, "tmpfs", 0, "size=64m"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(s.disk, unix.MNT_DETACH)) })
	none := func() {}
	s.tick.Store(&none)
	files := http.FileServer(http.Dir(s.dir))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.tick.Load())()
		s.mu.Lock()
		s.requests = append(s.requests, strings.TrimPrefix(r.URL.Path, "/"))
		s.mu.Unlock()
		files.ServeHTTP(w, r)
		(*s.tick.Load())()
	}))
	t.Cleanup(func() { srv.CloseClientConnections(); srv.Close() })
	s.proxy.URL = srv.URL
	s.old, s.new, s.oldSet = t.TempDir(), t.TempDir(), s.set()
	s.create(s.old, s.request())
	for i := range 15 {
		s.add(fmt.Sprintf("n%d.example/lib", i), "v1.0.0")
	}
	s.create(s.new, s.request())
	return s
}

// asked returns the files that the proxy was asked for since the last call.
func (s *trial) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.requests
	s.requests = nil
	return asked
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

// check checks that a bundle on which something was done to a run is whole, and returns what a next run must not fetch.
func (s *trial) check(dir string) (fetched []string) {
	b, err := Open(dir)
	require.NoError(s.t, err)
	set := s.oldSet
	if b.Digest() != mustOpen(s.t, s.old).Digest() {
		require.Equal(s.t, mustOpen(s.t, s.new).Digest(), b.Digest())
		set = s.set()
	}
	_, err = b.Verify(s.t.Context(), set, "")
	require.NoError(s.t, err)
	for _, sum := range append(set.Zips(), set.GoMods()...) {
		name, _, err := fileOf(sum)
		require.NoError(s.t, err)
		fetched = append(fetched, name)
	}
	staging := os.DirFS(filepath.Join(dir, stagingDir))
	err = fs.WalkDir(staging, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasSuffix(name, ".part") && !strings.HasSuffix(name, ".origin") {
			fetched = append(fetched, name)
		}
		return err
	})
	if err != nil {
		require.ErrorIs(s.t, err, fs.ErrNotExist)
	}
	return fetched
}

// finish runs create to its end: it must fetch no file again, and leave the new bundle and nothing else.
func (s *trial) finish(dir string, fetched []string) {
	s.asked()
	s.create(dir, s.request())
	for _, name := range s.asked() {
		require.NotContains(s.t, fetched, name, "it was fetched again")
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
	b, err := Open(dir)
	require.NoError(t, err)
	return b
}

// killed runs a victim on a bundle and kills it at the n-th moment: a request, an answer, or a change to the folders of the
// bundle. It returns how many there were.
func (s *trial) killed(n int64, what, dir string, args ...string) (moments int64) {
	exe, err := os.Executable()
	require.NoError(s.t, err)
	cmd := exec.Command(exe, append([]string{"victim", what, dir}, args...)...)
	var out strings.Builder
	cmd.Stderr = &out
	var count atomic.Int64
	started := make(chan struct{})
	tick := func() {
		if count.Add(1) == n {
			<-started
			_ = cmd.Process.Kill()
		}
	}
	s.tick.Store(&tick)
	stop := watch(s.t, tick, dir, filepath.Join(dir, "ingest"), filepath.Join(dir, "blobs/sha256"))
	require.NoError(s.t, cmd.Start())
	close(started)
	err = cmd.Wait()
	stop()
	none := func() {}
	s.tick.Store(&none)
	if count.Load() < n {
		require.NoError(s.t, err, out.String())
	}
	return count.Load()
}

// watch calls tick for every change of what is in folders, until stop is called.
func watch(t *testing.T, tick func(), dirs ...string) (stop func()) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	require.NoError(t, err)
	f := os.NewFile(uintptr(fd), "inotify")
	for _, dir := range dirs {
		_, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_DELETE|unix.IN_CLOSE_WRITE)
		require.NoError(t, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, err := f.Read(buf)
			if err != nil {
				return
			}
			for at := 0; at < n; at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(buf[at+12:])) {
				tick()
			}
		}
	}()
	return func() { f.Close(); <-done }
}

// moments spreads moments over a run, at random within each part of it, and the same in every run of the test.
func moments(total int64) (list []int64) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range int64(faultMoments) {
		from, to := i*total/faultMoments, (i+1)*total/faultMoments
		list = append(list, 1+from+r.Int64N(max(1, to-from)))
	}
	return list
}

const never = 1 << 40

func TestCreateKilled(t *testing.T) {
	s := newTrial(t)
	sums := filepath.Join(t.TempDir(), "go.sum")
	require.NoError(t, os.WriteFile(sums, []byte(s.sums), 0o644))
	dir := s.start()
	total := s.killed(never, "create", dir, s.proxy.URL, sums)
	s.same(dir)
	seen := map[string]bool{}
	for _, n := range moments(total) {
		dir := s.start()
		s.killed(n, "create", dir, s.proxy.URL, sums)
		fetched := s.check(dir)
		seen[fmt.Sprint(len(fetched))] = true
		s.finish(dir, fetched)
	}
	require.Greater(t, len(seen), 3, "the moments differ")
}

// delta makes a delta to the old bundle, and the new one what it makes of it.
func (s *trial) delta() *Bundle {
	req := s.request()
	req.Since = mustOpen(s.t, s.old)
	delta := s.create(s.t.TempDir(), req)
	s.new = s.t.TempDir()
	require.NoError(s.t, os.CopyFS(s.new, os.DirFS(s.old)))
	_, err := Apply(s.t.Context(), s.new, delta)
	require.NoError(s.t, err)
	return delta
}

func TestApplyKilled(t *testing.T) {
	s := newTrial(t)
	delta := s.delta()
	dir := s.start()
	total := s.killed(never, "apply", dir, delta.Dir())
	s.same(dir)
	for _, n := range moments(total) {
		dir := s.start()
		s.killed(n, "apply", dir, delta.Dir())
		s.check(dir)
		_, err := Apply(t.Context(), dir, delta)
		require.NoError(t, err)
		s.same(dir)
	}
}

// resize makes the disk as large as what is on it, and some more.
func (s *trial) resize(more int64) {
	var st unix.Statfs_t
	require.NoError(s.t, unix.Statfs(s.disk, &st))
	used := (int64(st.Blocks) - int64(st.Bfree)) * st.Bsize
	require.NoError(s.t, unix.Mount("", s.disk, "", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+more)))
}

// fill runs something on a disk with room for no step, one, two …, until there is enough for it to end well.
func (s *trial) fill(step int64, run func(dir string) error, finish func(dir string, fetched []string)) {
	for n := int64(0); ; n++ {
		dir := s.start()
		s.resize(n * step)
		err := run(dir)
		fetched := s.check(dir)
		s.resize(64 << 20)
		finish(dir, fetched)
		if err == nil {
			require.GreaterOrEqual(s.t, n, int64(faultMoments), "smaller steps are needed")
			return
		}
		require.ErrorContains(s.t, err, "no space left on device")
	}
}

func TestCreateOnFullDisk(t *testing.T) {
	s := newTrial(t)
	s.fill(16<<10, func(dir string) error {
		_, err := s.maker().Create(t.Context(), dir, s.request())
		return err
	}, s.finish)
}

func TestApplyOnFullDisk(t *testing.T) {
	s := newTrial(t)
	delta := s.delta()
	s.fill(4<<10, func(dir string) error {
		_, err := Apply(t.Context(), dir, delta)
		return err
	}, func(dir string, _ []string) {
		_, err := Apply(t.Context(), dir, delta)
		require.NoError(t, err)
		s.same(dir)
	})
}
