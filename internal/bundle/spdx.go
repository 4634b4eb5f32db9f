package bundle

import (
	"context"
	"io"
	"time"

	"github.com/larder-build/larder/internal/proof/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// WriteSPDX writes the bundle's items as a document of SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3). The
// document depends only on the bundle, the version of larder, and the time.
func (b *Bundle) WriteSPDX(ctx context.Context, w io.Writer, version string, created time.Time) error {
	products, err := b.products(ctx)
	if err != nil {
		return err
	}
	doc := spdx.NewDocument("larder-bundle", b.Digest().Encoded(), version, created)
	bundle := spdx.NewPackage("bundle", "larder-bundle", b.Digest().String(), "", "ARCHIVE")
	bundle.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: b.Digest().Encoded()}}
	doc.Packages = append(doc.Packages, bundle)
	doc.Relate("DOCUMENT", common.TypeRelationshipDescribe, "bundle")
	for _, p := range products {
		doc.Packages = append(doc.Packages, p.spdx())
		doc.Relate("bundle", common.TypeRelationshipContains, p.id)
		for _, id := range p.dependsOn {
			doc.Relate(p.id, common.TypeRelationshipDependsOn, id)
		}
	}
	return doc.Write(w)
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
	case KindGoMod, KindFile, KindAnswer:
		return "FILE"
	}
	return "OTHER"
}

// spdx returns the item as a package. It does so for single files too, because SPDX requires SHA-1 hashes of files.
func (p product) spdx() *v2_3.Package {
	out := spdx.NewPackage(p.id, p.sbomName(), p.Version, p.download, spdxPurpose(p.Kind))
	if hash := p.hash(); hash != "" {
		out.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hash}}
	}
	if p.Time != nil {
		out.ReleaseDate = spdx.Time(*p.Time)
	}
	spdx.Refer(out, common.CategoryPackageManager, common.TypePackageManagerPURL, p.purl)
	spdx.Refer(out, common.CategorySecurity, common.TypeSecurityCPE23Type, p.cpe)
	spdx.Refer(out, common.CategoryOther, spdx.H1, p.H1)
	spdx.Refer(out, common.CategoryOther, "go-sum-go-mod-h1", p.GoModH1)
	if p.Origin != "" {
		out.PackageSourceInfo = "had from " + p.Origin
	}
	return out
}
