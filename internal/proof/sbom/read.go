package sbom

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/larder-build/larder/internal/proof/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"golang.org/x/mod/module"
)

// A Listed is a binary that a bill lists.
type Listed struct {
	SHA256 string
	Linked []string // its modules, each as Link has it, sorted
}

// Link returns a text that identifies a linked module in comparisons. It has the path, the version and the sum, as far
// as they are known.
func (m Module) Link() string {
	return strings.TrimSpace(strings.Join([]string{m.Path, m.Version.Version, m.H1}, " "))
}

// Linked returns the texts of Link for the modules that are linked into the binary, including the standard library,
// sorted.
func (b *Binary) Linked() []string {
	links := []string{StandardLibrary + " " + strings.TrimPrefix(b.Toolchain(), "go")}
	for _, m := range b.Modules() {
		links = append(links, m.Link())
	}
	return compact(links)
}

// bill has the parts of a document that are read. The library that writes documents panics on some of them, and this
// one may come from anybody.
type bill struct {
	Namespace string `json:"documentNamespace"`
	Packages  []struct {
		ID      string `json:"SPDXID"`
		Name    string `json:"name"`
		Version string `json:"versionInfo"`
		Refs    []struct {
			Type    string `json:"referenceType"`
			Locator string `json:"referenceLocator"`
		} `json:"externalRefs"`
	} `json:"packages"`
	Files []struct {
		ID        string `json:"SPDXID"`
		Name      string `json:"fileName"`
		Checksums []struct {
			Algorithm string `json:"algorithm"`
			Value     string `json:"checksumValue"`
		} `json:"checksums"`
	} `json:"files"`
	Relationships []struct {
		A    string `json:"spdxElementId"`
		B    string `json:"relatedSpdxElement"`
		Type string `json:"relationshipType"`
	} `json:"relationships"`
}

// Read reads a bill that Document has made, whatever BuildKit has added to it, and returns the binaries by their paths.
// If another tool made the bill, the error says so: such a bill doesn't show which modules are linked into which file.
func Read(data []byte) (map[string]Listed, error) {
	var doc bill
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("it is no SPDX document: %w", err)
	}
	if !strings.HasPrefix(doc.Namespace, spdx.Namespace) {
		return nil, errors.New("it was not made by larder, and doesn't say what is linked into which file: build without generator=")
	}
	linked := doc.linked()
	files := map[string]Listed{}
	for _, f := range doc.Files {
		if _, twice := files[f.Name]; twice {
			return nil, fmt.Errorf("it lists %s twice", f.Name)
		}
		l := Listed{Linked: compact(linked[f.ID])}
		for _, sum := range f.Checksums {
			if sum.Algorithm == string(common.SHA256) {
				l.SHA256 = sum.Value
			}
		}
		files[f.Name] = l
	}
	return files, nil
}

// linked returns the modules that are linked into each file, by the file's id.
func (b *bill) linked() map[string][]string {
	links := map[string]string{}
	for _, p := range b.Packages {
		h1 := ""
		for _, ref := range p.Refs {
			if ref.Type == spdx.H1 {
				h1 = ref.Locator
			}
		}
		links[p.ID] = Module{Version: module.Version{Path: p.Name, Version: p.Version}, H1: h1}.Link()
	}
	linked := map[string][]string{}
	for _, r := range b.Relationships {
		if r.Type == common.TypeRelationshipStaticLink {
			linked[r.A] = append(linked[r.A], links[r.B])
		}
	}
	return linked
}
