package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/proof/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"golang.org/x/mod/module"
)

// Facts are what a build knows about its image. The step that makes the bill gets them as JSON.
type Facts struct {
	Name       string      `json:"name"`     // what the image is called in the bill
	Platform   string      `json:"platform"` // linux/arm64
	Created    int64       `json:"created"`  // Unix time in seconds
	Larder     string      `json:"larder"`   // version
	Base       *Base       `json:"base,omitempty"`
	Toolchains []Toolchain `json:"toolchains,omitempty"`
	CycloneDX  bool        `json:"cyclonedx,omitempty"` // the bill is wanted in that format, too
}

// A Base is the base image of an image.
type Base struct {
	Name   string `json:"name"`
	Digest string `json:"digest"` // empty if the definition doesn't say
}

// A Toolchain is a toolchain that the build has unpacked, as a version of golang.org/toolchain.
type Toolchain struct {
	Version string `json:"version"` // go1.26.8
	Module  string `json:"module"`  // the version of golang.org/toolchain
	H1      string `json:"h1"`      // empty if it was checked by the checksum database alone
}

// Licenses returns the licences of a linked module, as SPDX identifiers; none if they aren't known.
type Licenses func(Module) []string

// These are the ids of elements that occur once.
const (
	imageID = "image"
	baseID  = "base"
)

// creator is the creator of annotations.
const creator = "larder"

// Document returns the bill of an image: SPDX 2.3 in JSON. In it the image CONTAINS files and packages of a
// distribution. Each file STATIC_LINKs modules and the standard library and is GENERATED_FROM its main module.
// Toolchains are the BUILD_TOOL_OF files. The same arguments give the same document.
func Document(c *Contents, facts Facts, licenses Licenses) ([]byte, error) {
	created := time.Unix(facts.Created, 0)
	d := &document{Document: spdx.NewDocument(facts.Name, "", facts.Larder, created), created: created, licenses: licenses, seen: map[string]bool{}}
	d.add(spdx.NewPackage(imageID, facts.Name, "", "", "CONTAINER"))
	d.Relate("DOCUMENT", common.TypeRelationshipDescribe, imageID)
	if b := facts.Base; b != nil {
		base := spdx.NewPackage(baseID, b.Name, b.Digest, "", "CONTAINER")
		spdx.Refer(base, common.CategoryPackageManager, common.TypePackageManagerPURL, spdx.ImagePURL(b.Name, b.Digest, facts.Platform))
		d.add(base)
		d.Relate(imageID, common.TypeRelationshipDescendantOf, baseID)
	}
	for _, b := range c.Binaries {
		d.binary(b, facts.Toolchains)
	}
	for _, p := range c.Packages {
		d.installed(p, c.Release)
	}
	return d.named()
}

type document struct {
	*spdx.Document
	created  time.Time
	licenses Licenses
	seen     map[string]bool // ids of packages
}

// named writes the document under a name that depends only on its content.
func (d *document) named() ([]byte, error) {
	var out bytes.Buffer
	if err := d.Write(&out); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(out.Bytes())
	d.DocumentNamespace += hex.EncodeToString(sum[:])
	out.Reset()
	err := d.Write(&out)
	return out.Bytes(), err
}

// add adds a package unless it is there.
func (d *document) add(p *v2_3.Package) {
	id := string(p.PackageSPDXIdentifier)
	if d.seen[id] {
		return
	}
	d.seen[id] = true
	d.Packages = append(d.Packages, p)
}

func (d *document) binary(b Binary, toolchains []Toolchain) {
	id := spdx.ID("file " + b.Path)
	d.Files = append(d.Files, &v2_3.File{
		FileName: b.Path, FileSPDXIdentifier: common.ElementID(id), FileTypes: []string{"BINARY"},
		Checksums:        []common.Checksum{{Algorithm: common.SHA1, Value: b.SHA1}, {Algorithm: common.SHA256, Value: b.SHA256}},
		LicenseConcluded: spdx.NoAssertion, LicenseInfoInFiles: []string{spdx.NoAssertion}, FileCopyrightText: spdx.NoAssertion,
		Annotations: d.settings(b),
	})
	d.Relate(imageID, common.TypeRelationshipContains, id)
	d.Relate(id, common.TypeRelationshipGeneratedFrom, d.module(Module{Version: b.Main()}, "APPLICATION"))
	d.Relate(id, common.TypeRelationshipStaticLink, d.standardLibrary(b.Toolchain()))
	for _, m := range b.Modules() {
		of := d.module(m, "LIBRARY")
		d.Relate(id, common.TypeRelationshipStaticLink, of)
		d.license(of, m)
	}
	for _, t := range toolchains {
		if t.Version == b.Toolchain() {
			d.Relate(d.module(Module{Version: module.Version{Path: gomod.ToolchainPath, Version: t.Module}, H1: t.H1}, "APPLICATION"), common.TypeRelationshipBuildToolOf, id)
		}
	}
}

