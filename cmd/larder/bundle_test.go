package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// larder runs a command in the world that must do well, and returns what it prints.
func (w *world) larder(args ...string) string {
	cmd := w.command(args...)
	cmd.Env = append(cmd.Env, "GOSUMDB=off")
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "larder %s\n%s", strings.Join(args, " "), out)
	return string(out)
}

// fails runs a command in the world that must fail, and returns what it prints.
func (w *world) fails(args ...string) string {
	cmd := w.command(args...)
	cmd.Env = append(cmd.Env, "GOSUMDB=off")
	out, err := cmd.CombinedOutput()
	require.Error(w.t, err, "larder %s\n%s", strings.Join(args, " "), out)
	return string(out)
}

// What a bundle is made for, from the first to the last command.
func TestBundle(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }

	require.Regexp(t, `(?s)KIND .*module +a\.example/greet +v1\.2\.0 .*toolchain +golang\.org/toolchain +go1\.26\.10 .*2 modules, 2 go\.mod files, 1 toolchains`, w.larder("bundle", "create", "--dry-run", "--no-images", "-o", at("b"), w.context))
	require.NoDirExists(t, at("b"))
	require.Contains(t, w.larder("bundle", "create", "--no-images", "-o", at("b"), w.context), "2 modules, 0 go.mod files, 1 toolchains, 0 images, 0 tools")
	require.Regexp(t, `golang\.org/toolchain +go1\.26\.10 +linux/\w+ +[\d.]+MB +0B\n.*[\d.]+MB, 0B of it to fetch\n$`, w.larder("bundle", "create", "--dry-run", "--no-images", "-o", at("b"), w.context))
	require.Contains(t, w.larder("bundle", "verify", "--go-sum", filepath.Join(w.context, "go.sum"), at("b")), "2 modules, 0 go.mod files, 1 toolchains")
	require.Regexp(t, `module +b\.example/Name/v2 +v2\.0\.1 .* 2020-01-01 +file:///`, w.larder("bundle", "ls", at("b")))
	var told struct {
		Digest string
		Sets   []string
		Items  []struct{ Kind, Name, Version, H1 string }
	}
	require.NoError(t, json.Unmarshal([]byte(w.larder("bundle", "inspect", at("b"))), &told))
	require.Len(t, told.Sets, 1)
	require.Len(t, told.Items, 3)

	more := testkit.Module{Path: "c.example/more", Version: "v1.0.0", Files: map[string]string{"more.go": "package more\n"}}.Write(t, w.proxy)
	w.replace("go.mod", "require (\n", "require (\n\tc.example/more v1.0.0\n")
	sums, err := os.ReadFile(filepath.Join(w.context, "go.sum"))
	require.NoError(t, err)
	w.write("go.sum", string(sums)+more)
	require.Contains(t, w.fails("bundle", "verify", "--go-sum", filepath.Join(w.context, "go.sum"), at("b")), "lacks the zip of c.example/more@v1.0.0, which go.sum lists")
	require.NoError(t, os.CopyFS(at("old"), os.DirFS(at("b"))))
	require.Contains(t, w.larder("bundle", "create", "--no-images", "--since", at("old"), "-o", at("delta"), w.context), "a delta to "+told.Digest)
	require.Contains(t, w.larder("bundle", "apply", at("delta"), at("b")), "3 modules")
	require.Equal(t, "+ module c.example/more@v1.0.0", strings.Fields(w.larder("bundle", "diff", at("old"), at("b")))[0]+" "+strings.Join(strings.Fields(w.larder("bundle", "diff", at("old"), at("b")))[1:3], " "))

	require.Contains(t, w.larder("bundle", "merge", "--no-sumdb", "-o", at("all"), at("old"), at("b")), "3 modules, 0 go.mod files, 1 toolchains")
	w.replace("go.mod", "\tc.example/more v1.0.0\n", "")
	w.write("go.sum", string(sums))
	require.Contains(t, w.larder("bundle", "prune", at("all"), w.context), "2 modules, 0 go.mod files, 1 toolchains")
	w.larder("bundle", "verify", "--go-sum", filepath.Join(w.context, "go.sum"), at("all"))

	vkey := w.larder("bundle", "keygen", "-o", at("key"), "release.example")
	require.Contains(t, w.fails("bundle", "verify", "--key", at("key.pub"), at("all")), "not signed")
	w.larder("bundle", "sign", "--key", at("key"), "--serial", "1", at("all"))
	require.Contains(t, w.larder("bundle", "verify", "--key", strings.TrimSpace(vkey), at("all")), "signed by release.example+")
	spdx, cyclonedx := w.larder("bundle", "inspect", "--format", "spdx", at("all")), w.larder("bundle", "inspect", "--format", "cyclonedx", at("all"))
	require.Contains(t, spdx, "pkg:golang/a.example/greet@v1.2.0")
	testkit.RequireSPDX(t, spdx)
	require.Contains(t, cyclonedx, `"specVersion": "1.6"`)
	testkit.RequireCycloneDX(t, cyclonedx)
	require.Contains(t, w.larder("audit", "--bundle", at("all")), "2 module versions: ")

	offline := *w
	offline.ns, offline.env = testkit.Offline(t), []string{"GOPROXY=off"}
	out, err := offline.build("--bundle", at("all"), "--build-arg", "LARDER_OFFLINE=1", "-o", at("root"))
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "--build-context 'larder-modules=oci-layout://"+at("all")+"@sha256:")
	require.Equal(t, "hello, larder\n", runBinary(t, at("root")))
}

