//go:build bench

package bench

import (
	"bufio"
	"encoding/hex"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Names of what bundles are measured beside.
const (
	download   = "go mod download"
	vendor     = "go mod vendor"
	sha256sum  = "sha256sum"
	fileServer = "file server"
	online     = "larder build, online"
)

// A stock is one input's modules and toolchain, in bundles and beside them.
type stock struct {
	*world
	dir, bundle string // the tree, and a bundle of it
	made        int
}

// bundles measures what it costs to collect an input's modules and a toolchain in a bundle, to check it, to serve it, and
// to build from it, beside the go command and other tools that do as much of it as they can.
func (w *world) bundles(in input, rep *report) {
	dir := w.t.TempDir()
	in.make(w.t, dir)
	in.name += ", bundle"
	s := &stock{world: w, dir: dir, bundle: filepath.Join(w.t.TempDir(), "bundle")}
	rep.weigh(in.name, weight{"memory of bundle create, at most", s.create("-o", s.bundle), 200 << 20, 1})
	rep.weigh(in.name, weight{"memory of bundle verify, at most", s.larder("bundle", "verify", s.bundle), 200 << 20, 1})
	ways := map[string]func(){
		gateway: func() { s.create("-o", s.scratch()) },
		download: func() {
			s.goMod(s.proxy, "download")
			s.toolchain()
		},
		vendor: func() {
			s.goMod(s.proxy, "vendor", "-o", s.scratch())
			s.toolchain()
		},
	}
	rep.add(in.name, s.turns(in, "modules and toolchain collected", 1, ways, download, vendor)...)
	rep.add(in.name, s.turns(in, "checked", 1.5, map[string]func(){
		gateway: func() { s.larder("bundle", "verify", s.bundle) },
		sha256sum: func() {
			s.run(exec.Command("sh", "-c", "find "+s.bundle+" -type f -print0 | xargs -0 -n 8 -P "+strconv.Itoa(runtime.NumCPU())+" sha256sum"))
		},
	}, sha256sum)...)
	serve := s.serve()
	rep.add(in.name, s.turns(in, "served to go mod download", 1, map[string]func(){
		gateway:    func() { s.goMod(serve, "download") },
		fileServer: func() { s.goMod(s.proxy, "download") },
	}, fileServer)...)
	w.write(dir, "Dockerfile", "FROM go AS list\nGO list -m all\nFROM scratch\nCOPY --from=list /usr/local/go/VERSION /\n")
	rep.add(in.name, s.turns(in, "modules and toolchain in a cold build", 1, map[string]func(){
		gateway: func() { s.build("--bundle", s.bundle) },
		online:  func() { s.build("--build-arg", "GOPROXY="+s.proxy) },
	}, online)...)
	rep.weigh(in.name, s.delta())
}

// compiled measures a build from a bundle that has compiled packages, by a builder that has nothing, beside the go command
// with empty caches.
func (w *world) compiled(in input, goal float64, rep *report) {
	dir := w.t.TempDir()
	in.make(w.t, dir)
	w.write(dir, "Dockerfile", w.dockerfile(inClient, in))
	in.name += ", bundle"
	s := &stock{world: w, dir: dir, bundle: filepath.Join(w.t.TempDir(), "bundle")}
	s.create("--compile", "--state", s.scratch(), "-o", s.bundle)
	rep.add(in.name, s.turns(in, "cold build, with compiled packages in the bundle", goal, map[string]func(){
		gateway: func() { s.build("--bundle", s.bundle, "--trust-compiled") },
		floor: func() {
			own := *w
			own.host = hostCaches{s.scratch(), s.scratch(), w.host.out}
			own.goBuild(in, dir, "", nil)
		},
	}, floor)...)
}

// turns measures ways to do the same, by name, in turns.
func (s *stock) turns(in input, name string, goal float64, ways map[string]func(), against ...string) []result {
	return s.run1(in, s.dir, scenario{name: name, goal: goal, against: against, build: func(p peer) { ways[p.name]() }, change: s.clear})
}

// scratch returns the name of a file or folder that isn't there yet, and that clear removes.
func (s *stock) scratch() string {
	s.made++
	require.NoError(s.t, os.MkdirAll(filepath.Join(s.host.out, "made"), 0o755))
	return filepath.Join(s.host.out, "made", strconv.Itoa(s.made))
}

func (s *stock) clear() { require.NoError(s.t, os.RemoveAll(filepath.Join(s.host.out, "made"))) }

// larder runs the command and returns how many bytes of memory it took at most.
func (s *stock) larder(args ...string) int64 {
	cmd := exec.Command(testkit.Larder(s.t, "larder"), args...)
	s.run(cmd, "GOPROXY="+s.proxy, "GOSUMDB=off")
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // which has KiB
}

// create makes a bundle of the tree, with what the peers have, too.
func (s *stock) create(args ...string) int64 {
	return s.larder(append([]string{"bundle", "create", "--no-sumdb", "--no-images", s.dir}, args...)...)
}

// goMod runs go mod with an empty module cache.
func (s *stock) goMod(proxy string, args ...string) {
	cmd := exec.Command("go", append([]string{"mod"}, args...)...)
	cmd.Dir = s.dir
	s.run(cmd, append(s.goEnv(), "GOPROXY="+proxy, "GOMODCACHE="+s.scratch())...)
}

// toolchain downloads the zip of the toolchain that bundles have: go mod download would, too, but not without a checksum
// database.
func (s *stock) toolchain() {
	res, err := http.Get(s.proxy + "/golang.org/toolchain/@v/v0.0.1-go1.26.10." + runtime.GOOS + "-" + runtime.GOARCH + ".zip")
	require.NoError(s.t, err)
	defer res.Body.Close()
	require.Equal(s.t, http.StatusOK, res.StatusCode)
	f, err := os.Create(s.scratch())
	require.NoError(s.t, err)
	_, err = io.Copy(f, res.Body)
	require.NoError(s.t, err)
	require.NoError(s.t, f.Close())
}

// build builds by the command's own builder, which begins with nothing.
func (s *stock) build(args ...string) {
	s.larder(append([]string{"build", "--state", s.scratch(), "-o", "type=tar,dest=/dev/null", s.dir}, args...)...)
}

// serve serves the bundle until the part ends.
func (s *stock) serve() string {
	cmd := exec.CommandContext(s.t.Context(), testkit.Larder(s.t, "larder"), "bundle", "serve", "--listen", "127.0.0.1:0", s.bundle)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	stdout, err := cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Wait() }) // which fails with the context that has ended
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(s.t, err)
	return strings.TrimSpace(strings.TrimPrefix(line, "serving at "))
}

