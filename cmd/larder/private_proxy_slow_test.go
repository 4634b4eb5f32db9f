//go:build slow

package main

import (
	"encoding/base64"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// argWord is the password of an HTTP proxy in a build argument.
const argWord = "s3cret-arg-w0rd"

func TestSlowPrivateModulesThroughHTTPProxies(t *testing.T) {
	p := newPrivateWorld(t)
	p.write("Dockerfile", "# syntax=ghcr.io/larder-build/larder:1\nFROM go AS build\nGO build -o /out/usr/local/bin/app .\nFROM static\nCOPY --from=build /out/ /\n")
	guardedProxy(p)
	proxyWithPassword(p)
}

// An HTTP proxy that wants a password has it from the netrc, and then it is in nothing that a build leaves.
func guardedProxy(p *privateWorld) {
	t := p.t
	p.web.Guard(testkit.Basic("gate", gateWord))
	gate, err := url.Parse(p.web.ProxyURL)
	require.NoError(t, err)
	netrc := func(word string) []string {
		text := "machine git.acme.example login robot password " + gitToken + "\nmachine " + gate.Host + " login gate password " + word + "\n"
		return append(p.secrets[:2:2], append([]string{"--secret", p.secret("netrc", text)}, p.secrets[4:]...)...)
	}
	args := p.otherKey("guarded.example")

	out, err := p.build(append(netrc("wr0ng-w0rd"), args...)...)
	require.Error(t, err)
	require.Contains(t, out, "the HTTP proxy answered 407 Proxy Authentication Required: it wants a user and password, or others than it was sent: pass --secret id=netrc,src=FILE")
	require.NotContains(t, out, "wr0ng-w0rd")
	require.NotContains(t, out, base64.StdEncoding.EncodeToString([]byte("gate:wr0ng-w0rd")))

	dir := t.TempDir()
	out, err = p.build(append(append([]string{"-o", "type=local,dest=" + filepath.Join(dir, "tree"), "--attest", "type=provenance,mode=max",
		"--cache-to", "type=local,mode=max,dest=" + filepath.Join(dir, "cache")}, netrc(gateWord)...), args...)...)
	require.NoError(t, err, "%s", out)
	requireNoSecret(t, "the log", []byte(out))
	require.Equal(t, "hello, larder private\n", runBinary(t, filepath.Join(dir, "tree")))
	requireNoSecretIn(t, dir)
	requireNoSecretIn(t, p.state)
	for _, asked := range p.web.Asked() {
		require.NotContains(t, asked.Header.Get("Authorization"), testkit.Basic("gate", gateWord), "a server behind the proxy is sent what is for the proxy")
	}
}

// A password in the proxy's URL works, too, and is in no key: a build argument isn't secret, but it is in nothing that the
// build makes, and where BuildKit would publish it the build is refused.
func proxyWithPassword(p *privateWorld) {
	t := p.t
	with := func(word string) []string {
		at := strings.Replace(p.web.ProxyURL, "://", "://gate:"+word+"@", 1)
		return append(p.otherKey("password.example"), "--build-arg", "HTTP_PROXY="+at, "--build-arg", "HTTPS_PROXY="+at)
	}
	clean := func(what string, data []byte) {
		t.Helper()
		require.NotContains(t, string(data), argWord, what)
		require.NotContains(t, string(data), strings.TrimPrefix(testkit.Basic("gate", argWord), "Basic "), what)
	}
	p.web.Guard(testkit.Basic("gate", "an0ther-w0rd"))
	out, err := p.build(append(with(argWord), p.secrets...)...)
	require.Error(t, err)
	require.Contains(t, out, "the HTTP proxy answered 407 Proxy Authentication Required")
	clean("the log of a build that fails", []byte(out))

	p.web.Guard(testkit.Basic("gate", argWord))
	dir := t.TempDir()
	out, err = p.build(append(append([]string{"-o", "type=local,dest=" + filepath.Join(dir, "tree"), "--attest", "type=provenance,mode=min", "--attest", "type=sbom",
		"--cache-to", "type=local,mode=max,dest=" + filepath.Join(dir, "cache")}, with(argWord)...), p.secrets...)...)
	require.NoError(t, err, "%s", out)
	clean("the log", []byte(out))
	require.Equal(t, "hello, larder private\n", runBinary(t, filepath.Join(dir, "tree")))
	eachFile(t, dir, clean)
	plan, err := p.command(append([]string{"plan", "--json"}, append(with(argWord), p.context)...)...).CombinedOutput()
	require.NoError(t, err, "%s", plan)
	clean("the plan", plan)
	plan, err = p.command(append([]string{"plan", "--builder", "embedded", "--state", p.state, "--llb", "json"}, append(with(argWord), p.context)...)...).CombinedOutput()
	require.NoError(t, err, "%s", plan)
	clean("the plan's LLB", plan)

	// Another password is no other key: nobody is asked for anything again.
	asked := len(p.web.Asked())
	out, err = p.build(append(with("an0ther-w0rd"), p.secrets...)...)
	require.NoError(t, err, "%s", out)
	require.Len(t, p.web.Asked(), asked)

	out, err = p.build(append(append([]string{"--attest", "type=provenance,mode=max"}, with(argWord)...), p.secrets...)...)
	require.Error(t, err)
	require.Contains(t, out, "the build argument HTTP_PROXY carries a password, which provenance with mode=max would tell")
	clean("the refusal", []byte(out))
	eachFile(t, p.state, clean)
}
