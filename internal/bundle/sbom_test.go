package bundle

import (
	"bytes"
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	"github.com/larder-build/larder/internal/proof/spdx"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	file := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(string(want), got))
}

// listed makes a bundle of a manifest with all kinds of items, of which it has nothing.
func listed(t *testing.T) *Bundle {
	b, err := open(t.Context(), t.TempDir(), Trust{})
	require.NoError(t, err)
	const h1 = "h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0="
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	sum := func(i Item) Item { i.Digest, i.Size = digest.FromString(i.Name), 1000; return i }
	var parts []part
	for image, items := range map[string][]Item{
		ModulesName: {
			sum(Item{Kind: KindModule, Name: "github.com/Azure/azure-sdk~go", Version: "v4.0.0+incompatible", H1: h1, GoModH1: h1, Origin: "https://xxxxx@proxy.example/go?xxxxx", Time: &at}),
			sum(Item{Kind: KindModule, Name: "tools.example/lint/v2", Version: "v2.1.0", H1: h1, GoModH1: h1, Origin: "version control", Time: &at}),
			sum(Item{Kind: KindGoMod, Name: "only.example/mod", Version: "v0.1.0", GoModH1: h1, Origin: "https://proxy.golang.org"}),
		},
		ToolchainName: {
			sum(Item{Kind: KindToolchain, Name: "golang.org/toolchain", Version: "go1.26.8", Platform: "linux/amd64", H1: h1, Origin: "https://proxy.golang.org"}),
			sum(Item{Kind: KindToolchain, Name: "golang.org/toolchain", Version: "go1.27rc1", Platform: "linux/arm64", H1: h1, Origin: "/srv/modules"}),
		},
		ToolsName: {
			sum(Item{Kind: KindTool, Name: "tools.example/lint/v2/cmd/lint", Version: "v2.1.0"}),
			sum(Item{Kind: KindTool, Name: "elsewhere.example/tool", Version: "v1.0.0"}),
		},
		SumDBName: {sum(Item{Kind: KindSumDB, Name: "sum.golang.org", Version: "12345678", Origin: "sum.golang.org"})},
		FilesName: {sum(Item{Kind: KindFile, Name: "ca/root ä.pem"})},
		"docker.io/library/alpine:3.22": {
			sum(Item{Kind: KindImage, Name: "docker.io/library/alpine:3.22", Platform: "linux/amd64", From: digest.FromString("index"), Origin: "docker.io/library/alpine:3.22"}),
		},
		"registry.example:5000/team/Base": {sum(Item{Kind: KindImage, Name: "registry.example:5000/team/base@sha256:" + digest.FromString("x").Encoded(), Platform: "linux/amd64,linux/arm64"})},
	} {
		p := part{image: image, items: items}
		if own(image) {
			p.layer, err = b.addLayer(t.Context(), []file{memoryFile("x", []byte(image))})
			require.NoError(t, err)
			require.NoError(t, b.addImage(t.Context(), image, []ocispec.Descriptor{p.layer}))
		}
		parts = append(parts, p)
	}
	slices.SortFunc(parts, func(a, b part) int { return strings.Compare(a.image, b.image) })
	require.NoError(t, b.writeManifest(t.Context(), parts, nil))
	return b
}

