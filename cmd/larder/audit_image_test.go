package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// vulnerable is a database of one vulnerability in a package of a module; without symbols all of it is vulnerable.
func vulnerable(t *testing.T, module, pkg, symbol string) string {
	symbols := ""
	if symbol != "" {
		symbols = `,"symbols":["` + symbol + `"]`
	}
	return testkit.Tree(t, "-- index/db.json --\n{\"modified\":\"2021-05-01T00:00:00Z\"}\n"+
		"-- index/modules.json --\n[{\"path\":\""+module+"\",\"vulns\":[{\"id\":\"GO-2021-0001\",\"modified\":\"2021-05-01T00:00:00Z\"}]}]\n"+
		"-- ID/GO-2021-0001.json --\n"+`{"schema_version":"1.3.1","id":"GO-2021-0001","modified":"2021-05-01T00:00:00Z","summary":"It tells too much","affected":[
{"package":{"name":"`+module+`","ecosystem":"Go"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}],
"ecosystem_specific":{"imports":[{"path":"`+pkg+`"`+symbols+`}]}}]}`+"\n")
}

// compiled builds a program that reads archives.
func compiled(t *testing.T) []byte {
	testkit.Installed(t, "go")
	dir := testkit.Tree(t, "-- go.mod --\nmodule example.com/reads\n\ngo 1.26\n-- main.go --\npackage main\n\nimport (\n\t\"archive/tar\"\n\t\"os\"\n)\n\nfunc main() { tar.NewReader(os.Stdin).Next() }\n")
	testkit.Run(t, "go", "-C", dir, "build", "-o", "program", ".")
	data, err := os.ReadFile(filepath.Join(dir, "program"))
	require.NoError(t, err)
	return data
}

// An image is audited alike in a registry, in a layout and in a tar file, and without a network but for the registry. The
// program has its symbols.
func TestAuditImage(t *testing.T) {
	testkit.Larder(t, "larder-frontend")
	data := compiled(t)
	layout := filepath.Join(t.TempDir(), "layout")
	testkit.WriteLayout(t, layout,
		testkit.Image{Arch: "amd64", Layers: []map[string][]byte{{"usr/bin/app": data}}},
		testkit.Image{Arch: "arm64", Layers: []map[string][]byte{{"etc/motd": []byte("hello\n")}}})
	tarball := filepath.Join(t.TempDir(), "image.tar")
	testkit.Run(t, "tar", "-cf", tarball, "-C", layout, ".")
	ref := testkit.Registry(t) + "/team/app:1"
	testkit.Run(t, testkit.Tool(t, "crane"), "push", layout, ref)

	db := vulnerable(t, "stdlib", "archive/tar", "NewReader")
	w, offline := &world{t: t}, &world{t: t, ns: testkit.Offline(t)}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for name, on := range map[string]*world{ref: w, layout: offline, tarball: offline} {
		said := on.fails("audit", "--vulndb", db, name)
		require.Contains(t, said, name+" linux/amd64 /usr/bin/app: error: [vulnerability] GO-2021-0001 in the standard library of Go 1.")
		require.Contains(t, said, "(archive/tar.NewReader is in the program); no version is fixed: see https://pkg.go.dev/vuln/GO-2021-0001\n")
		require.Contains(t, said, name+" (linux/arm64) has no program of Go in it: there is nothing to audit\n")
		on.larder("audit", "--fail-on", "none", "--vulndb", db, name)
		on.larder("audit", "--vulndb", vulnerable(t, "none.example/none", "none.example/none", "F"), name)
	}
	left, err := os.ReadDir(temp)
	require.NoError(t, err)
	require.Empty(t, left)

	report := filepath.Join(t.TempDir(), "report.json")
	offline.fails("audit", "--vulndb", db, "--format", "json", "-o", report, layout)
	text, err := os.ReadFile(report)
	require.NoError(t, err)
	var r struct {
		Trees  []string
		Images []struct {
			Name, Digest, Platform string
			Programs               []struct{ Path, Main, Toolchain string }
		}
		Findings []struct{ Image, Platform, File, ID string }
	}
	require.NoError(t, json.Unmarshal(text, &r))
	require.Empty(t, r.Trees)
	require.Len(t, r.Images, 2)
	require.Equal(t, "/usr/bin/app", r.Images[0].Programs[0].Path)
	require.True(t, strings.HasPrefix(r.Images[0].Digest, "sha256:"))
	require.Equal(t, "linux/arm64", r.Images[1].Platform)
	require.Empty(t, r.Images[1].Programs)
}

