package audit

import (
	"context"
	"fmt"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/proof/sbom"
	"github.com/larder-build/larder/internal/proof/verify"
	"github.com/opencontainers/go-digest"
	"golang.org/x/mod/module"
)

// An Image is a built image for one platform. What is audited of it is its programs of Go: each says by its build info what
// is linked into it.
type Image struct {
	Name     string        `json:"name"`   // as the user gave it
	Digest   digest.Digest `json:"digest"` // of its manifest
	Platform string        `json:"platform"`
	Programs []Program     `json:"programs"` // sorted by path

	purls []string // by its own digest, and by that of the index that it is an entry of
}

// A Program is a file that the go command built.
type Program struct {
	Path      string `json:"path"` // in the image, absolute
	Main      string `json:"main"` // PATH@VERSION of its main module, or PATH
	Toolchain string `json:"toolchain"`

	file    string           // where it is on this machine
	modules []module.Version // with the main one
}

// Images reads the images of a layout, which was opened as name: one for each platform. The programs stay in keep until they
// were audited.
func Images(ctx context.Context, l *oci.Layout, name string, keep *verify.Keep, p progress.Reporter) ([]Image, error) {
	list, err := l.Images(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no image", name)
	}
	contents, err := verify.Contents(ctx, list, keep, p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var out []Image
	for n, i := range list {
		image := Image{Name: name, Digest: i.Digest, Platform: i.Platform, Programs: []Program{}}
		digests := []digest.Digest{i.Digest}
		if root := l.Index.Manifests; len(root) == 1 {
			digests = append(digests, root[0].Digest)
		}
		image.purls = imagePURLs(l.Reference(), name, i.Platform, digests...)
		for _, b := range contents[n].Binaries {
			image.Programs = append(image.Programs, newProgram(b, keep.File(b)))
		}
		out = append(out, image)
	}
	return out, nil
}

func newProgram(b sbom.Binary, file string) Program {
	p := Program{Path: b.Path, Main: b.Main().String(), Toolchain: b.Toolchain(), file: file}
	if b.Main().Version != "" {
		p.modules = append(p.modules, b.Main())
	}
	for _, m := range b.Modules() {
		if m.Version.Version != "" {
			p.modules = append(p.modules, m.Version)
		}
	}
	return p
}

// trees returns each program as a list of what is linked into it.
func (i *Image) trees() (list []Tree) {
	for n := range i.Programs {
		p := &i.Programs[n]
		list = append(list, Tree{
			Name: i.Name + " " + i.Platform + " " + p.Path, Modules: p.modules, Toolchains: []string{p.Toolchain},
			program: p, image: i,
		})
	}
	return list
}
