package bundle

import (
	"slices"

	"github.com/distribution/reference"
)

// Contexts returns the named contexts that have a build take all that it can from the bundle, as --build-context of
// buildx, and of larder build, takes them: NAME=oci-layout://…, sorted. Images stand for their names, the frontend's
// image for that of a syntax line too.
func (b *Bundle) Contexts() []string {
	layout := "oci-layout://" + b.dir
	var list []string
	for name, desc := range b.Images() {
		switch name {
		case ModulesName, ToolchainName, VulnDBName, FilesName:
			list = append(list, "larder-"+name+"="+layout+":"+name)
		case SumDBName, ToolsName, ManifestName, SignatureName:
		default:
			if ref, err := reference.ParseNormalizedNamed(name); err == nil {
				name = reference.FamiliarString(ref)
			}
			list = append(list, name+"="+layout+"@"+desc.Digest.String())
		}
	}
	slices.Sort(list)
	return list
}
