//go:build slow

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// The real cosign takes Larder's signatures, in both formats and of both kinds of keys, and Larder takes cosign's.
func TestSlowCosign(t *testing.T) {
	cosign := testkit.Built(t, "bin/tools/cosign", "make cosign")
	w := &world{t: t}
	hub := testkit.Registry(t)
	crane := func(args ...string) string { return testkit.Run(t, testkit.Tool(t, "crane"), args...) }
	layout, keys := signable(t, "one"), t.TempDir()
	run := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), cosign, args...)
		cmd.Dir = keys
		cmd.Env = append(os.Environ(), "COSIGN_PASSWORD=", "HOME="+testkit.Home(t))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	good := func(args ...string) string {
		out, err := run(args...)
		require.NoError(t, err, "%s", out)
		return out
	}
	accepts := func(key, ref string) string { return good("verify", "--key", key, "--insecure-ignore-tlog", ref) }
	_, foreign := keyPair(t, "ecdsa")

	for _, kind := range []string{"ecdsa", "ed25519"} {
		secret, public := keyPair(t, kind)
		ref := hub + "/" + kind + ":1"
		crane("push", layout, ref)
		w.larder("sign", "--format", "sigstore", "--key", secret, ref)
		out := accepts(public, ref)
		require.Contains(t, out, "The signatures were verified against the specified public key")
		require.Contains(t, out, `"type":"https://sigstore.dev/cosign/sign/v1"`) // the bundle's
		out, err := run("verify", "--key", foreign, "--insecure-ignore-tlog", ref)
		require.Error(t, err, "%s", out)

		// With the older format alone.
		tag := strings.Replace(strings.TrimSpace(crane("digest", ref)), ":", "-", 1) + ".sig"
		older := hub + "/older-" + kind
		crane("copy", ref, older+":1")
		crane("copy", hub+"/"+kind+":"+tag, older+":"+tag)
		require.Contains(t, accepts(public, older+":1"), `"type":"cosign container image signature"`)
		w.larder("verify", "--key", public, older+":1")
		out, err = run("verify", "--key", foreign, "--insecure-ignore-tlog", older+":1")
		require.Error(t, err, "%s", out)
	}

	secret, public := keyPair(t, "ecdsa")
	ref := hub + "/attested:1"
	crane("push", layout, ref)
	w.larder("attest", "--key", secret, "--vex", vexFile(t, strings.TrimSpace(crane("digest", ref))), ref)
	require.Contains(t, good("verify-attestation", "--type", "openvex", "--key", public, "--insecure-ignore-tlog", ref), "The signatures were verified against the specified public key")
	w.larder("attest", "--key", secret, "--govulncheck", scanFile(t, `{"config":{"protocol_version":"v1.0.0","scanner_name":"govulncheck","scanner_version":"v1.5.0"}}`), ref)
	require.Contains(t, good("verify-attestation", "--type", "vuln", "--key", public, "--insecure-ignore-tlog", ref), "The signatures were verified against the specified public key")
	out, err := run("verify-attestation", "--type", "openvex", "--key", foreign, "--insecure-ignore-tlog", ref)
	require.Error(t, err, "%s", out)

	good("generate-key-pair")
	theirs := filepath.Join(keys, "cosign.pub")
	for name, flags := range map[string][]string{"new": nil, "old": {"--new-bundle-format=false"}} {
		ref := hub + "/theirs-" + name
		crane("push", layout, ref+":1")
		at := ref + "@" + strings.TrimSpace(crane("digest", ref+":1"))
		good(append([]string{"attest", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "-y", "--type", "custom", "--predicate", theirs, at}, flags...)...)
		require.Contains(t, w.fails("verify", "--key", theirs, at), "don't use this image")
		good(append([]string{"sign", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", "-y", at}, flags...)...)
		require.Regexp(t, `signed by sha256:[0-9a-f]{64}\n$`, w.larder("verify", "--key", theirs, at))
		require.Contains(t, w.fails("verify", "--key", foreign, at), "it is by none of the keys given")

		// Both have signed it, and each is found.
		secret, public := keyPair(t, "ed25519")
		w.larder("sign", "--format", "sigstore", "--key", secret, at)
		for _, key := range []string{theirs, public} {
			w.larder("verify", "--key", key, at)
		}
		accepts(public, at)
		if name == "new" { // else cosign looks at bundles alone, of which Larder's is the only one
			accepts(theirs, at)
		}
	}
}
