package bundle

import (
	"context"
	"io"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// WriteSPDX writes what the bundle holds as a document of SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3). It is
// the same for the same bundle, version of larder, and time.
func (b *Bundle) WriteSPDX(ctx context.Context, w io.Writer, version string, created time.Time) error {
	products, err := b.products(ctx)
	if err != nil {
		return err
	}
	doc := &v2_3.Document{
		SPDXVersion:       v2_3.Version,
		DataLicense:       v2_3.DataLicense,
		SPDXIdentifier:    "DOCUMENT",
		DocumentName:      "larder-bundle",
		DocumentNamespace: documentBase + b.Digest().Encoded(),
		CreationInfo:      &v2_3.CreationInfo{Creators: []common.Creator{{CreatorType: "Tool", Creator: "larder-" + version}}, Created: sbomTime(created)},
	}
	bundle := spdxPackage("bundle", "larder-bundle", b.Digest().String(), "", "ARCHIVE")
	bundle.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: b.Digest().Encoded()}}
	doc.Packages = append(doc.Packages, bundle)
	relate := func(a, relation, b string) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{RefA: common.MakeDocElementID("", a), RefB: common.MakeDocElementID("", b), Relationship: relation})
	}
	relate("DOCUMENT", common.TypeRelationshipDescribe, "bundle")
	for _, p := range products {
		doc.Packages = append(doc.Packages, p.spdx())
		relate("bundle", common.TypeRelationshipContains, p.id)
		for _, id := range p.dependsOn {
			relate(p.id, common.TypeRelationshipDependsOn, id)
		}
	}
	return spdxjson.Write(doc, w, spdxjson.Indent("  "), spdxjson.EscapeHTML(false))
}

// spdxPurpose returns the primary package purpose of an item.
func spdxPurpose(kind string) string {
	switch kind {
	case KindModule:
		return "LIBRARY"
	case KindToolchain, KindTool:
		return "APPLICATION"
	case KindImage:
		return "CONTAINER"
	case KindGoMod, KindFile:
		return "FILE"
	}
	return "OTHER"
}

func spdxPackage(id, name, version, download, purpose string) *v2_3.Package {
	if download == "" {
		download = noAssertion
	}
	return &v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: common.ElementID(id), PackageVersion: version, PackageDownloadLocation: download,
		PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion, PackageCopyrightText: noAssertion,
		PrimaryPackagePurpose: purpose,
	}
}

// spdx returns the item as a package, also where it is a file, since SPDX wants SHA-1 hashes of files.
func (p product) spdx() *v2_3.Package {
	out := spdxPackage(p.id, p.sbomName(), p.Version, p.download, spdxPurpose(p.Kind))
	if hash := p.hash(); hash != "" {
		out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hash}}
	}
	if p.Time != nil {
		out.ReleaseDate = sbomTime(*p.Time)
	}
	refer := func(category, kind, locator string) {
		if locator != "" {
			out.PackageExternalReferences = append(out.PackageExternalReferences, &v2_3.PackageExternalReference{Category: category, RefType: kind, Locator: locator})
		}
	}
	refer(common.CategoryPackageManager, common.TypePackageManagerPURL, p.purl)
	refer(common.CategorySecurity, common.TypeSecurityCPE23Type, p.cpe)
	refer(common.CategoryOther, "go-sum-h1", p.H1)
	refer(common.CategoryOther, "go-sum-go-mod-h1", p.GoModH1)
	if p.Origin != "" {
		out.PackageSourceInfo = "had from " + p.Origin
	}
	return out
}