// settings returns annotations with the build settings of a binary.
func (d *document) settings(b Binary) []v2_3.Annotation {
	return []v2_3.Annotation{{
		Annotator:      common.Annotator{Annotator: creator, AnnotatorType: "Tool"},
		AnnotationDate: spdx.Time(d.created), AnnotationType: "OTHER",
		AnnotationComment: strings.Join(append([]string{"built with " + b.Info.GoVersion + ":"}, b.Settings()...), "\n"),
	}}
}

// module adds a module, and returns its id.
func (d *document) module(m Module, purpose string) string {
	id := spdx.ID(strings.TrimSpace(fmt.Sprintf("module %s %s", m.Version, m.H1)))
	p := spdx.NewPackage(id, m.Path, m.Version.Version, "", purpose)
	if !strings.HasPrefix(m.Path, ".") && !strings.HasPrefix(m.Path, "/") { // a folder has no package URL
		spdx.Refer(p, common.CategoryPackageManager, common.TypePackageManagerPURL, spdx.GoPURL(m.Path, m.Version.Version, ""))
	}
	spdx.Refer(p, common.CategoryOther, spdx.H1, m.H1)
	if m.Replaces != "" {
		p.PackageComment = "in the place of " + m.Replaces
	}
	d.add(p)
	return id
}

// standardLibrary adds the standard library, which vulnerability databases know as the module stdlib, and returns its id.
func (d *document) standardLibrary(toolchain string) string {
	version := strings.TrimPrefix(toolchain, "go")
	id := spdx.ID("module " + StandardLibrary + "@" + version)
	p := spdx.NewPackage(id, StandardLibrary, version, "", "LIBRARY")
	spdx.Refer(p, common.CategoryPackageManager, common.TypePackageManagerPURL, spdx.GoPURL(StandardLibrary, version, ""))
	if released.MatchString(version) {
		spdx.Refer(p, common.CategorySecurity, common.TypeSecurityCPE23Type, "cpe:2.3:a:golang:go:"+version+":*:*:*:*:*:*:*")
	}
	p.PackageLicenseDeclared = "BSD-3-Clause"
	d.add(p)
	return id
}

// StandardLibrary is the name that the standard library has as a package.
const StandardLibrary = "stdlib"

// released matches versions of Go releases, which are not betas or release candidates.
var released = regexp.MustCompile(`^[0-9]+(\.[0-9]+)+$`)

// license sets the licences of a module.
func (d *document) license(id string, m Module) {
	p := d.Packages[len(d.Packages)-1]
	if string(p.PackageSPDXIdentifier) != id || p.PackageLicenseDeclared != spdx.NoAssertion {
		return // it was added before
	}
	if ids := d.licenses(m); len(ids) > 0 {
		p.PackageLicenseDeclared = strings.Join(ids, " AND ")
	}
}

// expression matches texts that may be SPDX expressions: distributions use other texts too.
var expression = regexp.MustCompile(`^\(*[A-Za-z0-9.+-]+\)*( (AND|OR|WITH) \(*[A-Za-z0-9.+-]+\)*)*$`)

// installed adds a package of a distribution.
func (d *document) installed(p Package, r Release) {
	id := spdx.ID(fmt.Sprintf("%s %s %s %s", p.Kind, p.Name, p.Version, p.Arch))
	out := spdx.NewPackage(id, p.Name, p.Version, "", "LIBRARY")
	spdx.Refer(out, common.CategoryPackageManager, common.TypePackageManagerPURL, p.purl(r))
	if expression.MatchString(p.License) {
		out.PackageLicenseDeclared = p.License
	} else if p.License != "" {
		out.PackageLicenseComments = "the package says: " + p.License
	}
	d.add(out)
	d.Relate(imageID, common.TypeRelationshipContains, id)
}

// purl returns the package URL of a package of a distribution.
func (p Package) purl(r Release) string {
	qualifiers := map[string]string{"arch": p.Arch, "upstream": p.Source}
	if r.ID != "" && r.Version != "" {
		qualifiers["distro"] = r.ID + "-" + r.Version
	}
	return spdx.PURL(p.Kind, r.ID, p.Name, p.Version, qualifiers)
}
