package audit

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/internal/proof/spdx"
	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/module"
)

// The parts of OpenVEX 0.2.0 that are used here: https://github.com/openvex/spec/blob/main/OPENVEX-SPEC.md.
type (
	vexDocument struct {
		Context    string         `json:"@context"`
		ID         string         `json:"@id"`
		Author     string         `json:"author"`
		Timestamp  string         `json:"timestamp"`
		Version    int            `json:"version"`
		Tooling    string         `json:"tooling"`
		Statements []vexStatement `json:"statements"`
	}
	vexStatement struct {
		Vulnerability   vexVulnerability `json:"vulnerability"`
		Products        []vexProduct     `json:"products"`
		Status          string           `json:"status"`
		StatusNotes     string           `json:"status_notes,omitempty"`
		Justification   string           `json:"justification,omitempty"`
		ImpactStatement string           `json:"impact_statement,omitempty"`
		ActionStatement string           `json:"action_statement,omitempty"`
	}
	vexVulnerability struct {
		ID          string   `json:"@id"`
		Name        string   `json:"name"`
		Description string   `json:"description,omitempty"`
		Aliases     []string `json:"aliases,omitempty"`
	}
	vexProduct struct {
		vexComponent
		Subcomponents []vexComponent `json:"subcomponents"`
	}
	vexComponent struct {
		ID          string            `json:"@id"`
		Identifiers map[string]string `json:"identifiers"`
	}
)

// exposure is what a vulnerability's finding says beside its message.
type exposure struct {
	reach    reachability
	program  bool   // of an image, rather than of source
	products string // package URLs of what has the vulnerable module, with spaces between them; empty if it is no product
	summary  string // of the vulnerability
	aliases  string // of the vulnerability, with spaces between them
	how      string // the reach in words
}

// product tells findings apart that are alike but for what has the vulnerability.
func (f Finding) product() string {
	if f.exposure == nil {
		return ""
	}
	return f.exposure.products
}

// takeExposures returns the findings of vulnerabilities, and takes from all findings what isn't shown of them.
func takeExposures(findings []Finding) (list []Finding) {
	for i := range findings {
		if findings[i].exposure != nil {
			list = append(list, findings[i])
			findings[i].exposure = nil
		}
	}
	return list
}

// WriteOpenVEX writes what is known of the vulnerabilities in the modules in use as an OpenVEX document by an author, made by
// a version of larder: of each whether the product is affected, and if not, why. The same report gives the same document.
func (r *Report) WriteOpenVEX(w io.Writer, author, version string) error {
	doc := vexDocument{
		Context: "https://openvex.dev/ns/v0.2.0", Author: author, Timestamp: spdx.Time(r.Time), Version: 1,
		Tooling: "larder audit " + version, Statements: r.statements(),
	}
	data, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	doc.ID = "https://github.com/larder-build/larder/vex/" + hex.EncodeToString(sum[:])
	return writeJSON(w, doc)
}

// statements makes one statement for each vulnerability of each module in each product. A product may be several programs:
// that which reaches farthest decides.
func (r *Report) statements() []vexStatement {
	type subject struct {
		id, products string
		module       module.Version
	}
	worst := map[subject]Finding{}
	for _, f := range r.exposed {
		if f.exposure.products == "" {
			continue
		}
		s := subject{f.ID, f.exposure.products, module.Version{Path: f.Module, Version: f.Version}}
		if old, ok := worst[s]; !ok || f.exposure.weight() > old.exposure.weight() {
			worst[s] = f
		}
	}
	out := []vexStatement{}
	for _, f := range worst {
		out = append(out, f.statement())
	}
	slices.SortFunc(out, func(a, b vexStatement) int {
		return cmp.Or(strings.Compare(a.Vulnerability.Name, b.Vulnerability.Name), strings.Compare(a.Products[0].ID, b.Products[0].ID),
			strings.Compare(a.Products[0].Subcomponents[0].ID, b.Products[0].Subcomponents[0].ID))
	})
	return out
}

// weight orders exposures: what is known to be affected is so, whatever isn't known beside it.
func (e *exposure) weight() int {
	return slices.Index([]reachability{required, imported, unknown, called}, e.reach)
}

func (f Finding) statement() vexStatement {
	s := vexStatement{Vulnerability: vexVulnerability{
		ID: "https://pkg.go.dev/vuln/" + f.ID, Name: f.ID, Description: plain(f.exposure.summary), Aliases: strings.Fields(f.exposure.aliases),
	}}
	for product := range strings.FieldsSeq(f.exposure.products) {
		s.Products = append(s.Products, vexProduct{component(product), []vexComponent{component(modulePURL(f.Module, f.Version))}})
	}
	switch f.exposure.reach {
	case called:
		s.Status, s.StatusNotes, s.ActionStatement = "affected", f.exposure.how, f.Do
	case unknown:
		s.Status, s.StatusNotes = "under_investigation", f.exposure.how
	default:
		s.Status, s.Justification, s.ImpactStatement = "not_affected", "vulnerable_code_not_present", f.exposure.how
		if f.exposure.reach == imported && !f.exposure.program {
			s.Justification = "vulnerable_code_not_in_execute_path"
		}
	}
	return s
}

func component(purl string) vexComponent {
	return vexComponent{purl, map[string]string{"purl": purl}}
}

// modulePURL returns the package URL of a module, as the bills of materials of images have it.
func modulePURL(path, version string) string {
	if path == stdlib {
		version = strings.TrimPrefix(version, "v")
	}
	return spdx.GoPURL(path, version, "")
}

// products returns the package URLs of what a service becomes: of a module, or of the image that a program is in.
func (s *service) products() string {
	switch {
	case s.tree.image != nil:
		return strings.Join(s.tree.image.purls, " ")
	case s.tree.FS == nil:
		return ""
	}
	return spdx.GoPURL(s.mod.Module.Mod.Path, "", "")
}

// imagePURLs returns the package URLs of an image by digests, which are its own and that of the index that it is an entry of:
// a tag stands for either. The repository is left out if it isn't known; file is what the image was read from.
func imagePURLs(repository, file, platform string, digests ...digest.Digest) (list []string) {
	named, err := reference.ParseNormalizedNamed(repository)
	for _, d := range slices.Compact(digests) {
		if repository != "" && err == nil {
			list = append(list, spdx.ImagePURL(named.Name(), d.String(), platform)) // a tag may move
			continue
		}
		_, arch, _ := strings.Cut(platform, "/")
		name := strings.TrimSuffix(path.Base(filepath.ToSlash(file)), ".tar")
		list = append(list, spdx.PURL("oci", "", name, d.String(), map[string]string{"arch": arch}))
	}
	return list
}
