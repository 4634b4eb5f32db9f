package bundle

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/oci/registry"
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
	hub, err := registry.NewClient(registry.Options{})
	if err != nil {
		return err
	}
	switch dir := args[0]; what {
	case "apply":
		delta, err := Open(ctx, args[1], Trust{})
		if err != nil {
			return err
		}
		_, err = Apply(ctx, dir, delta, Trust{})
		return err
	case "pull":
		_, _, err := Pull(ctx, dir, args[1], hub, Trust{}, nil)
		return err
	default:
		return victimCreates(ctx, dir, args[1], args[2], hub, args[3])
	}
}

func victimCreates(ctx context.Context, dir, proxy, gosum string, images ImageSource, image string) error {
	sums, err := os.ReadFile(gosum)
	if err != nil {
		return err
	}
	set, err := gomod.ParseSums(gomod.File{Name: gosum, Data: sums})
	if err != nil {
		return err
	}
	client, err := fetch.NewClient("", nil, fetch.Remedies{})
	if err != nil {
		return err
	}
	list, err := modfetch.ParseList(proxy)
	if err != nil {
		return err
	}
	m := Maker{Sources: Sources{Client: client, Proxies: list}, Images: images}
	_, err = m.Create(ctx, dir, Request{Modules: set, Keys: []string{set.Key()}, Images: []string{image}, Platforms: imagePlatforms})
	return err
}

// killed runs a victim on a bundle and kills it at the n-th moment: a request, a part of an answer, or a change to the
// folders of the bundle. It returns how many there were.
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
	s.setTick(tick)
	stop := watch(s.t, tick, dir, filepath.Join(dir, "ingest"), filepath.Join(dir, "blobs/sha256"))
	require.NoError(s.t, cmd.Start())
	close(started)
	err = cmd.Wait()
	stop()
	s.setTick(func() {})
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

// kill kills a victim at moments spread over its run; then run does the same to its end.
func (s *trial) kill(what string, run func(dir string) error, args ...string) {
	dir := s.start()
	total := s.killed(never, what, dir, args...)
	s.same(dir)
	seen := map[string]bool{}
	for _, n := range moments(total) {
		dir := s.start()
		s.killed(n, what, dir, args...)
		fetched := s.check(dir)
		seen[fmt.Sprint(fetched)] = true
		s.finish(dir, fetched, run)
	}
	require.Greater(s.t, len(seen), 3, "the moments differ")
}

func (s *trial) runCreate(dir string) error {
	m := s.maker()
	m.Images = client(s.t)
	_, err := m.Create(s.t.Context(), dir, s.request())
	return err
}

func TestCreateKilled(t *testing.T) {
	s := newTrial(t)
	sums := filepath.Join(t.TempDir(), "go.sum")
	require.NoError(t, os.WriteFile(sums, []byte(s.sums), 0o644))
	s.kill("create", s.runCreate, s.proxy.URL, sums, s.image())
}

// pushed pushes the new bundle, and returns what pulls it.
func (s *trial) pushed() (ref string, run func(dir string) error) {
	ref = s.hub.Host + "/team/bundle:v1"
	repo, err := client(s.t).Repository(ref)
	require.NoError(s.t, err)
	_, err = Push(s.t.Context(), mustOpen(s.t, s.new), repo, repo.Tag(), nil)
	require.NoError(s.t, err)
	return ref, func(dir string) error {
		_, _, err := Pull(s.t.Context(), dir, ref, client(s.t), Trust{}, nil)
		return err
	}
}

func TestPullKilled(t *testing.T) {
	s := newTrial(t)
	ref, run := s.pushed()
	s.kill("pull", run, ref)
}

// delta makes a delta to the old bundle, and the new one what it makes of it.
func (s *trial) delta() *Bundle {
	req := s.request()
	req.Since = mustOpen(s.t, s.old)
	delta := s.create(s.t.TempDir(), req)
	s.new = s.t.TempDir()
	require.NoError(s.t, os.CopyFS(s.new, os.DirFS(s.old)))
	_, err := Apply(s.t.Context(), s.new, delta, Trust{})
	require.NoError(s.t, err)
	return delta
}

func (s *trial) applies(delta *Bundle) (run func(dir string) error) {
	return func(dir string) error {
		_, err := Apply(s.t.Context(), dir, delta, Trust{})
		return err
	}
}

func TestApplyKilled(t *testing.T) {
	s := newTrial(t)
	delta := s.delta()
	s.kill("apply", s.applies(delta), delta.Dir())
}

// resize makes the disk as large as what is on it, and some more.
func (s *trial) resize(more int64) {
	var st unix.Statfs_t
	require.NoError(s.t, unix.Statfs(s.disk, &st))
	used := (int64(st.Blocks) - int64(st.Bfree)) * st.Bsize
	require.NoError(s.t, unix.Mount("", s.disk, "", unix.MS_REMOUNT, fmt.Sprintf("size=%d", used+more)))
}

// fill runs something on a disk with room for no step, one, two …, until there is enough for it to end well.
func (s *trial) fill(step int64, run func(dir string) error) {
	for n := int64(0); ; n++ {
		dir := s.start()
		s.resize(n * step)
		err := run(dir)
		fetched := s.check(dir)
		s.resize(64 << 20)
		s.finish(dir, fetched, run)
		if err == nil {
			require.GreaterOrEqual(s.t, n, int64(faultMoments), "smaller steps are needed")
			return
		}
		require.ErrorContains(s.t, err, "no space left on device")
	}
}

func TestCreateOnFullDisk(t *testing.T) {
	s := newTrial(t)
	s.fill(32<<10, s.runCreate)
}

func TestPullOnFullDisk(t *testing.T) {
	s := newTrial(t)
	_, run := s.pushed()
	s.fill(16<<10, run)
}

func TestApplyOnFullDisk(t *testing.T) {
	s := newTrial(t)
	s.fill(16<<10, s.applies(s.delta()))
}