func TestSBOM(t *testing.T) {
	b := listed(t)
	written := func(write func(context.Context, io.Writer, string, time.Time) error) string {
		var text bytes.Buffer
		require.NoError(t, write(t.Context(), &text, "1.2.3", time.Date(2025, 1, 2, 3, 4, 5, 678, time.FixedZone("", 3600))))
		return text.String()
	}
	t.Run("SPDX", func(t *testing.T) {
		text := written(b.WriteSPDX)
		golden(t, "sbom.spdx.json", text)
		testkit.RequireSPDX(t, text)
		doc, err := spdxjson.Read(bytes.NewReader([]byte(text)))
		require.NoError(t, err)
		require.NoError(t, spdxlib.ValidateDocument(doc))
		described, err := spdxlib.GetDescribedPackageIDs(doc)
		require.NoError(t, err)
		require.Len(t, described, 1)
		require.Equal(t, "SPDX-2.3", doc.SPDXVersion)
		require.Equal(t, "CC0-1.0", doc.DataLicense)
		require.Regexp(t, `^https://[^#]+$`, doc.DocumentNamespace)
		require.Equal(t, "2025-01-02T02:04:05Z", doc.CreationInfo.Created)
		seen := map[string]bool{}
		for _, p := range doc.Packages {
			id := string(p.PackageSPDXIdentifier)
			require.Regexp(t, `^[a-zA-Z0-9.-]+$`, id)
			require.False(t, seen[id], id)
			seen[id] = true
			require.NotEmpty(t, p.PackageName)
			require.NotEmpty(t, p.PackageDownloadLocation)
			require.Equal(t, spdx.NoAssertion, p.PackageLicenseConcluded)
			require.Equal(t, spdx.NoAssertion, p.PackageLicenseDeclared)
			require.False(t, p.FilesAnalyzed)
			for _, r := range p.PackageExternalReferences {
				require.NotRegexp(t, regexp.MustCompile(`\s`), r.Locator)
			}
		}
	})
	t.Run("CycloneDX", func(t *testing.T) {
		text := written(b.WriteCycloneDX)
		golden(t, "sbom.cdx.json", text)
		testkit.RequireCycloneDX(t, text)
		var bom cdx.BOM
		require.NoError(t, cdx.NewBOMDecoder(bytes.NewReader([]byte(text)), cdx.BOMFileFormatJSON).Decode(&bom))
		var again bytes.Buffer
		require.NoError(t, cdx.NewBOMEncoder(&again, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(&bom, cdx.SpecVersion1_6))
		require.Equal(t, text, again.String())
		require.Regexp(t, `^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, bom.SerialNumber)
		refs := map[string]bool{bom.Metadata.Component.BOMRef: true}
		for _, c := range *bom.Components {
			require.False(t, refs[c.BOMRef], c.BOMRef)
			refs[c.BOMRef] = true
			require.NotEmpty(t, c.Name)
			require.NotEmpty(t, c.Type)
		}
		for _, d := range *bom.Dependencies {
			require.True(t, refs[d.Ref], d.Ref)
			for _, ref := range *d.Dependencies {
				require.True(t, refs[ref], ref)
			}
		}
	})
}

// Package URLs are as the specification's own examples have them, but for the colon, which its rules leave as it is.
func TestPURL(t *testing.T) {
	for want, got := range map[string]string{
		"pkg:golang/google.golang.org/genproto@abcdedf#googleapis/api/annotations": spdx.GoPURL("google.golang.org/genproto", "abcdedf", "googleapis/api/annotations"),
		"pkg:golang/github.com/gorilla/context@234fd47e07d1004f0aed9c":             spdx.GoPURL("github.com/gorilla/Context", "234fd47e07d1004f0aed9c", ""),
		"pkg:golang/a.example/x@v2.0.0%2Bincompatible":                             spdx.GoPURL("a.example/x", "v2.0.0+incompatible", ""),
		"pkg:oci/debian@sha256:244fd47e07d10?arch=amd64&repository_url=docker.io%2Flibrary%2Fdebian&tag=latest": Item{
			Name: "docker.io/library/debian:latest", Digest: "sha256:244fd47e07d10", Platform: "linux/amd64"}.imagePURL(),
		"":                               Item{Name: "No Image"}.imagePURL(),
		"pkg:apk/alpine/a%2Fb@1%3Fx%23y": spdx.PURL("apk", "alpine", "a/b", "1?x#y", map[string]string{"arch": ""}),
	} {
		require.Equal(t, want, got)
	}
}
