package sbom

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/uuid"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/proof/spdx"
	"golang.org/x/mod/module"
)

// CycloneDX returns the bill of an image that Document makes as CycloneDX 1.6 in JSON (ECMA-424). In it the image depends on
// files and on packages of a distribution, and each file on its main module, the standard library and the modules that are
// linked into it. The base image is an ancestor of the image; toolchains are components whose scope is excluded, since they
// aren't in it. It is the same for the same arguments.
func CycloneDX(c *Contents, facts Facts, licenses Licenses) ([]byte, error) {
	d := &cycloneDX{licenses: licenses, seen: map[string]bool{}}
	root := cdx.Component{BOMRef: imageID, Type: cdx.ComponentTypeContainer, Name: facts.Name, Properties: properties("platform", facts.Platform)}
	if b := facts.Base; b != nil {
		root.Pedigree = &cdx.Pedigree{Ancestors: &[]cdx.Component{{
			BOMRef: baseID, Type: cdx.ComponentTypeContainer, Name: b.Name, Version: b.Digest, PackageURL: spdx.ImagePURL(b.Name, b.Digest, facts.Platform),
		}}}
	}
	var contained []string
	for _, b := range c.Binaries {
		contained = append(contained, d.binary(b, facts.Toolchains))
	}
	for _, p := range c.Packages {
		contained = append(contained, d.installed(p, c.Release))
	}
	d.dependsOn(imageID, contained)
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: spdx.Time(time.Unix(facts.Created, 0)),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: creator, Version: facts.Larder}}},
		Component: &root,
	}
	bom.Components, bom.Dependencies = &d.components, &d.dependencies
	return named(bom)
}

// named writes a document under a serial number that is a function of what is in it.
func named(bom *cdx.BOM) ([]byte, error) {
	write := func() ([]byte, error) {
		var out bytes.Buffer
		err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(bom, cdx.SpecVersion1_6)
		return out.Bytes(), err
	}
	data, err := write()
	if err != nil {
		return nil, err
	}
	bom.SerialNumber = uuid.NewSHA1(uuid.NameSpaceURL, append([]byte(spdx.Namespace), data...)).URN()
	return write()
}

// cycloneDX is a document that is added to. References are the ids that the SPDX document has.
type cycloneDX struct {
	components   []cdx.Component
	dependencies []cdx.Dependency
	licenses     Licenses
	seen         map[string]bool
}

// add adds a component unless it is there, and returns its reference.
func (d *cycloneDX) add(c cdx.Component) string {
	if !d.seen[c.BOMRef] {
		d.seen[c.BOMRef] = true
		d.components = append(d.components, c)
	}
	return c.BOMRef
}

func (d *cycloneDX) dependsOn(ref string, on []string) {
	d.dependencies = append(d.dependencies, cdx.Dependency{Ref: ref, Dependencies: &on})
}

func (d *cycloneDX) binary(b Binary, toolchains []Toolchain) string {
	id := d.add(cdx.Component{
		BOMRef: spdx.ID("file " + b.Path), Type: cdx.ComponentTypeFile, Name: b.Path,
		Hashes:     &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA1, Value: b.SHA1}, {Algorithm: cdx.HashAlgoSHA256, Value: b.SHA256}},
		Properties: properties("go-version", b.Info.GoVersion, "settings", strings.Join(b.Settings(), "\n")),
	})
	linked := []string{d.module(Module{Version: b.Main()}, cdx.ComponentTypeApplication), d.standardLibrary(b.Toolchain())}
	for _, m := range b.Modules() {
		linked = append(linked, d.module(m, cdx.ComponentTypeLibrary))
	}
	d.dependsOn(id, compact(linked))
	for _, t := range toolchains {
		if t.Version == b.Toolchain() {
			m := Module{Version: module.Version{Path: gomod.ToolchainPath, Version: t.Module}, H1: t.H1}
			tool := component(m, cdx.ComponentTypeApplication)
			tool.Scope = cdx.ScopeExcluded
			d.add(tool)
		}
	}
	return id
}

func (d *cycloneDX) module(m Module, kind cdx.ComponentType) string {
	c := component(m, kind)
	if ids := d.licenses(m); len(ids) > 0 && kind == cdx.ComponentTypeLibrary {
		c.Licenses = &cdx.Licenses{{Expression: strings.Join(ids, " AND ")}}
	}
	return d.add(c)
}

func component(m Module, kind cdx.ComponentType) cdx.Component {
	c := cdx.Component{
		BOMRef: spdx.ID(strings.TrimSpace(fmt.Sprintf("module %s %s", m.Version, m.H1))), Type: kind, Name: m.Path, Version: m.Version.Version,
		Properties: properties("h1", m.H1, "replaces", m.Replaces),
	}
	if !strings.HasPrefix(m.Path, ".") && !strings.HasPrefix(m.Path, "/") { // a folder has no package URL
		c.PackageURL = spdx.GoPURL(m.Path, m.Version.Version, "")
	}
	return c
}

func (d *cycloneDX) standardLibrary(toolchain string) string {
	version := strings.TrimPrefix(toolchain, "go")
	c := cdx.Component{
		BOMRef: spdx.ID("module " + StandardLibrary + "@" + version), Type: cdx.ComponentTypeLibrary, Name: StandardLibrary, Version: version,
		PackageURL: spdx.GoPURL(StandardLibrary, version, ""), Licenses: &cdx.Licenses{{Expression: "BSD-3-Clause"}},
	}
	if released.MatchString(version) {
		c.CPE = "cpe:2.3:a:golang:go:" + version + ":*:*:*:*:*:*:*"
	}
	return d.add(c)
}

func (d *cycloneDX) installed(p Package, r Release) string {
	c := cdx.Component{
		BOMRef: spdx.ID(fmt.Sprintf("%s %s %s %s", p.Kind, p.Name, p.Version, p.Arch)), Type: cdx.ComponentTypeLibrary, Name: p.Name, Version: p.Version,
		PackageURL: p.purl(r),
	}
	switch {
	case expression.MatchString(p.License):
		c.Licenses = &cdx.Licenses{{Expression: p.License}}
	case p.License != "":
		c.Licenses = &cdx.Licenses{{License: &cdx.License{Name: p.License}}}
	}
	return d.add(c)
}

// properties returns the pairs of names and values that have a value.
func properties(pairs ...string) *[]cdx.Property {
	list := []cdx.Property{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			list = append(list, cdx.Property{Name: "larder:" + pairs[i], Value: pairs[i+1]})
		}
	}
	return &list
}
