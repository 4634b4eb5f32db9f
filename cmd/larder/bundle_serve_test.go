package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/larder-build/larder/internal/bundle/serve"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Who serves modules to more than this machine is told, unless there is both a password and TLS.
func TestServeWarning(t *testing.T) {
	everywhere := &net.TCPAddr{IP: net.IPv6zero, Port: 8080}
	for _, tt := range []struct {
		options serve.Options
		addr    net.Addr
		want    string
	}{
		{serve.Options{}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, ""},
		{serve.Options{}, &net.TCPAddr{IP: net.IPv6loopback}, ""},
		{serve.Options{}, everywhere, "who reaches [::]:8080 reads the modules: set LARDER_SERVE_PASSWORD"},
		{serve.Options{}, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, "who reaches 192.0.2.1:0 reads the modules"},
		{serve.Options{CertFile: "x"}, everywhere, "who reaches"},
		{serve.Options{Password: "x"}, everywhere, "a password without TLS"},
		{serve.Options{Token: "x"}, everywhere, "a password without TLS"},
		{serve.Options{Token: "x", CertFile: "x"}, everywhere, ""},
	} {
		got := serveWarning(tt.options, tt.addr)
		require.Equal(t, tt.want == "", got == "", got)
		require.Contains(t, got, tt.want)
	}
}

// A key that others can read is told.
func TestKeyWarning(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.Empty(t, keyWarning(file))
	require.Empty(t, keyWarning(""))
	require.NoError(t, os.Chmod(file, 0o644))
	require.Contains(t, keyWarning(file), "every user of this machine can read the key")
}

// What is served by a key stays as it is when another bundle is put in its place while the server runs, or an older one;
// a newer one is taken.
func TestServeSwapped(t *testing.T) {
	w := &world{t: t, proxy: t.TempDir()}
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	w.env = []string{"GOPROXY=file://" + w.proxy, "GOTOOLCHAIN=local"}
	sums := testkit.Module{Path: "a.example/greet", Version: "v1.2.0"}.Write(t, w.proxy)
	w.context = testkit.Tree(t, "-- go.mod --\nmodule example.com/app\n\ngo 1.26\n\nrequire a.example/greet v1.2.0\n-- go.sum --\n"+sums)
	testkit.Toolchain(t, w.proxy, toolchain)
	w.larder("bundle", "keygen", "-o", at("key"), "release.example")
	w.larder("bundle", "create", "-o", at("v1"), w.context)
	evil := testkit.Module{Path: "evil.example/x", Version: "v1.0.0"}.Write(t, w.proxy)
	w.write("go.mod", "module example.com/app\n\ngo 1.26\n\nrequire (\n\ta.example/greet v1.2.0\n\tevil.example/x v1.0.0\n)\n")
	w.write("go.sum", sums+evil)
	for _, name := range []string{"v2", "unsigned", "v3"} {
		w.larder("bundle", "create", "-o", at(name), w.context)
	}
	for serial, name := range map[string]string{"2": "v2", "1": "v1", "3": "v3"} {
		w.larder("bundle", "sign", "--key", at("key"), "--serial", serial, at(name))
	}
	require.NoError(t, os.CopyFS(at("served"), os.DirFS(at("v2"))))
	put := func(name string) {
		blobs, err := filepath.Glob(filepath.Join(at(name), "blobs/sha256/*"))
		require.NoError(t, err)
		for _, blob := range blobs {
			data, err := os.ReadFile(blob)
			require.NoError(t, err)
			to := filepath.Join(at("served"), "blobs/sha256", filepath.Base(blob))
			require.NoError(t, os.WriteFile(to+".new", data, 0o644))
			require.NoError(t, os.Rename(to+".new", to))
		}
		data, err := os.ReadFile(filepath.Join(at(name), "index.json"))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(at("index"), data, 0o644))
		require.NoError(t, os.Rename(at("index"), filepath.Join(at("served"), "index.json")))
	}
	url, stderr, cmd := w.serve("--key", at("key.pub"), at("served"))
	says := func(want string) {
		line, err := stderr.ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, want)
		resp, err := http.Get(url + "/evil.example/x/@v/v1.0.0.zip")
		require.NoError(t, err)
		resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode, "what is served is v2, or v3")
	}
	put("unsigned")
	says("WARNING: serving as before: " + at("served") + " is not signed")
	put("v1")
	says("WARNING: serving as before: " + at("served") + " was signed with the serial 2")
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP)) // says nothing again
	put("v3")
	says("read the bundles again")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	_ = cmd.Wait() // its exit code is that of a stopped command
}