// What reads a bundle says what is wrong with it, or doesn't read what is damaged.
func TestDamagedBundle(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "stock")
	w.larder("bundle", "create", "--no-images", "-o", dir, w.context)
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs/sha256/*"))
	require.NoError(t, err)
	for _, blob := range blobs {
		info, err := os.Stat(blob)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(blob, 0o644))
		flip := func() {
			f, err := os.OpenFile(blob, os.O_RDWR, 0)
			require.NoError(t, err)
			defer f.Close()
			b := make([]byte, 1)
			_, err = f.ReadAt(b, info.Size()/3)
			require.NoError(t, err)
			_, err = f.WriteAt([]byte{b[0] ^ 1}, info.Size()/3)
			require.NoError(t, err)
		}
		flip()
		for _, args := range [][]string{{"audit", "--bundle", dir}, {"bundle", "inspect", "--format", "spdx", dir}} {
			out, err := w.command(args...).CombinedOutput()
			require.NotContains(t, string(out), "panic:")
			if err != nil {
				require.Regexp(t, "^ERROR: "+dir+".* is damaged: .*\n$", string(out), strings.Join(args, " "))
			}
		}
		flip()
	}
	w.larder("bundle", "verify", dir)
}

// What a tool line of go.mod names is installed from the bundle, behind the gap.
func TestBundleToolOfTree(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	more := testkit.Module{Path: "tool.example/say", Version: "v1.0.0", Files: map[string]string{"go.mod": "module tool.example/say\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() { println(\"said\") }\n"}}.Write(t, w.proxy)
	sums, err := os.ReadFile(filepath.Join(w.context, "go.sum"))
	require.NoError(t, err)
	w.write("go.sum", string(sums)+more)
	w.replace("go.mod", "require (\n", "tool tool.example/say\n\nrequire (\n\ttool.example/say v1.0.0 // indirect\n")
	require.Regexp(t, `tool +tool\.example/say +v1\.0\.0 `, w.larder("bundle", "create", "--dry-run", "--no-images", "-o", filepath.Join(dir, "b"), w.context))
	require.Contains(t, w.larder("bundle", "create", "--no-images", "-o", filepath.Join(dir, "b"), w.context), "1 tools")
	offline := *w
	offline.ns, offline.env = testkit.Offline(t), []string{"GOPROXY=off"}
	offline.larder("tools", "install", "--bundle", filepath.Join(dir, "b"), "-o", filepath.Join(dir, "bin"), "say")
	require.Equal(t, "said\n", testkit.Run(t, filepath.Join(dir, "bin", "say")))
}

// Another bundle is as good as a network: what is made of it is the same.
func TestBundleFrom(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	testkit.Module{Path: "tool.example/say", Version: "v1.0.0", Files: map[string]string{"main.go": "package main\n\nfunc main() {}\n"}}.Write(t, w.proxy)
	args := []string{"bundle", "create", "--no-images", "--tool", "tool.example/say@v1.0.0", w.context, "-o"}
	w.env = append(w.env, "GOFLAGS=-modcacherw")
	w.larder(append(args, filepath.Join(dir, "a"))...)
	offline := *w
	offline.ns, offline.env = testkit.Offline(t), []string{"GOPROXY=http://127.0.0.1:1"}
	offline.larder(append(args, filepath.Join(dir, "b"), "--from", filepath.Join(dir, "a"))...)
	require.Empty(t, w.larder("bundle", "diff", filepath.Join(dir, "a"), filepath.Join(dir, "b")))
}

// Behind a company's certificate authority --ca is all that it takes, for the go command that is run, too.
func TestBundleCA(t *testing.T) {
	w := newWorld(t)
	testkit.Module{Path: "tool.example/say", Version: "v1.0.0", Files: map[string]string{"main.go": "package main\n\nfunc main() {}\n"}}.Write(t, w.proxy)
	web, ca := testkit.ServeWeb(t), filepath.Join(t.TempDir(), "ca.pem")
	web.Handle("proxy.example", testkit.NewProxy(w.proxy))
	require.NoError(t, os.WriteFile(ca, web.CA, 0o644))
	w.env = []string{"GOPROXY=https://proxy.example", "HTTPS_PROXY=" + web.ProxyURL, "GOFLAGS=-modcacherw"}
	args := []string{"bundle", "create", "--no-images", "-o", filepath.Join(t.TempDir(), "b"), "--tool", "tool.example/say@v1.0.0", w.context}
	require.Contains(t, w.fails(args...), "certificate signed by unknown authority")
	require.Contains(t, w.larder(append(args, "--ca", ca)...), "3 modules, 0 go.mod files, 1 toolchains, 0 images, 1 tools")
}

// A bundle goes through a registry, from which builds take just their module set, or all of it.
func TestBundleInRegistry(t *testing.T) {
	w := newWorld(t)
	dir, repo := t.TempDir(), testkit.Registry(t)+"/stock"
	w.larder("bundle", "create", "--no-images", "-o", filepath.Join(dir, "a"), w.context)
	require.Regexp(t, `pushed (\d+) of (\d+) blobs`, w.larder("bundle", "push", filepath.Join(dir, "a"), repo+":1"))
	require.Contains(t, w.larder("bundle", "push", filepath.Join(dir, "a"), repo+":1"), "pushed 0 of ")
	require.Contains(t, w.larder("bundle", "pull", "-o", filepath.Join(dir, "b"), repo+":1"), "2 modules, 0 go.mod files, 1 toolchains")
	require.Empty(t, w.larder("bundle", "diff", filepath.Join(dir, "a"), filepath.Join(dir, "b")))
	require.Contains(t, w.fails("bundle", "pull", "-o", filepath.Join(dir, "c"), repo+":2"), repo+":2")

	builder := *w
	builder.env = []string{"GOPROXY=off"}
	out, err := builder.build("--build-arg", "LARDER_MODULES="+repo, "-o", filepath.Join(dir, "root"))
	require.NoError(t, err, "%s", out)
	require.Contains(t, out, "take modules from "+repo+":gosum-")
	require.Regexp(t, `take go1\.\S+ from `+repo+`:gotoolchain-go1\.`, out)
	require.Equal(t, "hello, larder\n", runBinary(t, filepath.Join(dir, "root")))
	out, err = builder.build("--bundle", repo+":1", "-o", filepath.Join(dir, "root2"))
	require.NoError(t, err, "%s", out)
	require.Equal(t, "hello, larder\n", runBinary(t, filepath.Join(dir, "root2")))
	builder.replace("go.sum", "a.example/greet v1.2.0", "a.example/greet v1.2.1")
	out, err = builder.build("--build-arg", "LARDER_MODULES="+repo, "-o", filepath.Join(dir, "root3"))
	require.Error(t, err)
	require.Contains(t, out, "GOPROXY=off forbids to fetch them", "no image is tagged with another module set")
}

// A build takes a bundle from registries that 'larder bundle push' reaches: with a company's certificate authority, or
// without TLS.
func TestBundleInCompanyRegistry(t *testing.T) {
	w := newWorld(t)
	dir, web := t.TempDir(), testkit.ServeWeb(t)
	registry := testkit.ServeRegistryProxy(t, testkit.Registry(t), false).Server.Config.Handler
	web.Handle("tls.example", registry)
	web.Handle("plain.example", registry)
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, web.CA, 0o644))
	w.larder("bundle", "create", "--no-images", "-o", filepath.Join(dir, "stock"), w.context)
	w.env = []string{"GOPROXY=off", "HTTPS_PROXY=" + web.ProxyURL, "HTTP_PROXY=" + web.ProxyURL}
	w.larder("bundle", "push", "--ca", ca, filepath.Join(dir, "stock"), "tls.example/stock:1")
	for name, tt := range map[string]struct {
		ref     string
		flags   []string
		without string
	}{
		"an authority of its own": {"tls.example/stock:1", []string{"--ca", ca}, "pass that authority's with --ca FILE"},
		"no TLS":                  {"plain.example/stock:1", []string{"--plain-http", "plain.example"}, "plain.example: tls: "},
	} {
		t.Run(name, func(t *testing.T) {
			build := []string{"--bundle", tt.ref, "--build-arg", "LARDER_OFFLINE=1", "-o", filepath.Join(t.TempDir(), "root")}
			out, err := w.build(build...)
			require.Error(t, err)
			require.Contains(t, out, tt.without)
			out, err = w.build(append(build, tt.flags...)...)
			require.NoError(t, err, "%s", out)
			require.NotRegexp(t, "docker buildx build.*"+tt.flags[0], out)
			require.Equal(t, "hello, larder\n", runBinary(t, build[len(build)-1]))
		})
	}
}

// serve starts serving a bundle, and returns where, and what the server says on stderr.
func (w *world) serve(dirs ...string) (url string, stderr *bufio.Reader, cmd *exec.Cmd) {
	cmd = w.command(append([]string{"bundle", "serve", "--progress", "quiet", "--listen", "127.0.0.1:0"}, dirs...)...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(w.t, err)
	said, err := cmd.StderrPipe()
	require.NoError(w.t, err)
	require.NoError(w.t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(w.t, err)
	return strings.TrimSpace(strings.TrimPrefix(line, "serving at ")), bufio.NewReader(said), cmd
}

// A bundle that comes file by file, its index.json first, is served when it is whole, and as it was until then.
func TestBundleServeReloads(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	served, next := filepath.Join(dir, "stock"), filepath.Join(dir, "next")
	w.larder("bundle", "create", "--no-images", "-o", served, w.context)
	sums, err := os.ReadFile(filepath.Join(w.context, "go.sum"))
	require.NoError(t, err)
	w.write("go.sum", string(sums)+testkit.Module{Path: "c.example/more", Version: "v1.0.0"}.Write(t, w.proxy))
	w.larder("bundle", "create", "--no-images", "-o", next, w.context)
	url, stderr, cmd := w.serve(served)
	list := func(module string) int {
		resp, err := http.Get(url + "/" + module + "/@v/list")
		require.NoError(t, err)
		resp.Body.Close()
		return resp.StatusCode
	}
	says := func(want string) {
		line, err := stderr.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, want)
	}

	index, err := os.ReadFile(filepath.Join(next, "index.json"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(served, "index.json"), index, 0o644))
	says("WARNING: serving as before: ")
	require.Equal(t, 200, list("a.example/greet"))
	require.Equal(t, 404, list("c.example/more"))
	blobs, err := filepath.Glob(filepath.Join(next, "blobs", "sha256", "*"))
	require.NoError(t, err)
	for _, blob := range blobs {
		to := filepath.Join(served, "blobs", "sha256", filepath.Base(blob))
		if err := os.Link(blob, to); !errors.Is(err, fs.ErrExist) {
			require.NoError(t, err)
		}
	}
	for line := ""; !strings.Contains(line, "read the bundles again"); { // what is lacking may be another blob for a while
		line, err = stderr.ReadString('\n')
		require.NoError(t, err)
	}
	require.Equal(t, 200, list("c.example/more"))
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait() // its exit code is that of a stopped command
}

// Of several bundles the newest comes first, in whatever order they are named.
func TestNewestFirst(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	w.larder("bundle", "create", "--no-images", "-o", at("a"), w.context)
	for name, year := range map[string]int{"b": 2020, "c": 2022, "a": 2021} {
		if name != "a" {
			require.NoError(t, os.CopyFS(at(name), os.DirFS(at("a"))))
		}
		day := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		require.NoError(t, os.Chtimes(filepath.Join(at(name), "index.json"), day, day))
	}
	b := servedBundles{dirs: []string{at("a"), at("b"), at("c")}}
	sources, err := b.open(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"c", "a", "b"}, []string{sources[0].Name, sources[1].Name, sources[2].Name})
	require.NoError(t, b.views.Close())
}

// A desk sets GOPROXY to the server, and nothing else but that there is no checksum database for what nobody published.
func TestBundleServe(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "stock")
	w.larder("bundle", "create", "--no-images", "-o", dir, w.context)
	url, _, cmd := w.serve(dir)
	desk := func(args ...string) (string, error) {
		cmd := exec.Command("go", args...)
		cmd.Dir = w.context
		cmd.Env = append(os.Environ(), "GOPROXY="+url, "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOMODCACHE="+t.TempDir(), "GOTOOLCHAIN=local")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := desk("run", ".")
	require.NoError(t, err, out)
	require.Contains(t, out, "hello, larder\n")
	out, err = desk("list", "-m", "-versions", "a.example/greet")
	require.NoError(t, err, out)
	require.Equal(t, "a.example/greet v1.2.0\n", out)
	out, err = desk("mod", "download", "nobody.example/has@v1.0.0")
	require.Error(t, err)
	require.Contains(t, out, "bundle stock")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait() // its exit code is that of a stopped command
}

// An image whose name isn't known without a build argument is told, and so is what only looks like a Dockerfile.
func TestBundleBuildArg(t *testing.T) {
	w := newWorld(t)
	w.write("Dockerfile", "ARG REG\nFROM $REG/alpine:3\n")
	w.write("Dockerfile.tmpl", "FROM {{ base }}\n")
	create := []string{"bundle", "create", "--dry-run", "-o", filepath.Join(t.TempDir(), "b"), w.context}
	out := w.larder(create...)
	require.Contains(t, out, "WARNING: "+w.context+": Dockerfile:2: left out: an image whose name isn't known: REG has no value: give one with --build-arg\n")
	require.Contains(t, out, "WARNING: "+w.context+": left out: Dockerfile.tmpl can't be read as a Dockerfile")
	require.Contains(t, out, "0 images")
	require.Regexp(t, `image +127\.0\.0\.1:1/alpine:3 `, w.larder(append(create, "--build-arg", "REG=127.0.0.1:1")...))
}

func TestBundleRefuses(t *testing.T) {
	w := newWorld(t)
	empty := t.TempDir()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"bundle", "create", "-o", filepath.Join(empty, "b")}, "nothing to put into the bundle"},
		{[]string{"bundle", "create", "-o", filepath.Join(empty, "b"), empty}, "neither a go.mod nor a Dockerfile"},
		{[]string{"bundle", "create", "-o", filepath.Join(empty, "b"), "nowhere"}, "nowhere: no such file or directory"},
		{[]string{"bundle", "create", "-o", filepath.Join(empty, "b"), "--platform", "linux/x/y/z", w.context}, "--platform linux/x/y/z"},
		{[]string{"bundle", "create", "-o", filepath.Join(empty, "b"), "--tool", "stringer", w.context}, "expected PACKAGE@VERSION"},
		{[]string{"bundle", "create", "-o", filepath.Join(empty, "b"), "--go", "x", w.context}, "--go x: "},
		{[]string{"bundle", "create", "--dry-run", "-o", filepath.Join(empty, "b"), "--files", "nowhere", w.context}, "--files nowhere: it is no folder of this machine"},
		{[]string{"bundle", "create", "--dry-run", "-o", filepath.Join(empty, "b"), "--vulndb", empty, w.context}, "--vulndb: " + empty + " holds no Go vulnerability database"},
		{[]string{"bundle", "verify", empty}, "is not a bundle"},
		{[]string{"bundle", "ls", w.context}, "is not a bundle"},
		{[]string{"bundle", "nope"}, "unknown command: larder bundle nope"},
		{[]string{"tools", "install", "--bundle", empty, "x"}, "is not a bundle"},
		{[]string{"build", "--bundle", empty, w.context}, "--bundle: "},
	} {
		require.Contains(t, w.fails(test.args...), test.want, strings.Join(test.args, " "))
	}
}
