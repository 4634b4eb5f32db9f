package bundle

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
)

// documentBase, with the digest of a bundle, is the name of the software bill of materials of it: documents of the same
// bundle have the same name.
const documentBase = "https://github.com/larder-build/larder/sbom/"

// noAssertion is how SPDX says that nothing is said: a bundle doesn't know licences, see larder audit.
const noAssertion = "NOASSERTION"

// A product is an item as the formats for bills of materials have it.
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
			p.purl = goPURL(i.Name, i.Version, "")
		case KindToolchain:
			p.purl = goPURL(i.Name, i.toolchain().Version, "")
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
			p.purl = goPURL(module, i.Version, strings.TrimPrefix(strings.TrimPrefix(i.Name, module), "/"))
		}
		list = append(list, p)
	}
	return list, nil
}

// released matches versions of Go releases, which are not betas or release candidates.
var released = regexp.MustCompile(`^[0-9]+(\.[0-9]+)+$`)

// moduleOf returns the module that a tool's package is in.
func moduleOf(tool Item, items []Item) (found Item, ok bool) {
	for _, i := range items {
		in := tool.Name == i.Name || strings.HasPrefix(tool.Name, i.Name+"/")
		if i.Kind == KindModule && i.Version == tool.Version && in && len(i.Name) > len(found.Name) {
			found, ok = i, true
		}
	}
	return found, ok
}

// documentID returns a name that says what the item is and is no other item's.
func (i Item) documentID() string {
	sum := sha256.Sum256([]byte(i.ID()))
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' {
			return r
		}
		return '-'
	}, i.ID())
	return plain + "-" + hex.EncodeToString(sum[:4])
}

// download returns the URL that an item's file was had from, or "" where its origin is no web server.
func (i Item) download() string {
	names, err := i.files()
	u, parseErr := url.Parse(i.Origin)
	if err != nil || parseErr != nil || len(names) == 0 || i.Kind == KindFile || u.Scheme != "https" && u.Scheme != "http" {
		return ""
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.JoinPath(names[0]).String()
}

// goPURL returns the package URL of a Go module, or of a package in it. Its type golang has names in lower case.
func goPURL(module, version, subpath string) string {
	text := "pkg:golang/" + escapePURL(strings.ToLower(module)) + "@" + escapePURL(version)
	if subpath != "" {
		text += "#" + escapePURL(subpath)
	}
	return text
}

// imagePURL returns the package URL of an image, whose type oci has the repository's last element as its name.
func (i Item) imagePURL() string {
	named, err := reference.ParseNormalizedNamed(i.Name)
	if err != nil {
		return ""
	}
	qualifiers := url.Values{"repository_url": {named.Name()}}
	if tagged, ok := named.(reference.Tagged); ok {
		qualifiers.Set("tag", tagged.Tag())
	}
	if _, arch, ok := strings.Cut(i.Platform, "/"); ok && !strings.Contains(arch, ",") {
		qualifiers.Set("arch", arch)
	}
	var list []string
	for key, values := range qualifiers {
		list = append(list, key+"="+strings.ReplaceAll(escapePURL(values[0]), "/", "%2F"))
	}
	slices.Sort(list)
	return "pkg:oci/" + escapePURL(strings.ToLower(path.Base(named.Name()))) + "@" + escapePURL(i.Digest.String()) + "?" + strings.Join(list, "&")
}

// escapePURL escapes the elements of a path as package URLs do (ECMA-427): all but letters, digits, .-_~ and colons.
func escapePURL(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(".-_~:/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// sbomName returns what an item is called: of a go.mod file alone, not as the module, which isn't there.
func (p product) sbomName() string {
	if p.Kind == KindGoMod {
		return p.Name + "/go.mod"
	}
	return p.Name
}

// hash returns the hex SHA-256 of the file that the item is, or "" for a tool, of which a bundle has no file.
func (p product) hash() string {
	if p.Kind == KindTool {
		return ""
	}
	return p.Digest.Encoded()
}

func sbomTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
