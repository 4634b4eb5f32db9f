package sbom

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

func TestCycloneDX(t *testing.T) {
	data, err := CycloneDX(testContents(t), testFacts(), testLicenses)
	require.NoError(t, err)
	file := filepath.Join("testdata", "document.cdx.golden.json")
	if *update {
		require.NoError(t, os.WriteFile(file, data, 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(string(want), string(data)))
	testkit.RequireCycloneDX(t, string(data))
	empty, err := CycloneDX(&Contents{}, Facts{Name: "x"}, testLicenses)
	require.NoError(t, err)
	testkit.RequireCycloneDX(t, string(empty))
}

// Both formats say the same of the same image: each linked module of each file with its sum, and each package.
func TestFormatsAgree(t *testing.T) {
	text, err := Document(testContents(t), testFacts(), testLicenses)
	require.NoError(t, err)
	listed, err := Read(text)
	require.NoError(t, err)
	data, err := CycloneDX(testContents(t), testFacts(), testLicenses)
	require.NoError(t, err)
	var doc struct {
		Components []struct {
			Ref        string `json:"bom-ref"`
			Type       string
			Name       string
			Version    string
			PURL       string
			Scope      string
			Hashes     []struct{ Alg, Content string }
			Properties []struct{ Name, Value string }
		}
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	require.NoError(t, json.Unmarshal(data, &doc))
	links, files := map[string]string{}, map[string]string{}
	for _, c := range doc.Components {
		m := Module{}
		m.Path, m.Version.Version = c.Name, c.Version
		for _, p := range c.Properties {
			if p.Name == "larder:h1" {
				m.H1 = p.Value
			}
		}
		switch {
		case c.Type == "file":
			files[c.Ref] = c.Name
			require.Equal(t, listed[c.Name].SHA256, c.Hashes[1].Content)
		case c.Type == "library":
			links[c.Ref] = m.Link()
		}
		if c.Name == "golang.org/toolchain" {
			require.Equal(t, "excluded", c.Scope)
		}
	}
	var image []string
	for _, d := range doc.Dependencies {
		if d.Ref == imageID {
			image = d.DependsOn
			continue
		}
		var linked []string
		for _, on := range d.DependsOn {
			if link, ok := links[on]; ok {
				linked = append(linked, link)
			}
		}
		slices.Sort(linked)
		require.Equal(t, listed[files[d.Ref]].Linked, linked)
		delete(listed, files[d.Ref])
	}
	require.Empty(t, listed)
	require.Len(t, image, 4) // two files, two packages
}
