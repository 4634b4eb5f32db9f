package materials

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/proof/spdx"
	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/module"
)

const (
	// PredicateType is the type of an attestation whose predicate is a Predicate.
	PredicateType = "https://larder.build/materials/v1"
	// File is the name of the file with the predicate if the result is a folder.
	File = "larder-materials.json"
)

// A Predicate lists what an image is made of, as its build's definition shows it. The docs describe it:
// docs/guides/proofs.md.
type Predicate struct {
	Larder   string `json:"larder"` // version
	Platform string `json:"platform"`
	Hermetic bool   `json:"hermetic"`
	// NotHermetic has the reasons why the build isn't hermetic: see Report.NotHermetic. It is never nil.
	NotHermetic []string   `json:"notHermetic"`
	Steps       Steps      `json:"steps"`
	Materials   []Resource `json:"resolvedDependencies"`
}

// Steps counts the steps that run a command.
type Steps struct {
	Total   int      `json:"total"`
	Network []string `json:"network"` // names of those with a network
}

// A Resource is a material in the form of in-toto's ResourceDescriptor.
type Resource struct {
	Name        string            `json:"name"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// NewPredicate returns a report as a predicate, for a version of larder and the platform of the image.
func NewPredicate(larder, platform string, r Report) Predicate {
	reasons := r.NotHermetic()
	p := Predicate{
		Larder: larder, Platform: platform,
		Hermetic: len(reasons) == 0, NotHermetic: reasons,
		Steps:     Steps{Total: r.Steps, Network: append([]string{}, r.Network...)},
		Materials: []Resource{},
	}
	for _, t := range r.Toolchains {
		_, version, _ := t.Release()
		p.Materials = append(p.Materials, goModule(module.Version{Path: gomod.ToolchainPath, Version: version}, t.H1))
	}
	for _, m := range r.Modules {
		p.Materials = append(p.Materials, goModule(m.Module(), m.Hash))
	}
	if r.Bundle != nil {
		p.Materials = append(p.Materials, r.Bundle.resource())
	}
	for _, c := range r.Compiled {
		p.Materials = append(p.Materials, c.resource())
	}
	for _, s := range r.Sources {
		p.Materials = append(p.Materials, s.resource())
	}
	return p
}

// Release returns the toolchain's release, such as go1.26.8, and its version as a module. It returns false if this
// larder doesn't know the toolchain's sum.
func (t Toolchain) Release() (release, version string, ok bool) {
	release, platform := t.Version, t.Platform
	if t.H1 != "" {
		pinned, on, ok := gotoolchain.Pinned(t.H1)
		if !ok {
			return "", "", false
		}
		release, platform = pinned.Version, on
	}
	goos, goarch, _ := strings.Cut(platform, "/")
	return release, gotoolchain.Toolchain{Version: release}.ModuleVersion(goos, goarch), true
}

// goModule returns a module as a material. In-toto's name for the h1 sum, in hex, is the digest dirHash.
func goModule(m module.Version, h1 string) Resource {
	r := Resource{Name: m.String(), URI: spdx.GoPURL(m.Path, m.Version, "")}
	if h1 == "" {
		r.Annotations = map[string]string{"checkedBy": "the checksum database, when it was unpacked"}
		return r
	}
	r.Annotations = map[string]string{"h1": h1}
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(h1, "h1:")); err == nil {
		r.Digest = map[string]string{"dirHash": hex.EncodeToString(sum)}
	}
	return r
}

func (s Source) resource() Resource {
	r := Resource{Name: s.Name, Annotations: map[string]string{"kind": string(s.Kind)}}
	switch {
	case s.Kind == Image:
		r.URI = spdx.ImagePURL(s.Name, s.Digest, s.Platform)
	case s.Kind != Local:
		r.URI = s.Name
	}
	if s.Digest == "" {
		return r
	}
	if d, err := digest.Parse(s.Digest); err == nil {
		r.Digest = map[string]string{d.Algorithm().String(): d.Encoded()}
	} else {
		r.Digest = map[string]string{"gitCommit": s.Digest}
	}
	return r
}
