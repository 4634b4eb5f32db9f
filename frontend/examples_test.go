//go:build slow

package frontend_test

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// What the examples name and the tests put something else in the place of, as a user does with --build-context.
const (
	published = "ghcr.io/larder-build/larder:1"
	golang    = "golang:1.26-alpine"
	alpine    = "alpine:3.22"
)

// examples has the test of each example. Those without one are built by other tests.
var examples = map[string]func(*example){
	"alpine":   (*example).alpine,
	"bake":     (*example).bake,
	"cgo":      (*example).cgo,
	"existing": (*example).existing,
	"generate": (*example).generate,
	"hello":    nil, // by make demo, and as the documents show it
	"runtime":  (*example).runtime,
	"static":   (*example).static,
	"tests":    (*example).tests,
	"version":  (*example).version,

	"private":   nil, // by the command's tests, which have its git server
	"workspace": (*example).workspace,
}

// An example is built as it is by a gateway whose context is its folder.
type example struct{ gateway }

// buildExamples builds each example, and what docs/reference/dialect.md shows: those that need a C compiler, or all others.
func buildExamples(g *gateway, cgo bool) {
	wanted := func(dockerfile string) bool { return strings.Contains(dockerfile, bookworm) == cgo }
	folder := filepath.Join(testkit.Root(g.t), "examples")
	require.Equal(g.t, exampleFolders(g.t, folder), slices.Sorted(maps.Keys(examples)), "examples that are there, and those in the table")
	testkit.PushAlpine(g.t, g.addr, g.registry+"/"+alpine)
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		if check := examples[name]; check != nil && wanted(exampleText(g.t, folder, name)) {
			g.t.Run(name, func(t *testing.T) {
				e := &example{*g}
				e.t, e.context = t, filepath.Join(folder, name)
				check(e)
				e.noWarnings()
			})
		}
	}
	text := read(g.t, testkit.Root(g.t), "docs", "reference", "dialect.md")
	shown := testkit.Blocks(text, "dockerfile")
	require.NotEmpty(g.t, shown)
	for _, block := range shown {
		if !wanted(block) {
			continue
		}
		before, _, _ := strings.Cut(text, block)
		line := strings.Count(before, "\n") + 1
		g.t.Run(fmt.Sprintf("dialect.md line %d", line), func(t *testing.T) {
			e := &example{*g}
			e.t, e.context = t, t.TempDir()
			require.NoError(t, os.CopyFS(e.context, os.DirFS(filepath.Join(folder, "dialect"))))
			e.shown(block)
		})
	}
}

// shown builds a Dockerfile of the reference and runs what it makes.
func (e *example) shown(dockerfile string) {
	e.add("Dockerfile", dockerfile, "token", "hush")
	root, _ := e.export(e.opts("--secret", "id=token,src="+filepath.Join(e.context, "token"))...)
	if strings.Contains(dockerfile, " AS results") {
		require.Contains(e.t, read(e.t, root, "test.json"), `"Action":"pass"`)
		require.Contains(e.t, read(e.t, root, "cover.out"), "example.com/api/cmd/api/main.go:")
		return
	}
	if strings.Contains(dockerfile, " AS reports") {
		require.Contains(e.t, read(e.t, root, "junit.xml"), `<testsuites tests="`)
		return
	}
	var programs []string
	for _, name := range []string{"api", "usr/local/bin/api", "tools"} {
		found, err := filepath.Glob(filepath.Join(root, name))
		require.NoError(e.t, err)
		programs = append(programs, found...)
	}
	require.Len(e.t, programs, 1)
	out, origin := testkit.Run(e.t, programs[0]), "the repository"
	if strings.Contains(dockerfile, `"generate"`) {
		origin = "a generator"
	}
	if filepath.Base(programs[0]) == "tools" {
		require.Equal(e.t, "tools\n", out)
	} else {
		require.Contains(e.t, out, "api dev from "+origin)
	}
}

// exampleText returns the Dockerfile of an example, or nothing for one that has none.
func exampleText(t *testing.T, root, name string) string {
	data, err := os.ReadFile(filepath.Join(root, name, "Dockerfile"))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	return string(data)
}