// An OpenVEX document is the same from the same image, and is only made where there is something to say of something.
func TestAuditOpenVEX(t *testing.T) {
	w := &world{t: t, ns: testkit.Offline(t), env: []string{"SOURCE_DATE_EPOCH=1700000000"}}
	layout := filepath.Join(t.TempDir(), "layout")
	testkit.WriteLayout(t, layout, testkit.Image{Arch: "amd64", Layers: []map[string][]byte{{"usr/bin/app": compiled(t)}}})
	db := vulnerable(t, "stdlib", "archive/tar", "NewReader")
	document := w.fails("audit", "--progress", "quiet", "--vulndb", db, "--format", "openvex", "--author", "Team", layout)
	testkit.RequireOpenVEX(t, document)
	require.Contains(t, document, `"author": "Team"`)
	require.Contains(t, document, `"timestamp": "2023-11-14T22:13:20Z"`)
	require.Contains(t, document, `"status": "affected"`)
	printed := func() []byte {
		file := filepath.Join(t.TempDir(), "scan.json")
		require.Equal(t, document, w.fails("audit", "--progress", "quiet", "--vulndb", db, "--govulncheck", file, "--format", "openvex", "--author", "Team", layout))
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		return data
	}
	scan := printed()
	require.Equal(t, string(scan), string(printed()), "what govulncheck printed is the same, too")
	require.NotContains(t, string(scan), "127.0.0.1")
	statement, err := newScanStatement(scan)
	require.NoError(t, err)
	require.Contains(t, string(statement), `"finding":{"osv":"GO-2021-0001"`)
	require.Contains(t, string(statement), `"db":{"uri":"/vulndb","version":"2021-05-01T00:00:00Z"}`)
	require.Contains(t, w.fails("audit", "--govulncheck", "x.json", layout), "there is no vulnerability database for it: name its folder with --vulndb")
	document = w.larder("audit", "--progress", "quiet", "--vulndb", vulnerable(t, "stdlib", "archive/zip", "NewReader"), "--format", "openvex", layout)
	require.Contains(t, document, `"justification": "vulnerable_code_not_present"`)
	require.Contains(t, document, `"author": "Unknown Author"`)

	require.Contains(t, w.fails("audit", "--progress", "quiet", "--format", "openvex", layout), "there is no vulnerability database to say something of: name its folder with --vulndb")
	require.Contains(t, w.fails("audit", "--progress", "quiet", "--format", "openvex", "--bundle", "stock"), "--format openvex says of products what affects them: name source trees or images")
	require.Contains(t, w.fails("audit", "--progress", "quiet", "--author", "Team", layout), "--author is for --format openvex")
}

// What is no image of Go is one clear sentence.
func TestAuditImageWithoutGo(t *testing.T) {
	w := &world{t: t, ns: testkit.Offline(t)}
	db := vulnerable(t, "none.example/none", "none.example/none", "")
	layout := func(images ...testkit.Image) string {
		dir := filepath.Join(t.TempDir(), "layout")
		testkit.WriteLayout(t, dir, images...)
		return dir
	}
	none := layout(testkit.Image{Arch: "amd64"})
	said := w.larder("audit", "--fail-on", "note", "--modules", t.TempDir(), "--vulndb", db, none)
	require.Equal(t, none+" (linux/amd64) has no program of Go in it: there is nothing to audit\n0 module versions: 0 errors, 0 warnings, 0 notes\n", said)

	// A source tree that somebody put a layout into is a source tree.
	both := layout(testkit.Image{Arch: "amd64"})
	require.NoError(t, os.WriteFile(filepath.Join(both, "go.mod"), []byte("module example.com/m\n\ngo 1.26\n"), 0o644))
	require.NotContains(t, w.larder("audit", "--vulndb", db, both), "no program of Go")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("text"), 0o644))
	for name, want := range map[string]string{
		file:           "file: ",
		"services/api": "stat services/api: no such file or directory: name a folder with a Go module, an OCI layout, or an image of a registry with its tag, such as services/api:latest",
		t.TempDir():    "there is no go.mod in it",
		"x.example:1/": "there is no file or folder x.example:1/, and as the name of an image: ",
	} {
		said := w.fails("audit", "--vulndb", db, name)
		require.Contains(t, said, want)
		require.Equal(t, 1, strings.Count(said, "ERROR: "), said)
	}
}
