package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// replayPolicy leads ADD lines of https URLs to a server of recorded answers; docs/guides/air-gap.md shows it.
const replayPolicy = `{
  "version": 1,
  "rules": [
    {
      "action": "CONVERT",
      "selector": { "identifier": "^https://(.*)$", "match_type": "REGEX" },
      "updates": { "identifier": "http://ADDRESS/https/$1" }
    }
  ]
}
`

// A BuildKit daemon that knows nothing of Larder, in a namespace with only lo, is answered by 'larder bundle serve
// --replay': as the upstream of its proxy network, and, for ADD, by a source policy.
func TestServeReplay(t *testing.T) {
	guide, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs", "guides", "air-gap.md"))
	require.NoError(t, err)
	require.Contains(t, string(guide), strings.ReplaceAll(replayPolicy, "ADDRESS", "127.0.0.1:8080"))
	w, web, nonce := fetchingWorld(t)
	w.write("Dockerfile", strings.ReplaceAll(plainFile, "NONCE", nonce)+"ADD https://files.example/moved.bin /data2\n")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(at("web.pem"), web.CA, 0o644))
	env := w.env
	w.env = append(env, "HTTP_PROXY="+web.ProxyURL, "HTTPS_PROXY="+web.ProxyURL)
	w.larder("bundle", "create", "--record", "--state", at("state"), "--ca", at("web.pem"), "-o", at("bundle"), w.context)

	w.env, w.ns = env, testkit.Offline(t)
	require.Contains(t, w.fails("bundle", "serve", "--replay", "--user", "x", at("bundle")), "--replay is served without TLS and without a password")
	cmd := w.command("bundle", "serve", "--replay", "--replay-ca", at("ca.pem"), "--listen", "127.0.0.1:0", at("bundle"))
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	var count int
	var address string
	_, err = fmt.Sscanf(line, "replaying %d answers at http://%s", &count, &address)
	require.NoError(t, err, line)
	require.Equal(t, 3, count)

	daemon := func(ns *testkit.Netns, proxy, ca string) (addr string) {
		for name, value := range map[string]string{"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "SSL_CERT_FILE": ca} {
			t.Setenv(name, value)
			defer os.Unsetenv(name)
		}
		return testkit.Buildkitd(t, ns, "--proxy-network", "--allow-insecure-entitlement", "network.host")
	}
	addr, online := daemon(w.ns, "http://"+address, at("ca.pem")), daemon(nil, web.ProxyURL, at("web.pem"))
	// Nothing but fetch, which needs a list of authorities, and the network of the daemon's host.
	w.write("etc/ssl/certs/ca-certificates.crt", "\n")
	w.replace("Dockerfile", "RUN echo", "COPY etc /etc\nRUN --network=host echo")
	require.NoError(t, os.WriteFile(at("policy.json"), []byte(strings.ReplaceAll(replayPolicy, "ADDRESS", address)), 0o644))
	build := func(addr, output string, args ...string) (string, error) {
		args = append([]string{"--addr", addr, "build", "--allow", "network.host", "--frontend", "dockerfile.v0", "--local", "context=" + w.context, "--local", "dockerfile=" + w.context, "--no-cache",
			"--opt", "build-arg:SOURCE_DATE_EPOCH=1700000000", "--output", output}, args...)
		out, err := w.ns.Command(t, testkit.Tool(t, "buildctl"), args...).CombinedOutput()
		return string(out), err
	}
	policy := []string{"--source-policy-file", at("policy.json")}
	out, err := build(addr, "type=local,dest="+at("out"), policy...)
	require.NoError(t, err, out)
	for name, want := range map[string]string{"page.html": "page ", "data2": "data2 "} {
		got, err := os.ReadFile(at("out/" + name))
		require.NoError(t, err, name)
		require.Equal(t, want+nonce, string(got), name)
	}

	// A daemon that has the network makes the same image.
	out, err = build(addr, "type=oci,rewrite-timestamp=true,dest="+at("replayed.tar"), policy...)
	require.NoError(t, err, out)
	out, err = build(online, "type=oci,rewrite-timestamp=true,dest="+at("online.tar"))
	require.NoError(t, err, out)
	require.Equal(t, digestOf(t, at("online.tar")), digestOf(t, at("replayed.tar")))

	w.replace("Dockerfile", "ADD https://files.example/moved.bin /data2\n", "")
	out, err = build(addr, "type=local,dest="+at("out"))
	require.NoError(t, err, out)
	require.Contains(t, out, "GET https://npm.example/page?token=SECRET -> 200", "through the daemon's own proxy, and its upstream")
}

func TestServeReplayNeedsARecording(t *testing.T) {
	w := newWorld(t)
	bundle := filepath.Join(t.TempDir(), "bundle")
	w.larder("bundle", "create", "--no-images", "-o", bundle, w.context)
	require.Contains(t, w.fails("bundle", "serve", "--replay", bundle), "nothing was recorded in these bundles: make one with 'larder bundle create --record'")
}
