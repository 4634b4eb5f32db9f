package audit

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

func openVEX(t *testing.T, r *Report) (document string, statements map[string]vexStatement) {
	var b bytes.Buffer
	require.NoError(t, r.WriteOpenVEX(&b, "security@example.com", "v1.2.3"))
	var doc vexDocument
	require.NoError(t, json.Unmarshal(b.Bytes(), &doc))
	if len(doc.Statements) > 0 { // the schema asks for one; readers don't
		testkit.RequireOpenVEX(t, b.String())
	}
	statements = map[string]vexStatement{}
	for _, s := range doc.Statements {
		key := s.Vulnerability.Name + " " + s.Products[0].ID
		require.NotContains(t, statements, key, "two statements about one thing")
		statements[key] = s
	}
	return b.String(), statements
}

// Each module is told to be affected by what it calls, and not by what it doesn't, and why.
func TestOpenVEXOfTrees(t *testing.T) {
	w := newWorld(t)
	w.tree("a", api)
	w.tree("job", job)
	entry := filepath.Join(w.vulnDB, "ID", "GO-2021-0001.json")
	text, err := os.ReadFile(entry)
	require.NoError(t, err)
	text = bytes.Replace(text, []byte(`"details":""`), []byte(`"details":"","aliases":["GHSA-x-y","CVE-2021-1","bad\u001b alias"]`), 1)
	require.NoError(t, os.WriteFile(entry, text, 0o644))
	document, statements := openVEX(t, w.run())
	golden(t, "openvex.json", []byte(document))
	require.Equal(t, "affected", statements["GO-2021-0001 pkg:golang/example.com/api"].Status)
	web := statements["GO-2021-0001 pkg:golang/example.com/web"]
	require.Equal(t, []string{"not_affected", "vulnerable_code_not_in_execute_path"}, []string{web.Status, web.Justification})
	require.NotContains(t, statements, "GO-2021-0001 pkg:golang/example.com/job") // it has the fixed version
	again, _ := openVEX(t, w.run())
	require.Equal(t, document, again)
}

// What couldn't be found out is not said to be affected, and never said not to be.
func TestOpenVEXUnknown(t *testing.T) {
	w := newWorld(t)
	w.tree("p", program("v1.0.0", "func main() { missing() }\n"))
	_, statements := openVEX(t, w.run())
	require.Equal(t, "under_investigation", statements["GO-2021-0001 pkg:golang/example.com/p"].Status)
}

// An image is one product, whatever programs are in it: that which reaches farthest decides.
func TestOpenVEXOfImages(t *testing.T) {
	w := newWorld(t)
	calls, safe, sub := w.compile(program("v1.0.0", callsParse)), w.compile(program("v1.0.0", callsSafe)), w.compile(program("v1.0.0", onlySub), "-ldflags=-s -w")
	w.image("dist/app.tar",
		testkit.Image{Arch: "amd64", Layers: []map[string][]byte{{"bin/a": safe, "bin/b": calls, "bin/c": safe, "bin/stripped": sub}}},
		testkit.Image{Arch: "arm64", Layers: []map[string][]byte{{"bin/a": safe}}},
		testkit.Image{Arch: "riscv64", Layers: []map[string][]byte{{"bin/a": safe, "bin/stripped": sub}}})
	_, statements := openVEX(t, w.run())
	want := map[string]string{"amd64": "affected", "arm64": "not_affected", "riscv64": "under_investigation"}
	for key, s := range statements {
		if s.Vulnerability.Name != "GO-2021-0001" {
			continue
		}
		_, arch, _ := strings.Cut(s.Products[0].ID, "?arch=")
		require.Equal(t, want[arch], s.Status, key)
		if s.Status == "not_affected" {
			require.Equal(t, "vulnerable_code_not_present", s.Justification)
		}
		delete(want, arch)
		require.Len(t, s.Products, 2)
		for _, p := range s.Products {
			require.Regexp(t, `^pkg:oci/app@sha256:[0-9a-f]{64}\?arch=`+arch+`$`, p.ID)
			require.Equal(t, "pkg:golang/vuln.example/lib@v1.0.0", p.Subcomponents[0].ID)
		}
		require.NotEqual(t, s.Products[0].ID, s.Products[1].ID)
	}
	require.Empty(t, want)
	require.Equal(t, []string{"pkg:oci/app@sha256:x?arch=amd64&repository_url=registry.example%2Fteam%2Fapp"}, imagePURLs("registry.example/team/app:1", "x", "linux/amd64", "sha256:x", "sha256:x"))
}

// Where nothing is found, there is nothing to state.
func TestOpenVEXOfNothing(t *testing.T) {
	w := newWorld(t)
	w.tree("p", program("v1.2.0", "func main() {}\n"))
	index := `[{"path":"vuln.example/lib","vulns":[{"id":"GO-2021-0001"}]}]`
	require.NoError(t, os.WriteFile(filepath.Join(w.vulnDB, "index", "modules.json"), []byte(index), 0o644))
	document, _ := openVEX(t, w.run())
	require.Contains(t, document, `"statements": []`)
}