// delta measures what a delta for one new module of a MiB has beside the module's own files.
func (s *stock) delta() weight {
	noise := make([]byte, 1<<20)
	_, err := rand.NewChaCha8([32]byte{}).Read(noise)
	require.NoError(s.t, err)
	text := "package lib\n\nconst Noise = \"" + hex.EncodeToString(noise) + "\"\n" // which a zip halves
	s.serial++
	path := "delta" + strconv.Itoa(s.serial) + ".example/lib"
	sum := testkit.Module{Path: path, Version: "v1.0.0", Files: map[string]string{"lib.go": text}}.Write(s.t, s.modules)
	s.append(filepath.Join(s.dir, "go.mod"), "\nrequire "+path+" v1.0.0\n")
	s.append(filepath.Join(s.dir, "go.sum"), sum)
	delta := s.scratch()
	s.create("--since", s.bundle, "-o", delta)
	own := size(s.t, filepath.Join(s.modules, path))
	return weight{"a delta for one new module, over the module's own files", size(s.t, delta) - own, own, 0.01}
}

// size returns the bytes of all files in a folder.
func size(t *testing.T, dir string) (sum int64) {
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(name, ".lock") {
			return err
		}
		info, err := d.Info()
		sum += info.Size()
		return err
	}))
	return sum
}
