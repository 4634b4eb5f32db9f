package bundle

import (
	"cmp"
	"context"
	"net/url"
	"regexp"
	"strings"

	"github.com/larder-build/larder/internal/proof/spdx"
	"github.com/larder-build/larder/internal/redact"
)

// A product is an item with the values that formats for bills of materials need.
type product struct {
	Item
	id        string   // in the document: letters, digits, dots and hyphens
	purl      string   // package URL; empty if the item is no package
	cpe       string   // of toolchains, which vulnerability databases know by it
	download  string   // URL; empty if it isn't known
	dependsOn []string // ids
}

// products returns all items of the bundle, sorted.
func (b *Bundle) products(ctx context.Context) ([]product, error) {
	items, err := b.Items(ctx)
	if err != nil {
		return nil, err
	}
	var list []product
	for _, i := range items {
		p := product{Item: i, id: i.documentID(), download: i.download()}
		switch i.Kind {
		case KindModule:
			p.purl = spdx.GoPURL(i.Name, i.Version, "")
		case KindToolchain:
			p.purl = spdx.GoPURL(i.Name, i.toolchain().Version, "")
			if version, ok := strings.CutPrefix(i.Version, "go"); ok && released.MatchString(version) {
				p.cpe = "cpe:2.3:a:golang:go:" + version + ":*:*:*:*:*:*:*"
			}
		case KindImage:
			p.purl, p.Version = i.imagePURL(), i.Digest.String()
		case KindTool:
			of, ok := moduleOf(i, items)
			if ok {
				p.dependsOn = []string{of.documentID()}
			}
			module := cmp.Or(of.Name, i.Name)
			p.purl = spdx.GoPURL(module, i.Version, strings.TrimPrefix(strings.TrimPrefix(i.Name, module), "/"))
		}
		list = append(list, p)
	}
	return list, nil
}

// released matches versions of Go releases, which are not betas or release candidates.
var released = regexp.MustCompile(`^[0-9]+(\.[0-9]+)+$`)

// moduleOf returns the item of the module that a tool's package is in.
func moduleOf(tool Item, items []Item) (found Item, ok bool) {
	for _, i := range items {
		in := tool.Name == i.Name || strings.HasPrefix(tool.Name, i.Name+"/")
		if i.Kind == KindModule && i.Version == tool.Version && in && len(i.Name) > len(found.Name) {
			found, ok = i, true
		}
	}
	return found, ok
}

// documentID returns an id for the item that no other item has.
func (i Item) documentID() string { return spdx.ID(i.ID()) }

// download returns the URL from which an item's file was fetched, or "" if its origin is no web server.
func (i Item) download() string {
	if i.Kind == KindAnswer {
		return i.Name
	}
	names, err := i.files()
	u, parseErr := url.Parse(redact.URL(i.Origin))
	if err != nil || parseErr != nil || len(names) == 0 || i.Kind == KindFile || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.Fragment = ""
	return u.JoinPath(names[0]).String()
}

// imagePURL returns the package URL of an image, or "" if the item has no image's name.
func (i Item) imagePURL() string { return spdx.ImagePURL(i.Name, i.Digest.String(), i.Platform) }

// sbomName returns the name of an item in a bill of materials. An item that has only a go.mod file is named differently
// from the module, which isn't there.
func (p product) sbomName() string {
	if p.Kind == KindGoMod {
		return p.Name + "/go.mod"
	}
	return p.Name
}

// hash returns the hex SHA-256 of the item's file, or "" for a tool, which has no file in a bundle.
func (p product) hash() string {
	if p.Kind == KindTool {
		return ""
	}
	return p.Digest.Encoded()
}
