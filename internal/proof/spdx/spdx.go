// Package spdx writes documents of SPDX 2.3 in JSON (https://spdx.github.io/spdx-spec/v2.3) the way all of Larder's are:
// the same for the same contents, with package URLs and the h1 sums of go.sum. What goes into a document is for the
// packages bundle and sbom to say.
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
	// NoAssertion is how SPDX says that nothing is said.
	NoAssertion = "NOASSERTION"

	// H1 is the type of an external reference whose locator is a module's sum, as go.sum has it.
	H1 = "go-sum-h1"

	// Namespace begins the names of documents.
	Namespace = "https://github.com/larder-build/larder/sbom/"

	tool = "larder-"
)

// A Document is one to be added to and written.
type Document struct{ v2_3.Document }

// NewDocument returns a document by a version of larder. key tells what it is about, so that documents of the same things
// have the same name.
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

// NewPackage returns a package of which no more is said than this. An empty download location is one that isn't known.
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

// ID returns an element's id that says what text says and is no other text's.
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
