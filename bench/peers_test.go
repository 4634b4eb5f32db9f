//go:build bench

// Package bench measures Larder beside its peers: 'make bench' builds the same programs by each, in turns, on one
// BuildKit, and writes docs/benchmarks.md. It is no test: nothing is asserted but that builds succeed.
package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// runs is how often a scenario on a warm desk is measured, after once that doesn't count; coldRuns is how often one on a
// fresh builder is, which nothing can warm up.
const (
	runs     = 5
	coldRuns = 2
)

// floor is the go command on this machine: it makes no image.
const floor = "go build on the host"

// A peer is a way to build the programs of an input.
type peer struct {
	name       string
	dockerfile func(in input) string // "" for the go command on this machine
}

// An input is a tree to build.
type input struct {
	name  string
	make  func(t *testing.T, dir string)
	mains []string // folders of main packages
	main  string   // the file of one of them
	deep  string   // a file that all of them compile, or ""
	slow  bool     // too slow for the peer that has no cache mounts
}

// world is what all builds share.
type world struct {
	t                        *testing.T
	proxy, registry          string
	golang                   string
	desk                     string // the BuildKit daemon that is warm
	serial                   int
	goCache, modCache, goOut string
}

func TestBench(t *testing.T) {
	w := newWorld(t)
	var all []result
	for _, in := range []input{hello(), services()} {
		all = append(all, w.measure(in)...)
		writeReport(t, filepath.Join(testkit.Root(t), "docs"), all)
	}
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, proxy: testkit.ServeProxy(t, testkit.ModuleCache(t)).URL, registry: testkit.Registry(t), desk: testkit.Buildkitd(t, nil)}
	w.goCache, w.modCache, w.goOut = t.TempDir(), t.TempDir(), t.TempDir()
	t.Cleanup(func() { w.run(exec.Command("go", "clean", "-modcache"), "GOMODCACHE="+w.modCache) })
	testkit.PushFrontend(t, w.desk, w.registry+"/larder:1")
	w.golang = w.registry + "/golang:1.26"
	testkit.PushGolang(t, w.desk, w.registry+"/larder:1", w.proxy, w.golang)
	return w
}

func (w *world) run(cmd *exec.Cmd, env ...string) {
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "%s\n%s", cmd, out)
}

// peers returns Larder first, and the go command last.
func (w *world) peers(in input) []peer {
	from := func(in input, stage func(dir, name string) string) string {
		text, copies := "", ""
		for i, dir := range in.mains {
			name := fmt.Sprintf("b%d", i)
			text += stage(dir, name)
			copies += "COPY --from=" + name + " /out/app /" + name + "\n"
		}
		return text + "FROM scratch\n" + copies
	}
	all := []peer{
		{"larder", func(in input) string {
			return "# syntax=" + w.registry + "/larder:1\n" + from(in, func(dir, name string) string {
				return "FROM go AS " + name + "\nGO build -ldflags=\"-s -w\" -o /out/app " + dir + "\n"
			})
		}},
		// https://docs.docker.com/build/cache/optimize/: cache mounts for modules and packages, bind mounts for the sources.
		{"docker/dockerfile, cache mounts", func(in input) string {
			return from(in, func(dir, name string) string {
				return "FROM " + w.golang + " AS " + name + "\nENV CGO_ENABLED=0 GOSUMDB=off GOPROXY=" + w.proxy + "\nWORKDIR /src\n" +
					"RUN --mount=type=cache,target=/go/pkg/mod --mount=type=bind,source=go.mod,target=go.mod --mount=type=bind,source=go.sum,target=go.sum go mod download\n" +
					"RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build --mount=type=bind,target=. go build -ldflags=\"-s -w\" -o /out/app " + dir + "\n"
			})
		}},
		{"docker/dockerfile, layers", func(in input) string {
			return from(in, func(dir, name string) string {
				return "FROM " + w.golang + " AS " + name + "\nENV CGO_ENABLED=0 GOSUMDB=off GOPROXY=" + w.proxy + "\nWORKDIR /src\n" +
					"COPY go.mod go.sum ./\nRUN go mod download\nCOPY . .\nRUN go build -ldflags=\"-s -w\" -o /out/app " + dir + "\n"
			})
		}},
		{floor, nil},
	}
	if in.slow {
		return slices.DeleteFunc(all, func(p peer) bool { return strings.HasSuffix(p.name, "layers") })
	}
	return all
}

