package spdx

import (
	"path"
	"strings"

	"github.com/distribution/reference"
	packageurl "github.com/package-url/packageurl-go"
)

// GoPURL returns the package URL of a Go module or, with a subpath, of a package in it. It leaves out an empty version.
func GoPURL(module, version, subpath string) string {
	namespace, name := path.Split(module)
	return purl(packageurl.TypeGolang, namespace, name, version, nil, subpath)
}

// ImagePURL returns the package URL of an image, or "" for a name that is no reference. The type oci uses the
// repository's last element as the name. The platform is OS/ARCHITECTURE; it is left out if it is empty or names
// several.
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
	return purl(packageurl.TypeOCI, "", path.Base(named.Name()), digest, qualifiers, "")
}

// PURL returns the package URL of a package of a distribution: kind is apk or deb, namespace the distribution's name.
func PURL(kind, namespace, name, version string, qualifiers map[string]string) string {
	return purl(kind, namespace, name, version, qualifiers, "")
}

// purl returns a package URL in its canonical form, or "" if there is none, such as for a package without a name.
func purl(kind, namespace, name, version string, qualifiers map[string]string, subpath string) string {
	p := packageurl.NewPackageURL(kind, namespace, name, version, packageurl.QualifiersFromMap(qualifiers), subpath)
	if err := p.Normalize(); err != nil {
		return ""
	}
	return p.ToString()
}
