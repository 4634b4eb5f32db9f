package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// On a builder that answers for each server itself (buildkitd --proxy-network), steps of Larder's own that fetch trust its
// authority, and no other that isn't theirs.
func TestProxyNetwork(t *testing.T) {
	w := newWorld(t)
	web := testkit.ServeWeb(t)
	web.Handle("modules.example", http.FileServer(http.Dir(w.proxy)))
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, web.CA, 0o644))
	env := map[string]string{"HTTP_PROXY": web.ProxyURL, "HTTPS_PROXY": web.ProxyURL, "SSL_CERT_FILE": ca}
	daemon := func(flags ...string) string {
		for name, value := range env {
			t.Setenv(name, value)
		}
		defer func() {
			for name := range env {
				require.NoError(t, os.Unsetenv(name))
			}
		}()
		return testkit.Buildkitd(t, nil, flags...)
	}
	build := func(addr string, args ...string) (string, error) {
		w.env = nil
		args = append([]string{"build", "--builder", addr, "--build-arg", "GOPROXY=https://modules.example", "-o", "type=oci,dest=" + filepath.Join(t.TempDir(), "image.tar")}, args...)
		out, err := w.command(append(args, w.context)...).CombinedOutput()
		return string(out), err
	}
	out, err := build(daemon("--proxy-network"))
	require.NoError(t, err, "%s", out)
	asked := 0
	for _, a := range web.Asked() {
		if strings.Contains(a.URL, "https://modules.example/a.example/greet/") {
			asked++
		}
	}
	require.NotZero(t, asked, "the module came by another way")
	require.Contains(t, out, "GET https://modules.example/a.example/greet/@v/v1.2.0.zip -> 200", "the builder's own proxy didn't see it")

	// The Web's authority is the daemon's to trust, not the step's: without the builder's proxy between, it is a stranger.
	out, err = build(daemon(), "--build-arg", "HTTPS_PROXY="+web.ProxyURL)
	require.Error(t, err)
	require.Contains(t, out, "certificate signed by unknown authority")
}
