package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// signable writes a layout of an image for two platforms with their bills of materials.
func signable(t *testing.T, content string) string {
	bill, err := sbom.Document(&sbom.Contents{}, sbom.Facts{Name: "x"}, nil)
	require.NoError(t, err)
	layout := filepath.Join(t.TempDir(), "layout")
	testkit.WriteLayout(t, layout,
		testkit.Image{Arch: "amd64", Layers: []map[string][]byte{{"a": []byte(content)}}, SPDX: bill},
		testkit.Image{Arch: "arm64", Layers: []map[string][]byte{{"b": nil}}, SPDX: bill})
	return layout
}

func writePEM(t *testing.T, name, kind string, der []byte, err error) string {
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	return name
}

// keyPair writes a key of a kind and its public key.
func keyPair(t *testing.T, kind string) (secret, public string) {
	dir := t.TempDir()
	var key, pub any
	var err error
	if kind == "ed25519" {
		pub, key, err = ed25519.GenerateKey(rand.Reader)
	} else {
		var k *ecdsa.PrivateKey
		k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		key, pub = k, &k.PublicKey
	}
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	secret = writePEM(t, filepath.Join(dir, "key.pem"), "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(pub)
	return secret, writePEM(t, filepath.Join(dir, "key.pub"), "PUBLIC KEY", der, err)
}

// expired writes a certificate that was valid in 2001.
func expired(t *testing.T) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return writePEM(t, filepath.Join(t.TempDir(), "old.crt"), "CERTIFICATE", der, err)
}

// An image is signed in its registry and as a file, and whoever hasn't signed it doesn't pass.
func TestSignSigstore(t *testing.T) {
	w := &world{t: t}
	layout := signable(t, "one")
	hub := testkit.Registry(t)
	crane := func(args ...string) { testkit.Run(t, testkit.Tool(t, "crane"), args...) }
	crane("push", layout, hub+"/app:1")
	secret, public := keyPair(t, "ecdsa")
	_, foreign := keyPair(t, "ed25519")

	require.Contains(t, w.fails("verify", "--key", public, hub+"/app:1"), "no signature is attached to sha256:")
	require.Regexp(t, hub+`/app@sha256:[0-9a-f]{64} is signed by sha256:[0-9a-f]{64}\n`, w.larder("sign", "--format", "sigstore", "--key", secret, hub+"/app:1"))
	require.Contains(t, w.larder("sign", "--format", "sigstore", "--key", secret, hub+"/app:1"), " already\n")
	require.Regexp(t, `signed by sha256:[0-9a-f]{64}\n$`, w.larder("verify", "--key", foreign, "--key", public, hub+"/app:1"))
	require.Contains(t, w.fails("verify", "--key", foreign, hub+"/app:1"), "isn't signed by a key given: don't use this image: bundle sha256:")

	// Copied with its signatures, it is signed as what it was.
	crane("copy", "--all-tags", hub+"/app", hub+"/mirror/app")
	require.Contains(t, w.larder("verify", "--key", public, hub+"/mirror/app:1"), ` (as "`+hub+`/app")`)
	// Another image under its tag isn't signed.
	crane("push", signable(t, "other"), hub+"/app:1")
	require.Contains(t, w.fails("verify", "--key", public, hub+"/app:1"), "no signature is attached to sha256:")

	// Without a registry the bundle is a file.
	bundle := filepath.Join(t.TempDir(), "app.sigstore.json")
	w.larder("sign", "--format", "sigstore", "--key", secret, "-o", bundle, layout)
	require.Regexp(t, `signed by sha256:[0-9a-f]{64}\n$`, w.larder("verify", "--key", public, "--signature", bundle, layout))
	for want, args := range map[string][]string{
		"the signature: it is by none of the keys given: don't use this image":                                {"verify", "--key", foreign, "--signature", bundle, layout},
		"the signature: it is of another image than sha256:":                                                  {"verify", "--key", public, "--signature", bundle, signable(t, "other")},
		"is in no registry, where signatures could be attached to it: give --signature, the file of a bundle": {"verify", "--key", public, layout},
		"is in no registry, where a signature could be attached to it: give --output":                         {"sign", "--format", "sigstore", "--key", secret, layout},
		"the certificate is valid from 2001-01-01 to 2002-01-01, and not at ":                                 {"verify", "--key", expired(t), "--signature", bundle, layout},
		`it is called "PRIVATE KEY": expected PUBLIC KEY or CERTIFICATE`:                                      {"verify", "--key", secret, "--signature", bundle, layout},
		`it is called "PUBLIC KEY": expected PRIVATE KEY`:                                                     {"sign", "--format", "sigstore", "--key", public, "-o", bundle, layout},
		`--format "x509": one of note, sigstore`:                                                              {"sign", "--format", "x509", "--key", secret, "-o", bundle, layout},
		"--format note needs --output":                                                                        {"sign", "--key", secret, layout},
		"expected a file that 'larder bundle keygen' wrote":                                                   {"sign", "--key", secret, "-o", bundle, layout},
		"--signature needs --key, the public key of who signed":                                               {"verify", "--signature", bundle, layout},
		"expected a public key, NAME+HASH+KEY, or a file that holds one":                                      {"verify", "--key", bundle, "--signature", bundle, layout},
	} {
		require.Contains(t, w.fails(args...), want)
	}
}

