// Package verify checks a finished image by its own bytes: every digest, the Go binaries in its layers against its bill
// of materials and against go.sum, and its signature. It trusts neither the build nor the registry.
package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/opencontainers/go-digest"
)

// spdxPredicate is the type of an attestation that is a bill of materials.
const spdxPredicate = "https://spdx.dev/Document"

// A Report is the result of checking an image, or an index of images.
type Report struct {
	Image     string        `json:"image"`  // as it was named
	Digest    digest.Digest `json:"digest"` // of the manifest or index that the name stands for
	Platforms []Platform    `json:"platforms"`
	Signers   []string      `json:"signers,omitempty"` // keys, as NAME+HASH
}

// A Platform is the result of checking the image for one platform.
type Platform struct {
	Platform string        `json:"platform"`
	Digest   digest.Digest `json:"digest"` // of the manifest
	Layers   int           `json:"layers"`
	Binaries []Binary      `json:"binaries"`
	Packages int           `json:"packages"` // of a distribution
	Problems []string      `json:"problems"` // where something disagrees; empty if nothing does
}

// A Binary is a Go binary in an image.
type Binary struct {
	Path      string   `json:"path"`
	SHA256    string   `json:"sha256"`
	Main      string   `json:"main"`      // module path
	Toolchain string   `json:"toolchain"` // go1.26.8
	Modules   int      `json:"modules"`
	Unchecked []string `json:"unchecked,omitempty"` // linked modules without a sum: vendored ones, and folders
}

// Problems returns all disagreements, with their platforms.
func (r *Report) Problems() []string {
	var all []string
	for _, p := range r.Platforms {
		for _, problem := range p.Problems {
			all = append(all, p.Platform+": "+problem)
		}
	}
	return all
}

// Image checks all images of a layout that is of one image or one index, called name. Unless sums is nil, it must list
// all modules that are linked into the binaries. The error says that something can't be read or is damaged. If an image
// is whole, but disagrees with its bill or with sums, the report says so.
func Image(ctx context.Context, l *oci.Layout, name string, sums *gomod.Set, p progress.Reporter) (*Report, error) {
	root, err := rootDigest(l, name)
	if err != nil {
		return nil, err
	}
	images, err := l.Images(ctx)
	if err != nil {
		return nil, err
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%s has no image", name)
	}
	contents, err := Contents(ctx, images, nil, p)
	if err != nil {
		return nil, err
	}
	r := &Report{Image: name, Digest: root}
	progress.Or(p).Begin("check binaries", binaries(contents), 0)
	for i, image := range images {
		checked, err := platform(ctx, image, contents[i], sums)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", image.Platform, err)
		}
		for _, b := range checked.Binaries {
			progress.Or(p).Done(b.Path, 0)
		}
		r.Platforms = append(r.Platforms, *checked)
	}
	return r, nil
}

// rootDigest returns the digest that stands for the whole layout.
func rootDigest(l *oci.Layout, name string) (digest.Digest, error) {
	var root digest.Digest
	for _, desc := range l.Index.Manifests {
		if root != "" && desc.Digest != root { // one image may have several names
			return "", fmt.Errorf("%s holds more than one image: export each by itself", name)
		}
		root = desc.Digest
	}
	if root == "" {
		return "", fmt.Errorf("%s is empty", name)
	}
	return root, nil
}

// binaries counts the Go binaries of images.
func binaries(contents []*sbom.Contents) (n int) {
	for _, c := range contents {
		n += len(c.Binaries)
	}
	return n
}

func platform(ctx context.Context, image *oci.Image, contents *sbom.Contents, sums *gomod.Set) (*Platform, error) {
	p := &Platform{Platform: image.Platform, Digest: image.Digest, Layers: len(image.Manifest.Layers), Packages: len(contents.Packages), Binaries: []Binary{}, Problems: []string{}}
	for _, b := range contents.Binaries {
		p.Binaries = append(p.Binaries, binary(b))
	}
	bills, err := image.Statements(ctx, spdxPredicate)
	if err != nil {
		return nil, err
	}
	p.Problems = append(p.Problems, compareBills(contents, bills)...)
	if sums != nil {
		p.Problems = append(p.Problems, compareSums(contents, *sums)...)
	}
	return p, nil
}

func binary(b sbom.Binary) Binary {
	out := Binary{Path: b.Path, SHA256: b.SHA256, Main: b.Main().Path, Toolchain: b.Toolchain()}
	for _, m := range b.Modules() {
		out.Modules++
		if m.H1 == "" {
			out.Unchecked = append(out.Unchecked, m.Version.String())
		}
	}
	return out
}

// compareBills compares an image with its bill of materials. There must be one bill.
func compareBills(c *sbom.Contents, bills []oci.Statement) []string {
	switch len(bills) {
	case 0:
		return []string{"it has no SBOM: build it with --sbom=true"}
	case 1:
	default:
		return []string{fmt.Sprintf("it has %d SBOMs, and larder makes one", len(bills))}
	}
	listed, err := sbom.Read(bills[0].Predicate)
	if err != nil {
		return []string{"the SBOM can't be compared: " + err.Error()}
	}
	var problems []string
	for _, b := range c.Binaries {
		l, ok := listed[b.Path]
		if !ok {
			problems = append(problems, b.Path+" is a binary of Go, and the SBOM doesn't list it")
			continue
		}
		delete(listed, b.Path)
		if l.SHA256 != b.SHA256 {
			problems = append(problems, fmt.Sprintf("%s has the SHA-256 %s, and the SBOM says %s", b.Path, b.SHA256, l.SHA256))
		}
		linked := b.Linked()
		for _, link := range linked {
			if !slices.Contains(l.Linked, link) {
				problems = append(problems, fmt.Sprintf("%s has %s linked in, and the SBOM doesn't list that", b.Path, link))
			}
		}
		for _, link := range l.Linked {
			if !slices.Contains(linked, link) {
				problems = append(problems, fmt.Sprintf("the SBOM says that %s has %s linked in, and it hasn't", b.Path, link))
			}
		}
	}
	for path := range listed {
		problems = append(problems, fmt.Sprintf("the SBOM lists %s, and there is no such binary of Go", path))
	}
	slices.Sort(problems)
	return problems
}

// compareSums compares the linked modules with go.sum. It ignores modules without a sum, which the report lists.
func compareSums(c *sbom.Contents, sums gomod.Set) []string {
	known := map[string]string{}
	for _, s := range sums.Zips() {
		known[s.Module().String()] = s.Hash
	}
	var problems []string
	for _, b := range c.Binaries {
		for _, m := range b.Modules() {
			want, ok := known[m.Version.String()]
			switch {
			case m.H1 == "":
			case !ok:
				problems = append(problems, fmt.Sprintf("%s has %s linked in, which go.sum doesn't list", b.Path, m.Version))
			case want != m.H1:
				problems = append(problems, fmt.Sprintf("%s has %s linked in with %s, and go.sum says %s", b.Path, m.Version, m.H1, want))
			}
		}
	}
	return problems
}

// Err returns an error with the number of disagreements, or nil.
func (r *Report) Err() error {
	switch n := len(r.Problems()); n {
	case 0:
		return nil
	case 1:
		return errors.New(r.Image + " disagrees with what is said of it: don't use it before you know why")
	default:
		return fmt.Errorf("%s disagrees with what is said of it in %d ways: don't use it before you know why", r.Image, n)
	}
}