// exampleFolders returns the names of the folders that hold something to build.
func exampleFolders(t *testing.T, root string) []string {
	names := map[string]bool{}
	for _, file := range []string{"Dockerfile", "docker-bake.hcl"} {
		found, err := filepath.Glob(filepath.Join(root, "*", file))
		require.NoError(t, err)
		for _, f := range found {
			names[filepath.Base(filepath.Dir(f))] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// contexts returns the named contexts of a build, each behind a flag.
func (e *example) contexts(flag string) []string {
	return []string{
		flag + published + "=docker-image://" + e.larder,
		flag + golang + "=docker-image://" + e.registry + "/" + golang,
		flag + bookworm + "=docker-image://" + e.registry + "/" + bookworm,
		flag + alpine + "=docker-image://" + e.registry + "/" + alpine,
	}
}

func (e *example) opts(more ...string) []string {
	var args []string
	for _, opt := range e.contexts("context:") {
		args = append(args, "--opt", opt)
	}
	return append(args, more...)
}

// noWarnings wants no lint rule, BuildKit's or Larder's, to have anything to say.
func (e *example) noWarnings() {
	args := append([]string{"build", "--call", "check", "--build-arg", "GOPROXY=" + e.proxy}, e.contexts("--build-context=")...)
	require.Contains(e.t, e.buildx(append(args, e.context)...), "no warnings")
}

// image builds an image for this machine.
func (e *example) image(args ...string) *oci.Image {
	file := filepath.Join(e.t.TempDir(), "image.tar")
	e.buildctl(e.context, e.opts(append([]string{"--opt", "build-arg:GOPROXY=" + e.proxy, "--output", "type=oci,dest=" + file}, args...)...)...)
	layout, err := oci.Open(file)
	require.NoError(e.t, err)
	e.t.Cleanup(func() { layout.Close() })
	image, err := layout.Image(e.t.Context(), "linux/"+runtime.GOARCH)
	require.NoError(e.t, err)
	return image
}

// run runs an image with arguments and returns what it printed.
func (e *example) run(image *oci.Image, args ...string) string {
	var out bytes.Buffer
	c, err := image.Start(e.t.Context(), oci.RunOptions{Args: slices.Concat(image.Config.Config.Entrypoint, args), Stdout: &out, Stderr: &out})
	require.NoError(e.t, err)
	require.NoError(e.t, c.Wait(), "%s", &out)
	return out.String()
}

// serve runs an image that serves HTTP, on this machine's own network, for as long as use takes.
func (e *example) serve(image *oci.Image, use func(url string)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(e.t, err)
	addr := l.Addr().String()
	require.NoError(e.t, l.Close())
	_, port, err := net.SplitHostPort(addr)
	require.NoError(e.t, err)
	var out bytes.Buffer
	c, err := image.Start(e.t.Context(), oci.RunOptions{Env: []string{"PORT=" + port}, Stdout: &out, Stderr: &out})
	require.NoError(e.t, err)
	defer func() { require.NoError(e.t, c.Stop(), "%s", &out) }()
	require.Eventually(e.t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, testkit.Patience, 50*time.Millisecond, "the service doesn't answer")
	use("http://" + addr)
}

// ask returns the body of an answer.
func (e *example) ask(method, url, body string) string {
	req, err := http.NewRequestWithContext(e.t.Context(), method, url, strings.NewReader(body))
	require.NoError(e.t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(e.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(e.t, err)
	return string(answer)
}

// onPlatforms wants a program in the folders that an export of two platforms has, and runs the one of this machine.
func (e *example) onPlatforms(root, program string, args ...string) string {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		f, err := elf.Open(filepath.Join(root, "linux_"+arch, program))
		require.NoError(e.t, err)
		require.Equal(e.t, machine, f.Machine)
		require.NoError(e.t, f.Close())
	}
	return testkit.Run(e.t, filepath.Join(root, "linux_"+runtime.GOARCH, program), args...)
}

func (e *example) static() {
	image := e.image("--opt", "build-arg:VERSION=v1.2.0")
	require.Equal(e.t, "clock v1.2.0\n", e.run(image, "-version"))
	require.Equal(e.t, "2026-07-02 17:04 CEST Europe/Berlin\n2026-07-03 00:04 JST Asia/Tokyo\n",
		e.run(image, "-at", "2026-07-02T15:04:05Z", "Europe/Berlin", "Asia/Tokyo"))
}

func (e *example) alpine() {
	out := e.run(e.image(), "-once")
	require.Contains(e.t, out, "user 65534, group 65534\n")
	require.Regexp(e.t, `root file system in use: \d+%\n`, out)
}

func (e *example) tests() {
	root, _ := e.export(e.opts()...)
	cmd := exec.CommandContext(e.t.Context(), filepath.Join(root, "usr/local/bin/wordfreq"), "-top", "1")
	cmd.Stdin = strings.NewReader("to be, or not to be: to")
	out, err := cmd.Output()
	require.NoError(e.t, err)
	require.Equal(e.t, "      3 to\n", string(out))

	// Results by the target, and by a GO line of the file; a server of another stage is asked by a test.
	results, _ := e.export(e.opts("--opt", "target=larder-test-results")...)
	for _, name := range []string{"known\" name=\"TestWords", "count\" name=\"TestWords/letter_case", "count\" name=\"FuzzWords/quoted", "count\" name=\"BenchmarkWords"} {
		require.Contains(e.t, read(e.t, results, "junit.xml"), `<testcase classname="example.com/wordfreq/internal/`+name+`"`)
	}
	require.Contains(e.t, read(e.t, results, "cover.out"), "\nexample.com/wordfreq/internal/count/count.go:")
	require.Contains(e.t, read(e.t, root, "usr/share/doc/wordfreq/cover.out"), "\nexample.com/wordfreq/internal/known/known.go:")
	bench, _ := e.export(e.opts("--opt", "target=bench")...)
	require.Regexp(e.t, `BenchmarkWords\S*\s+\d+\s+\d+ ns/op`, read(e.t, bench, "bench.txt"))

	// No image without tests that pass.
	broken := gateway{t: e.t, addr: e.addr, proxy: e.proxy, context: e.t.TempDir()}
	require.NoError(e.t, os.CopyFS(broken.context, os.DirFS(e.context)))
	broken.add("broken_test.go", "package main\n\nimport \"testing\"\n\nfunc TestBroken(t *testing.T) { t.Fatal(\"out of luck\") }\n")
	require.Contains(e.t, broken.fails(e.opts()...), "out of luck")
}

func (e *example) existing() {
	before, rest, _ := strings.Cut(read(e.t, e.context, "Dockerfile.before"), "\n")
	after, same, _ := strings.Cut(read(e.t, e.context, "Dockerfile"), "\n")
	require.Equal(e.t, "# syntax=docker/dockerfile:1", before)
	require.Equal(e.t, "# syntax="+published, after)
	require.Equal(e.t, rest, same, "the files differ in more than their first line")

	version := []string{"--opt", "build-arg:VERSION=v1.2.0"}
	root, log := e.export(e.opts(version...)...)
	require.NotContains(e.t, log, "go: downloading")
	require.Equal(e.t, read(e.t, e.byDocker(version...), "usr/local/bin/notes"), read(e.t, root, "usr/local/bin/notes"), "the binaries differ")

	e.serve(e.image(version...), func(url string) {
		require.Equal(e.t, "v1.2.0\n", e.ask(http.MethodGet, url+"/version", ""))
		require.Contains(e.t, e.ask(http.MethodPost, url+"/notes", `{"text":"buy flour"}`), `"text":"buy flour"`)
	})
}

// byDocker builds Dockerfile.before by the docker/dockerfile that is a part of the daemon, as cmdline tells it: the image
// of that name can't be pulled here. Its steps have the module proxy from the base image.
func (e *example) byDocker(args ...string) string {
	base, image := e.t.TempDir(), e.registry+"/golang:proxy"
	text := "FROM " + e.registry + "/" + golang + "\nENV GOPROXY=" + e.proxy + " GOSUMDB=off\n"
	require.NoError(e.t, os.WriteFile(filepath.Join(base, "Dockerfile"), []byte(text), 0o644))
	e.buildctl(base, "--output", "type=image,push=true,name="+image)
	root, _ := e.export(append(e.opts("--opt", "filename=Dockerfile.before", "--opt", "cmdline=docker/dockerfile:1",
		"--opt", "context:"+golang+"=docker-image://"+image), args...)...)
	return root
}

func (e *example) generate() {
	root, _ := e.export(e.opts("--opt", "platform=linux/amd64,linux/arm64")...)
	require.Equal(e.t, "Hallo, World!\n", e.onPlatforms(root, "usr/local/bin/greet", "-lang", "de", "World"))
}

// byBake builds the targets of an example's bake file, and returns the folder that has a folder for each.
func (e *example) byBake(targets ...string) (out string) {
	out = e.t.TempDir()
	args := []string{"bake", "-f", filepath.Join(e.context, "docker-bake.hcl"), "--set", "*.context=" + e.context, "--set", "*.args.GOPROXY=" + e.proxy}
	for _, context := range e.contexts("*.contexts.") {
		args = append(args, "--set", context)
	}
	for _, target := range targets {
		args = append(args, "--set", target+".output=type=local,dest="+filepath.Join(out, target))
	}
	e.buildx(args...)
	return out
}

// workspace has all levels of the dialect make the same of a tree.
func (e *example) workspace() {
	levels := []string{"plain", "go", "run"}
	out := e.byBake(levels...)
	for _, level := range levels {
		require.Equal(e.t, "hello from api, of a workspace\nFIPS 140: true\n", testkit.Run(e.t, filepath.Join(out, level, "usr/local/bin/api")), level)
	}
	built := e.t.TempDir() // by the command, without the build argument
	testkit.Run(e.t, testkit.Larder(e.t, "larder"), "build", "--builder", e.addr, "--build-arg", "GOPROXY="+e.proxy, "-o", built, e.context)
	require.Equal(e.t, "hello from api, of a workspace\nFIPS 140: false\n", testkit.Run(e.t, filepath.Join(built, "usr/local/bin/api")))
}

func (e *example) bake() {
	commands := []string{"enqueue", "worker", "status"}
	out := e.byBake(commands...)
	e.t.Setenv("SPOOL", e.t.TempDir())
	run := func(command string, args ...string) string {
		return e.onPlatforms(filepath.Join(out, command), "usr/local/bin/"+command, args...)
	}
	require.Len(e.t, strings.Fields(run("enqueue", "bread", "cheese")), 2)
	require.Equal(e.t, "waiting: 2\n", run("status"))
	require.Equal(e.t, "done: bread\ndone: cheese\n", run("worker"))
}
