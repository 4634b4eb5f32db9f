package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// Base images are checked by their signatures when a bundle is made, and once more where there is no registry.
func TestBundleImageKey(t *testing.T) {
	w := &world{t: t}
	hub := testkit.Registry(t)
	crane := func(args ...string) string { return testkit.Run(t, testkit.Tool(t, "crane"), args...) }
	crane("push", signable(t, "base"), hub+"/team/base:1")
	crane("push", signable(t, "unsigned"), hub+"/team/unsigned:1")
	base := hub + "/team/base:1"
	whole := strings.TrimSpace(crane("digest", base))
	secret, public := keyPair(t, "ecdsa")
	_, foreign := keyPair(t, "ecdsa")
	w.larder("sign", "--format", "sigstore", "--key", secret, base)

	stock := filepath.Join(t.TempDir(), "stock")
	create := func(args ...string) []string {
		return append([]string{"bundle", "create", "--no-sumdb", "--platform", "linux/amd64", "-o", stock, "--image", base}, args...)
	}
	for want, args := range map[string][]string{
		"image " + base + ": " + whole + " isn't signed by a key given":                                        create("--image-key", hub+"/team="+foreign),
		"image " + hub + "/team/unsigned:1: no signature is attached to sha256:":                               create("--image-key", hub+"/team="+public, "--image", hub+"/team/unsigned:1"),
		"--image-key " + hub + "/taem=…: no image of the bundle has a repository of that pattern, so it would": create("--image-key", hub+"/taem="+public),
		"expected PATTERN=KEY": create("--image-key", public),
		"no such file":         create("--image-key", hub+"/team=none"),
		"the certificate is valid from 2001-01-01 to 2002-01-01": create("--image-key", hub+"/team="+expired(t)),
	} {
		require.Contains(t, w.fails(args...), want)
		require.NoFileExists(t, filepath.Join(stock, "index.json"))
	}
	require.Contains(t, w.larder(create("--image-key", hub+"/team="+foreign, "--image-key", hub+"/team="+public, "--image-key", "*/team/base="+public)...),
		"WARNING: "+base+" is kept for all its platforms, as its signature is of all of it: with --trim")
	require.Contains(t, w.larder("bundle", "ls", stock), "linux/amd64,linux/arm64")

	// What was carried is checked without a network.
	offline := &world{t: t, ns: testkit.Offline(t)}
	verify := func(bundle, key string) []string {
		return []string{"bundle", "verify", "--image-key", hub + "/team=" + key, bundle}
	}
	require.Contains(t, offline.larder(verify(stock, public)...), base+" is signed by sha256:")
	require.Contains(t, offline.fails(verify(stock, foreign)...), "image "+base+": "+whole+" isn't signed by a key given")
	pulled := filepath.Join(t.TempDir(), "pulled")
	w.larder("bundle", "push", stock, hub+"/stock:1")
	w.larder("bundle", "pull", "-o", pulled, hub+"/stock:1")
	offline.larder(verify(pulled, public)...)
	offline.larder("bundle", "export", stock, filepath.Join(t.TempDir(), "out"))

	// From that bundle another one is made, with the signatures and without a registry.
	again := filepath.Join(t.TempDir(), "again")
	offline.larder("bundle", "create", "--no-sumdb", "--from", stock, "-o", again, "--image", base, "--image-key", hub+"/team="+public)
	offline.larder(verify(again, public)...)
	// One that was made without them has an image that nobody vouches for.
	bare := filepath.Join(t.TempDir(), "bare")
	offline.larder("bundle", "create", "--no-sumdb", "--from", stock, "-o", bare, "--image", base)
	require.Contains(t, offline.fails(verify(bare, public)...), "no signature is attached to ")
	require.Contains(t, w.fails("bundle", "create", "--no-sumdb", "--from", bare, "-o", again, "--image", base, "--image-key", hub+"/team="+public), "no signature is attached to ")

	// Trimmed, it is another index than the one that was signed.
	trimmed := w.larder(create("--trim", "--image-key", hub+"/team="+public)...)
	require.NotContains(t, trimmed, "WARNING")
	require.NotContains(t, w.larder("bundle", "ls", stock), "linux/arm64")
	require.Contains(t, offline.fails(verify(stock, public)...), "no signature is attached to ")

	// An image that calls itself a signature, and that a runtime would run, is checked as any.
	require.NoError(t, os.RemoveAll(stock))
	config := filepath.Join(t.TempDir(), "layout")
	testkit.WriteLayout(t, config, testkit.Image{Arch: "amd64", Subject: whole})
	crane("push", config, hub+"/team/evil:1")
	evil := hub + "/team/evil@" + strings.TrimSpace(crane("digest", hub+"/team/evil:1"))
	w.larder("bundle", "create", "--no-sumdb", "-o", stock, "--image", evil)
	require.Contains(t, offline.fails(verify(stock, public)...), "image "+evil+": no signature is attached to ")
}
