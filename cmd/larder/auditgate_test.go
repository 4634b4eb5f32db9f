package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// TestAuditGate builds the Dockerfile of docs/reference/audit.md, whose stage audit fails the build.
func TestAuditGate(t *testing.T) {
	w := newWorld(t)
	doc, err := os.ReadFile(filepath.Join(testkit.Root(t), "docs/reference/audit.md"))
	require.NoError(t, err)
	shown := testkit.Blocks(string(doc), "dockerfile")
	require.Len(t, shown, 1)
	w.write("Dockerfile", shown[0])
	w.write("main.go", "")
	w.write("cmd/api/main.go", mainGo)

	bin, larder := t.TempDir(), testkit.Larder(t, "larder")
	data, err := os.ReadFile(larder)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(bin, "larder"), data, 0o755))
	vulnerability := func(introduced string) string {
		return testkit.Tree(t, "-- index/db.json --\n{\"modified\":\"2021-05-01T00:00:00Z\"}\n"+
			"-- index/modules.json --\n[{\"path\":\"a.example/greet\",\"vulns\":[{\"id\":\"GO-2021-0001\",\"modified\":\"2021-05-01T00:00:00Z\"}]}]\n"+
			"-- ID/GO-2021-0001.json --\n"+`{"schema_version":"1.3.1","id":"GO-2021-0001","modified":"2021-05-01T00:00:00Z","summary":"Hello tells too much","affected":[
{"package":{"name":"a.example/greet","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"`+introduced+`"}]}],
"ecosystem_specific":{"imports":[{"path":"a.example/greet","symbols":["Hello"]}]}}]}`+"\n")
	}
	build := func(introduced, out string) (string, error) {
		return w.build("--build-context", "larder="+bin, "--build-context", "modules="+w.proxy, "--build-context", "vulndb="+vulnerability(introduced), "-o", out)
	}

	said, err := build("1.0.0", t.TempDir())
	require.Error(t, err)
	require.Contains(t, said, "/src/go.mod:6: error: [vulnerability] GO-2021-0001 in a.example/greet@v1.2.0: Hello tells too much (a.example/greet.Hello is called from /src/cmd/api/main.go:10)")
	require.Contains(t, said, "Dockerfile:5")

	out := t.TempDir()
	said, err = build("1.3.0", out)
	require.NoError(t, err, "%s", said)
	require.Equal(t, "hello, larder\n", testkit.Run(t, filepath.Join(out, "usr/local/bin/api")))
}
