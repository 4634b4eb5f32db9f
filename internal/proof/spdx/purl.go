package spdx

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
)

// GoPURL returns the package URL of a Go module or, with a subpath, of a package in it. An empty version is left out.
// The type golang has names in lower case.
func GoPURL(module, version, subpath string) string {
	text := "pkg:golang/" + escape(strings.ToLower(module))
	if version != "" {
		text += "@" + escape(version)
	}
	if subpath != "" {
		text += "#" + escape(subpath)
	}
	return text
}

// ImagePURL returns the package URL of an image, whose type oci has the repository's last element as its name; "" for a
// name that is no reference. platform is OS/ARCHITECTURE; it is left out where it names none or several.
func ImagePURL(name, digest, platform string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	qualifiers := map[string]string{"repository_url": named.Name()}
	if tagged, ok := named.(reference.Tagged); ok {
		qualifiers["tag"] = tagged.Tag()
	}
	if _, arch, ok := strings.Cut(platform, "/"); ok && !strings.Contains(arch, ",") {
		qualifiers["arch"] = arch
	}
	text := "pkg:oci/" + escape(strings.ToLower(path.Base(named.Name())))
	if digest != "" {
		text += "@" + escape(digest)
	}
	return text + qualified(qualifiers)
}

// PURL returns the package URL of a package of a distribution: kind is apk or deb, namespace the distribution's name.
func PURL(kind, namespace, name, version string, qualifiers map[string]string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return "pkg:" + kind + "/" + escape(strings.ToLower(name)) + "@" + escape(version) + qualified(qualifiers)
}

func qualified(qualifiers map[string]string) string {
	var list []string
	for key, value := range qualifiers {
		if value != "" {
			list = append(list, key+"="+strings.ReplaceAll(escape(value), "/", "%2F"))
		}
	}
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return "?" + strings.Join(list, "&")
}

// escape escapes the elements of a path as package URLs do (ECMA-427): all but letters, digits, .-_~ and colons.
func escape(text string) string {
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
