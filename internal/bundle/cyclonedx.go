package bundle

import (
	"context"
	"io"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
	"github.com/larder-build/larder/internal/proof/spdx"
)

// WriteCycloneDX writes the bundle's items as a document of CycloneDX 1.6 in JSON (ECMA-424). The document depends only
// on the bundle, the version of larder, and the time. Licences are left out, which means in this format that they
// aren't known.
func (b *Bundle) WriteCycloneDX(ctx context.Context, w io.Writer, version string, created time.Time) error {
	products, err := b.products(ctx)
	if err != nil {
		return err
	}
	root := cdx.Component{BOMRef: "bundle", Type: cdx.ComponentTypeData, Name: "larder-bundle", Version: b.Digest().String(), Hashes: sha256Hashes(b.Digest().Encoded())}
	components, contained := []cdx.Component{}, []string{}
	var tools []cdx.Dependency
	for _, p := range products {
		components = append(components, p.cyclonedx())
		contained = append(contained, p.id)
		if len(p.dependsOn) > 0 {
			tools = append(tools, cdx.Dependency{Ref: p.id, Dependencies: &p.dependsOn})
		}
	}
	dependencies := append([]cdx.Dependency{{Ref: root.BOMRef, Dependencies: &contained}}, tools...)
	bom := cdx.NewBOM()
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, []byte(spdx.Namespace+b.Digest().Encoded())).URN()
	bom.Metadata = &cdx.Metadata{
		Timestamp: spdx.Time(created),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "larder", Version: version}}},
		Component: &root,
	}
	bom.Components, bom.Dependencies = &components, &dependencies
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
}

func cyclonedxType(kind string) cdx.ComponentType {
	switch kind {
	case KindModule:
		return cdx.ComponentTypeLibrary
	case KindToolchain, KindTool:
		return cdx.ComponentTypeApplication
	case KindImage:
		return cdx.ComponentTypeContainer
	case KindGoMod, KindFile, KindAnswer:
		return cdx.ComponentTypeFile
	}
	return cdx.ComponentTypeData
}

func (p product) cyclonedx() cdx.Component {
	c := cdx.Component{BOMRef: p.id, Type: cyclonedxType(p.Kind), Name: p.sbomName(), Version: p.Version, PackageURL: p.purl, CPE: p.cpe, Hashes: sha256Hashes(p.hash())}
	if p.download != "" {
		c.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeDistribution, URL: p.download}}
	}
	properties := []cdx.Property{}
	set := func(name, value string) {
		if value != "" {
			properties = append(properties, cdx.Property{Name: "larder:" + name, Value: value})
		}
	}
	set("kind", p.Kind)
	set("h1", p.H1)
	set("go-mod-h1", p.GoModH1)
	set("platform", p.Platform)
	set("origin", p.Origin)
	set("reduced-from", string(p.From))
	if p.Time != nil {
		set("time", spdx.Time(*p.Time))
	}
	c.Properties = &properties
	return c
}

func sha256Hashes(hex string) *[]cdx.Hash {
	if hex == "" {
		return nil
	}
	return &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex}}
}