// vexFile writes an OpenVEX document about images.
func vexFile(t *testing.T, digests ...string) string {
	var statements []string
	for _, d := range digests {
		statements = append(statements, `{"vulnerability":{"name":"GO-2021-0001"},"products":[{"@id":"pkg:oci/app@`+d+`?arch=amd64"}],"status":"not_affected","justification":"vulnerable_code_not_present"}`)
	}
	document := `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://example.com/vex","author":"x","timestamp":"2026-01-02T03:04:05Z","version":1,"statements":[` + strings.Join(statements, ",") + `]}`
	if len(digests) > 0 {
		testkit.RequireOpenVEX(t, document)
	}
	file := filepath.Join(t.TempDir(), "vex.json")
	require.NoError(t, os.WriteFile(file, []byte(document), 0o644))
	return file
}

// A document about an image is attached to that image alone, and is no signature of it.
func TestAttest(t *testing.T) {
	w := &world{t: t}
	layout := signable(t, "one")
	ref := testkit.Registry(t) + "/app:1"
	crane := func(args ...string) string {
		return strings.TrimSpace(testkit.Run(t, testkit.Tool(t, "crane"), args...))
	}
	crane("push", layout, ref)
	image, other := crane("digest", ref), "sha256:"+strings.Repeat("0", 64)
	platform := crane("digest", "--platform", "linux/amd64", ref)
	secret, public := keyPair(t, "ed25519")

	require.Regexp(t, `attached to .*/app@`+image+`, signed by sha256:[0-9a-f]{64}\n$`, w.larder("attest", "--key", secret, "--vex", vexFile(t, image, platform), ref))
	require.Contains(t, w.fails("verify", "--key", public, ref), `what is signed is an attestation of the type "https://openvex.dev/ns", and not the image`)
	w.larder("sign", "--format", "sigstore", "--key", secret, ref)
	w.larder("verify", "--key", public, ref)

	bundle := filepath.Join(t.TempDir(), "vex.sigstore.json")
	w.larder("attest", "--key", secret, "--vex", vexFile(t, platform), "-o", bundle, layout)
	text, err := os.ReadFile(bundle)
	require.NoError(t, err)
	require.Contains(t, string(text), `"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"`)

	scan := scanFile(t, `{"config":{"protocol_version":"v1.0.0","scanner_name":"govulncheck","scanner_version":"v1.5.0","db":"/vulndb"}}`+"\n"+`{"progress":{"message":"<html>"}}`)
	require.Contains(t, w.larder("attest", "--key", secret, "--govulncheck", scan, ref), "attached to ")
	_, foreign := keyPair(t, "ed25519")
	require.Contains(t, w.fails("verify", "--key", foreign, ref), "don't use this image")
	w.larder("verify", "--key", public, ref)

	plain := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(plain, []byte(`{"@context":"https://example.com/"}`), 0o644))
	for want, args := range map[string][]string{
		`what it says of "GO-2021-0001" is about another image than ` + image: {"--vex", vexFile(t, image, other), ref},
		"it states nothing": {"--vex", vexFile(t), ref},
		`it is no OpenVEX document: its @context is "https://example.com/"`: {"--vex", plain, ref},
		"it is no OpenVEX document: invalid character":                      {"--vex", public, ref},
		"is in no registry, where something could be attached to it":        {"--vex", vexFile(t, image), layout},
		"--vex: open none: no such file":                                    {"--vex", "none", ref},
		"that begins with its config":                                       {"--govulncheck", vexFile(t, image), ref},
		"prints: unexpected EOF":                                            {"--govulncheck", scanFile(t, `{"config":{"protocol_version":"v1.0.0","scanner_name":"govulncheck"}`), ref},
		"it is empty":                                                       {"--govulncheck", scanFile(t, ""), ref},
		"prints: json: cannot unmarshal":                                    {"--govulncheck", scanFile(t, `[1]`), ref},
		"it has 16777217 bytes: expected at most 16777216":                  {"--govulncheck", scanFile(t, strings.Repeat(" ", maxVEX+1)), ref},
		"--govulncheck: open none: no such file":                            {"--govulncheck", "none", ref},
		"none of the others can be":                                         {"--govulncheck", "none", "--vex", "none", ref},
	} {
		require.Contains(t, w.fails(append([]string{"attest", "--key", secret}, args...)...), want)
	}
}

// scanFile writes what a scanner is said to have printed.
func scanFile(t *testing.T, text string) string {
	name := filepath.Join(t.TempDir(), "scan.json")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	return name
}
