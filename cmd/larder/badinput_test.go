package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Each case breaks a good world in one way. The build must fail with every text of want, and leave no output.
func TestBadInput(t *testing.T) {
	newWorld(t).image() // the good one: what it compiles, no build that fails compiles on the side
	for name, tt := range map[string]struct {
		breakIt func(w *world) (flags []string)
		want    []string
	}{
		"no go.mod": {func(w *world) []string { w.write("go.mod", ""); return nil },
			[]string{"no go.mod at the root of the build context", "go mod init"}},
		"malformed go.mod": {func(w *world) []string { w.write("go.mod", "module example.com/app\nrequires x\n"); return nil },
			[]string{"go.mod:2: unknown directive: requires"}},
		"malformed go.sum": {func(w *world) []string { w.write("go.sum", "a.example/greet v1.2.0\n"); return nil },
			[]string{"go.sum:1: malformed go.sum line", "go mod tidy"}},
		"missing go.sum": {func(w *world) []string { w.write("go.sum", ""); return nil },
			[]string{"go.mod requires a.example/greet@v1.2.0, but there is no go.sum", "go mod tidy"}},
		"go.sum lacks an entry": {func(w *world) []string {
			w.write("go.sum", testkit.Module{Path: "a.example/greet", Version: "v1.2.0", Files: map[string]string{"greet.go": "package greet\n\nfunc Hello(name string) string { return \"hello, \" + name }\n"}}.Write(w.t, w.proxy))
			return nil
		}, []string{"missing go.sum entry", "b.example/Name/v2"}},
		"go.sum has a wrong hash": {func(w *world) []string {
			data, err := os.ReadFile(filepath.Join(w.context, "go.sum"))
			require.NoError(w.t, err)
			wrong := "a.example/greet v1.2.0 h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
			w.write("go.sum", regexp.MustCompile(`(?m)^a\.example/greet v1\.2\.0 h1:.*$`).ReplaceAllString(string(data), wrong))
			return nil
		}, []string{"a.example/greet@v1.2.0", "go.sum", "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},
		"no main package": {func(w *world) []string { w.write("main.go", "package app\n"); return nil },
			[]string{"no main package in the module", "cmd/NAME"}},
		"several main packages": {func(w *world) []string {
			w.write("cmd/one/main.go", "package main\n\nfunc main() {}\n")
			w.write("cmd/two/main.go", "package main\n\nfunc main() {}\n")
			return nil
		}, []string{"several main packages", "--target app, one, two"}},
		"no such target": {func(w *world) []string { return []string{"--target", "nope"} },
			[]string{`no main package is called "nope"`, "the targets are app"}},
		"unknown platform": {func(w *world) []string { return []string{"--platform", "linux/pdp11"} },
			[]string{"linux/pdp11", "linux/amd64, linux/arm, linux/arm64"}},
		"platform without images": {func(w *world) []string { return []string{"--platform", "plan9/amd64"} },
			[]string{"plan9/amd64", "linux/amd64, linux/arm, linux/arm64"}},
		"malformed platform": {func(w *world) []string { return []string{"--platform", "linux/amd64/x/y"} },
			[]string{"linux/amd64/x/y"}},
		"proxy off": {func(w *world) []string {
			w.env = []string{"GOPROXY=off"}
			return []string{"--build-context", "larder-toolchain=" + w.proxy}
		}, []string{"GOPROXY=off forbids", "larder-modules"}},
		"unknown toolchain": {func(w *world) []string {
			w.replace("go.mod", "go 1.26", "go 1.26.99")
			w.env = []string{"GOPROXY=" + testkit.ServeProxy(w.t, w.proxy).URL}
			return []string{"--build-arg", "GOSUMDB=off"}
		}, []string{"go1.26.99", "GOSUMDB=off"}},
		"unknown toolchain with a database that can't be asked": {func(w *world) []string {
			w.replace("go.mod", "go 1.26", "go 1.26.99")
			w.env = []string{"GOPROXY=" + testkit.ServeProxy(w.t, w.proxy).URL}
			return []string{"--build-arg", "GOSUMDB=sum.example.com+1c4d3ec1+AX5w8NMqiZGTDgFn7Lqjq+o6dQLCRPdGaGPYcNGNjDTB http://127.0.0.1:1"}
		}, []string{"go1.26.99"}},
		"toolchain from a folder that lacks it": {func(w *world) []string {
			require.NoError(w.t, os.RemoveAll(filepath.Join(w.proxy, "golang.org")))
			return nil
		}, []string{toolchain, "larder-toolchain"}},
		"toolchain with another sum": {func(w *world) []string {
			file := filepath.Join(w.proxy, "golang.org/toolchain/@v/v0.0.1-"+toolchain+".linux-amd64.zip")
			data, _ := testkit.Module{Path: "golang.org/toolchain", Version: "v0.0.1-" + toolchain + ".linux-amd64"}.Zip(w.t, map[string]string{"bin/go": "#!/bin/sh\n"})
			require.NoError(w.t, os.Remove(file))
			require.NoError(w.t, os.WriteFile(file, data, 0o644))
			return nil
		}, []string{toolchain, "h1:"}},
		"module missing from the folder": {func(w *world) []string {
			require.NoError(w.t, os.RemoveAll(filepath.Join(w.proxy, "b.example")))
			return nil
		}, []string{"left out, as the folder lacks it: the zip of b.example/Name/v2@v2.0.1", "larder: b.example/Name/v2@v2.0.1 is needed, and not among the modules of this build", "larder-modules"}},
		"RUN that was given modules": {func(w *world) []string {
			w.write("Dockerfile", "# syntax=ghcr.io/larder-build/larder:1\nFROM go AS build\nWORKDIR /work\nCOPY . .\nRUN [\"go\", \"build\", \"-o\", \"/out/app\", \"./nowhere\"]\nFROM static\nCOPY --from=build /out/app /app\n")
			return nil
		}, []string{">>> RUN", "/work/nowhere", `leave it alone with the line "# larder:inject=off" above it`}},
		"zip tampered with in a module cache": {func(w *world) []string {
			cache := filepath.Join(w.t.TempDir(), "cache", "download")
			require.NoError(w.t, os.CopyFS(cache, os.DirFS(w.proxy)))
			data, _ := testkit.Module{Path: "a.example/greet", Version: "v1.2.0"}.Zip(w.t, map[string]string{"go.mod": "module a.example/greet\n", "greet.go": "package greet // evil\n"})
			require.NoError(w.t, os.WriteFile(filepath.Join(cache, "a.example/greet/@v/v1.2.0.zip"), data, 0o644))
			return []string{"--build-context", "larder-modules=" + filepath.Dir(filepath.Dir(cache))}
		}, []string{"a.example/greet@v1.2.0", "h1:", "go.sum"}},
		"unreachable builder": {func(w *world) []string { return []string{"--builder", "unix:///nowhere/buildkitd.sock"} },
			[]string{"unix:///nowhere/buildkitd.sock"}},
		"runc missing": {func(w *world) []string {
			w.state = w.t.TempDir()
			w.env = append(w.env, "PATH="+w.t.TempDir())
			return nil
		}, []string{"runc", "apt-get install runc"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			flags := tt.breakIt(w)
			requireFailure(t, w, flags, tt.want...)
		})
	}
}

// requireFailure builds and wants exit code 1, all texts in what is printed, and nothing where the image would be.
func requireFailure(t *testing.T, w *world, flags []string, want ...string) {
	dir := t.TempDir()
	out, err := w.build(append([]string{"-o", "type=oci,dest=" + filepath.Join(dir, "image.tar"), "--metadata-file", filepath.Join(dir, "meta.json"), "--iidfile", filepath.Join(dir, "iid")}, flags...)...)
	require.Error(t, err, "%s", out)
	for _, text := range want {
		require.Contains(t, out, text)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "a failed build left files")
}

func TestBadProxy(t *testing.T) {
	zip := "a.example/greet/@v/v1.2.0.zip"
	for name, tt := range map[string]struct {
		fail func(p *testkit.Proxy)
		want []string
	}{
		"refuses":     {func(p *testkit.Proxy) { p.Fail(zip, testkit.Status(403)) }, []string{"a.example/greet@v1.2.0", "403"}},
		"has it not":  {func(p *testkit.Proxy) { p.Fail(zip, testkit.Status(404)) }, []string{"a.example/greet@v1.2.0", "404"}},
		"truncates":   {func(p *testkit.Proxy) { p.Fail(zip, testkit.Truncated) }, []string{"a.example/greet@v1.2.0"}},
		"other bytes": {func(p *testkit.Proxy) { p.Fail(zip, testkit.Bytes([]byte("not a zip"))) }, []string{"a.example/greet@v1.2.0"}},
		"other module": {func(p *testkit.Proxy) {
			data, _ := testkit.Module{Path: "a.example/greet", Version: "v1.2.0"}.Zip(t, map[string]string{"go.mod": "module a.example/greet\n"})
			p.Fail(zip, testkit.Bytes(data))
		}, []string{"a.example/greet@v1.2.0", "go.sum says h1:"}},
		"other go.mod": {func(p *testkit.Proxy) { p.Fail("v1.2.0.mod", testkit.Bytes([]byte("module evil\n"))) }, []string{"a.example/greet@v1.2.0", "go.mod"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			proxy := testkit.ServeProxy(t, w.proxy)
			tt.fail(proxy)
			w.env = []string{"GOPROXY=" + proxy.URL}
			requireFailure(t, w, []string{"--no-cache"}, tt.want...)
		})
	}
	t.Run("password in its URL", func(t *testing.T) {
		w := newWorld(t)
		proxy := testkit.ServeProxy(t, w.proxy)
		w.env = []string{"GOPROXY=" + strings.Replace(proxy.URL, "://", "://user:hunter2@", 1)}
		out, err := w.build("--no-cache")
		require.Error(t, err)
		require.Contains(t, out, "GOPROXY: entry 1")
		require.Contains(t, out, "carries a password")
		require.NotContains(t, out, "hunter2")
		require.Empty(t, proxy.Requests())
	})
	t.Run("toolchain with other bytes", func(t *testing.T) {
		w := newWorld(t)
		w.state = t.TempDir()
		proxy := testkit.ServeProxy(t, w.proxy)
		proxy.Fail("golang.org/toolchain", testkit.Bytes([]byte("not a zip")))
		w.env = []string{"GOPROXY=" + proxy.URL}
		requireFailure(t, w, nil, "not a valid zip file", "the Go toolchain "+toolchain+" for linux/"+runtime.GOARCH+" can't be had from "+proxy.URL, "larder-toolchain=FOLDER")
	})
}

// An edited tree in a module cache that is given as input changes nothing: only zips are read, and those are checked.
func TestEditedTreeInModuleCacheIsNotUsed(t *testing.T) {
	w := newWorld(t)
	cache := t.TempDir()
	require.NoError(t, os.CopyFS(filepath.Join(cache, "cache", "download"), os.DirFS(w.proxy)))
	tree := filepath.Join(cache, "a.example", "greet@v1.2.0")
	require.NoError(t, os.MkdirAll(tree, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(tree, "greet.go"), []byte("package greet\n\nfunc Hello(string) string { return \"evil\" }\n"), 0o644))
	require.Equal(t, "hello, larder\n", runBinary(t, w.local("--build-context", "larder-modules="+cache)))
}
