package testkit

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, url string) (int, string) {
	res, err := http.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func TestProxyServesModulesAndFaults(t *testing.T) {
	dir := t.TempDir()
	sums := Module{Path: "a.example/X", Version: "v1.0.0", Files: map[string]string{"x.go": "package x\n"}}.Write(t, dir)
	require.Regexp(t, `^a\.example/X v1\.0\.0 h1:\S+=\na\.example/X v1\.0\.0/go\.mod h1:\S+=\n$`, sums)
	p := ServeProxy(t, t.TempDir(), dir)
	code, body := get(t, p.URL+"/a.example/!x/@v/v1.0.0.mod")
	require.Equal(t, http.StatusOK, code)
	require.Equal(t, "module a.example/X\n", body)
	code, _ = get(t, p.URL+"/a.example/!x/@v/v2.0.0.mod")
	require.Equal(t, http.StatusNotFound, code)
	p.Fail(".mod", Status(http.StatusForbidden))
	code, _ = get(t, p.URL+"/a.example/!x/@v/v1.0.0.mod")
	require.Equal(t, http.StatusForbidden, code)
	p.Fail(".zip", Truncated)
	res, err := http.Get(p.URL + "/a.example/!x/@v/v1.0.0.zip")
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	require.Error(t, err)
	require.Contains(t, p.Requests(), "/a.example/!x/@v/v1.0.0.zip")
}

func TestOfflineHasLoopbackAlone(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	ns := Offline(t)
	out, err := ns.Command(t, "ip", "-o", "link").Output()
	require.NoError(t, err)
	require.Regexp(t, `^1: lo: <LOOPBACK,UP[^\n]*\n$`, string(out))
	// What this machine serves on its own loopback is out of reach there.
	require.Error(t, ns.Command(t, "bash", "-c", "exec 3<>/dev/tcp/"+strings.Replace(srv.Listener.Addr().String(), ":", "/", 1)).Run())
}

func TestTree(t *testing.T) {
	dir := Tree(t, "-- a/b.txt --\nhello\n-- c --\n")
	data, err := os.ReadFile(filepath.Join(dir, "a", "b.txt"))
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(data))
}

func TestRegistryAndBuildkitdAnswer(t *testing.T) {
	code, _ := get(t, "http://"+Registry(t)+"/v2/_catalog")
	require.Equal(t, http.StatusOK, code)
	addr := Buildkitd(t, nil)
	require.Contains(t, Run(t, Tool(t, "buildctl"), "--addr", addr, "debug", "workers"), "linux/")
}

// The schemas take what is right, and are those of the formats: they refuse what nothing but them would.
func TestSchemas(t *testing.T) {
	const bom = `{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [{"type": "library", "name": "x"}]}`
	RequireCycloneDX(t, bom)
	require.ErrorContains(t, cycloneDX(t, strings.Replace(bom, "library", "book", 1)), "/components/0/type")
	const document = `{"SPDXID": "SPDXRef-DOCUMENT", "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "name": "x", "documentNamespace": "https://x.example/",
		"creationInfo": {"created": "2026-01-02T03:04:05Z", "creators": ["Tool: x"]}, "packages": [{"SPDXID": "SPDXRef-x", "name": "x", "downloadLocation": "NOASSERTION"}]}`
	RequireSPDX(t, document)
	require.ErrorContains(t, spdx(t, strings.Replace(document, "downloadLocation", "location", 1)), "/packages/0")
	const vex = `{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://x.example/", "author": "x", "timestamp": "2026-01-02T03:04:05Z", "version": 1,
		"statements": [{"vulnerability": {"name": "x"}, "status": "affected", "action_statement": "x"}]}`
	RequireOpenVEX(t, vex)
	require.ErrorContains(t, openVEX(t, strings.Replace(vex, "action_statement", "impact_statement", 1)), "action_statement")
}
