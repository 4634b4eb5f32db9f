//go:build bench

// Package bench measures Larder beside its peers: 'make bench' builds the same programs by each, in turns, on one
// BuildKit, and writes docs/explanation/benchmarks.md. It is no test: nothing is asserted but that builds succeed.
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

// world is what all builds share.
type world struct {
	t                    *testing.T
	proxy, registry      string
	modules              string // a folder of modules made here, which the proxy serves, too
	golang, base, docker string // images: a Go toolchain, what programs run on, docker/dockerfile
	desk                 string // the BuildKit daemon that is warm
	state                string // of the command's own builder, which is warm, too
	serial               int
	host                 hostCaches
}

// hostCaches are what go and ko use on this machine.
type hostCaches struct{ build, modules, out string }

func TestBench(t *testing.T) {
	w := newWorld(t)
	rep := newReport(t)
	part := func(name string, measure func()) {
		t.Run(name, func(t *testing.T) { // what fails in one leaves the others be
			defer func(outer *testing.T) { w.t = outer }(w.t)
			w.t = t
			measure()
		})
	}
	part("hello", func() { w.measure(hello(), rep) })
	part("platforms", func() { w.platforms(hello(), rep) })
	part("services", func() { w.measure(services(), rep) })
	part("growth", func() { w.grow(rep) })
	part("larder", func() { w.measure(larder(), rep) })
	part("bundles", func() {
		w.bundles(larder(), rep)
		w.bundles(grown(w, "modules", 1000), rep)
	})
	part("compiled", func() {
		w.compiled(hello(), 0.3, rep)
		w.compiled(larder(), 0.25, rep)
	})
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, modules: t.TempDir(), state: t.TempDir(), registry: testkit.Registry(t), desk: testkit.Buildkitd(t, nil)}
	w.proxy = testkit.ServeProxy(t, testkit.ModuleCache(t), w.modules).URL
	w.host = hostCaches{t.TempDir(), t.TempDir(), t.TempDir()}
	t.Cleanup(func() { w.forget() })
	w.golang, w.base, w.docker = w.registry+"/golang:1.26", w.registry+"/static:1", w.registry+"/docker/dockerfile:1"
	testkit.PushFrontend(t, w.desk, w.registry+"/larder:1")
	testkit.PushGolang(t, w.desk, w.registry+"/larder:1", w.proxy, w.golang)
	w.push("FROM static\n", w.base, "--opt", "platform=linux/amd64,linux/arm64")
	dir := t.TempDir()
	w.run(exec.Command("cp", testkit.Tool(t, "dockerfile-frontend"), filepath.Join(dir, "dockerfile-frontend")))
	w.image(dir, "FROM scratch\nLABEL moby.buildkit.frontend.network.none=true moby.buildkit.frontend.caps="+testkit.FrontendCaps+
		"\nCOPY dockerfile-frontend /bin/\nENTRYPOINT [\"/bin/dockerfile-frontend\"]\n", w.docker)
	return w
}

// push pushes an image that Larder makes of a Dockerfile.
func (w *world) push(dockerfile, image string, args ...string) {
	w.image(w.t.TempDir(), "# syntax="+w.registry+"/larder:1\n"+dockerfile, image, args...)
}

func (w *world) image(dir, dockerfile, image string, args ...string) {
	require.NoError(w.t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644))
	w.buildctl(dir, w.desk, "type=image,push=true,name="+image, args...)
}

func (w *world) buildctl(dir, addr, output string, args ...string) {
	w.run(exec.Command(testkit.Tool(w.t, "buildctl"), append([]string{"--addr", addr, "build", "--frontend", "dockerfile.v0",
		"--local", "context=" + dir, "--local", "dockerfile=" + dir, "--opt", "build-arg:GOPROXY=" + w.proxy, "--output", output}, args...)...))
}

func (w *world) run(cmd *exec.Cmd, env ...string) {
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "%s\n%s", cmd, out)
}

// forget empties the caches of this machine.
func (w *world) forget() {
	w.run(exec.Command("go", "clean", "-cache"), "GOCACHE="+w.host.build)
	w.run(exec.Command("go", "clean", "-modcache"), "GOMODCACHE="+w.host.modules)
}

// fresh measures a build on a daemon of its own, or with empty caches of this machine; after a first one, if that has
// arguments.
func (w *world) fresh(p peer, in input, dir string, first, args []string) (took time.Duration) {
	build := func(w *world, addr string) {
		if first != nil {
			p.build(w, in, dir, addr, first)
		}
		took = w.time(func() { p.build(w, in, dir, addr, args) })
	}
	if p.host {
		w.forget()
		build(w, "")
		return took
	}
	w.t.Run("fresh", func(t *testing.T) { // so that the daemon is stopped
		sub := *w
		sub.t = t
		build(&sub, testkit.Buildkitd(t, nil))
	})
	return took
}

func (w *world) time(do func()) time.Duration {
	start := time.Now()
	do()
	return time.Since(start)
}

// touch adds a line that is in no file yet.
func (w *world) touch(name string) {
	w.serial++
	line := fmt.Sprintf("\n// Edit %d.\n", w.serial)
	if strings.HasSuffix(name, ".go") {
		line = fmt.Sprintf("\nvar _ = \"edit %d\"\n", w.serial)
	}
	w.append(name, line)
}

// require adds a module that no build has seen, and an import of it beside a file.
func (w *world) require(dir, main string) {
	w.serial++
	path := fmt.Sprintf("dep%d.example/lib", w.serial)
	sum := testkit.Module{Path: path, Version: "v1.0.0", Files: map[string]string{"lib.go": "package lib\n\n// Name names it.\nconst Name = \"" + path + "\"\n"}}.Write(w.t, w.modules)
	w.append(filepath.Join(dir, "go.mod"), "\nrequire "+path+" v1.0.0\n")
	w.append(filepath.Join(dir, "go.sum"), sum)
	w.append(filepath.Join(dir, filepath.Dir(main), fmt.Sprintf("dep%d.go", w.serial)), "package main\n\nimport _ \""+path+"\"\n")
}

func (w *world) append(name, text string) {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(w.t, err)
	_, err = f.WriteString(text)
	require.NoError(w.t, err)
	require.NoError(w.t, f.Close())
}

// median returns the middle of a list, or the mean of the two in the middle.
func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}
