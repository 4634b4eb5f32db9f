// Package spdx writes documents of SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3). All of Larder's documents
// come from it, so they all have package URLs and the h1 sums of go.sum, and the same content gives the same document.
// The packages bundle and sbom decide the content.
package spdx

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	// NoAssertion is SPDX's word for an unknown value.
	NoAssertion = "NOASSERTION"

	// H1 is the type of an external reference whose locator is a module's sum, in the form of go.sum.
	H1 = "go-sum-h1"

	// Namespace begins the names of documents.
	Namespace = "https://github.com/larder-build/larder/sbom/"

	tool = "larder-"
)

// A Document is a document that is being made.
type Document struct{ v2_3.Document }

// NewDocument returns a document by a version of larder. The key identifies the document's subject, so that documents
// about the same things have the same name.
func NewDocument(name, key, version string, created time.Time) *Document {
	return &Document{v2_3.Document{
		SPDXVersion:       v2_3.Version,
		DataLicense:       v2_3.DataLicense,
		SPDXIdentifier:    "DOCUMENT",
		DocumentName:      name,
		DocumentNamespace: Namespace + key,
		CreationInfo:      &v2_3.CreationInfo{Creators: []common.Creator{{CreatorType: "Tool", Creator: tool + version}}, Created: Time(created)},
	}}
}

// Relate adds a relationship between two elements, given by their ids.
func (d *Document) Relate(a, relation, b string) {
	d.Relationships = append(d.Relationships, &v2_3.Relationship{RefA: common.MakeDocElementID("", a), RefB: common.MakeDocElementID("", b), Relationship: relation})
}

// Write writes the document as JSON.
func (d *Document) Write(w io.Writer) error {
	return spdxjson.Write(&d.Document, w, spdxjson.Indent("  "), spdxjson.EscapeHTML(false))
}

// NewPackage returns a package with only these fields. An empty download location means that it isn't known.
func NewPackage(id, name, version, download, purpose string) *v2_3.Package {
	if download == "" {
		download = NoAssertion
	}
	return &v2_3.Package{
		PackageName: name, PackageSPDXIdentifier: common.ElementID(id), PackageVersion: version, PackageDownloadLocation: download,
		PackageLicenseConcluded: NoAssertion, PackageLicenseDeclared: NoAssertion, PackageCopyrightText: NoAssertion,
		PrimaryPackagePurpose: purpose,
	}
}

// Refer adds an external reference to a package, unless the locator is empty.
func Refer(p *v2_3.Package, category, kind, locator string) {
	if locator != "" {
		p.PackageExternalReferences = append(p.PackageExternalReferences, &v2_3.PackageExternalReference{Category: category, RefType: kind, Locator: locator})
	}
}

// ID returns an element's id that is readable and different for each text.
func ID(text string) string {
	sum := sha256.Sum256([]byte(text))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, text)
	return plain + "-" + hex.EncodeToString(sum[:4])
}

// Time returns a time as SPDX and CycloneDX have it: UTC, in seconds.
func Time(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