// build builds a tree by a peer and returns how long that took. addr is a BuildKit daemon.
func (w *world) build(p peer, in input, dir, addr string, args ...string) time.Duration {
	if p.dockerfile == nil {
		return w.goBuild(in, dir)
	}
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(p.dockerfile(in)), 0o644))
	out := filepath.Join(w.t.TempDir(), "image.tar")
	cmd := exec.Command(testkit.Tool(w.t, "buildctl"), append([]string{"--addr", addr, "build", "--frontend", "dockerfile.v0", "--local", "context=" + dir, "--local", "dockerfile=" + dir,
		"--opt", "build-arg:GOPROXY=" + w.proxy, "--output", "type=oci,dest=" + out}, args...)...)
	start := time.Now()
	w.run(cmd)
	return time.Since(start)
}

func (w *world) goBuild(in input, dir string) time.Duration {
	start := time.Now()
	for _, main := range in.mains {
		cmd := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(w.goOut, "app"), main)
		cmd.Dir = dir
		w.run(cmd, "GOFLAGS=-modcacherw", "GOPROXY="+w.proxy, "GOSUMDB=off", "CGO_ENABLED=0", "GOCACHE="+w.goCache, "GOMODCACHE="+w.modCache, "GOWORK=off")
	}
	return time.Since(start)
}

// A result is the median of one scenario for one peer.
type result struct {
	input, scenario, peer string
	median                time.Duration
}

// measure runs all scenarios of an input, each by all peers in turns.
func (w *world) measure(in input) (out []result) {
	dir := w.t.TempDir()
	in.make(w.t, dir)
	desk := func(p peer) time.Duration { return w.build(p, in, dir, w.desk) }
	fresh := func(p peer, args ...string) time.Duration {
		if p.dockerfile == nil {
			w.run(exec.Command("go", "clean", "-cache"), "GOCACHE="+w.goCache)
			w.run(exec.Command("go", "clean", "-modcache"), "GOMODCACHE="+w.modCache)
			return w.goBuild(in, dir)
		}
		var took time.Duration
		w.t.Run("fresh", func(t *testing.T) { // so that the daemon is stopped
			sub := *w
			sub.t = t
			took = sub.build(p, in, dir, testkit.Buildkitd(t, nil), args...)
		})
		return took
	}
	cached := func(p peer) time.Duration { return fresh(p, "--import-cache", "type=registry,ref="+w.cacheRef(p, in)) }
	edit := func(name string) func() { return func() { w.touch(filepath.Join(dir, name)) } }
	nothing := func() {}

	scenario := func(name string, warmup, count int, change func(), build func(peer) time.Duration, without ...string) {
		took := map[string][]time.Duration{}
		for i := range warmup + count {
			for _, p := range w.peers(in) {
				if slices.Contains(without, p.name) {
					continue
				}
				change()
				if d := build(p); i >= warmup {
					took[p.name] = append(took[p.name], d)
				}
			}
		}
		for _, p := range w.peers(in) {
			if len(took[p.name]) > 0 {
				r := result{in.name, name, p.name, median(took[p.name])}
				fmt.Printf("%s | %s | %s | %s\n", r.input, r.scenario, r.peer, r.median.Round(time.Millisecond))
				out = append(out, r)
			}
		}
	}
	scenario("cold, modules from a proxy on loopback", 0, coldRuns, nothing, func(p peer) time.Duration { return fresh(p) })
	scenario("nothing changed", 1, runs, nothing, desk)
	scenario("README edited", 1, runs, edit("README.md"), desk)
	scenario("one line of main edited", 1, runs, edit(in.main), desk)
	if in.deep != "" {
		scenario("one line of a package that all share edited", 1, runs, edit(in.deep), desk)
	}
	for _, p := range w.peers(in) { // the caches that fresh runners take
		if p.dockerfile != nil {
			w.build(p, in, dir, w.desk, "--export-cache", "type=registry,mode=max,ref="+w.cacheRef(p, in))
		}
	}
	scenario("fresh runner with a registry cache, nothing edited", 0, coldRuns, nothing, cached, floor)
	scenario("fresh runner with a registry cache, one line of main edited", 0, coldRuns, edit(in.main), cached, floor)
	return out
}

// median returns the middle of a list, or the mean of the two in the middle.
func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

func (w *world) cacheRef(p peer, in input) string {
	return w.registry + "/cache/" + in.name + ":" + strings.NewReplacer(" ", "-", "/", "-", ",", "").Replace(p.name)
}

// touch adds a line that is in no file yet.
func (w *world) touch(name string) {
	w.serial++
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(w.t, err)
	line := fmt.Sprintf("\n// Edit %d.\n", w.serial)
	if strings.HasSuffix(name, ".go") {
		line = fmt.Sprintf("\nvar _ = \"edit %d\"\n", w.serial)
	}
	_, err = f.WriteString(line)
	require.NoError(w.t, err)
	require.NoError(w.t, f.Close())
}
