package bundle

import (
	"context"
	"fmt"
	"slices"

	"github.com/distribution/reference"
)

// own reports whether an image is one of those that Larder makes from items.
func own(image string) bool {
	return slices.Contains([]string{ModulesName, ToolchainName, SumDBName, ToolsName, VulnDBName, FilesName, RecordedName}, image)
}

// isReference reports whether a name is the full reference of an image, with its registry and a tag or a digest.
// BuildKit completes the names in a Dockerfile to such references.
func isReference(name string) bool {
	ref, err := reference.ParseNormalizedNamed(name)
	return err == nil && reference.TagNameOnly(ref).String() == name
}

// Strangers returns the names of images that have no place in a bundle, sorted: they are neither those that Larder
// makes nor full references. A build might take one for a stage, a base or a cache with the same name, so nothing ever
// uses them.
func (b *Bundle) Strangers() []string {
	var list []string
	for name := range b.Images() {
		if name != ManifestName && name != SignatureName && !own(name) && compiledKey(name) == "" && !isReference(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Findings lists what is wrong with the bundle, as far as its index shows it. Verify checks everything.
func (b *Bundle) Findings() (list []string) {
	for _, name := range b.Strangers() {
		list = append(list, strangerError(b.dir, name).Error())
	}
	return list
}

// refuseStrangers returns an error if the bundle has strangers. Functions that make a bundle from another call it.
func (b *Bundle) refuseStrangers() error {
	if names := b.Strangers(); len(names) > 0 {
		return strangerError(b.dir, names[0])
	}
	return nil
}

func strangerError(dir, name string) error {
	return fmt.Errorf("%s has an image of the name %q, which is neither one of a bundle's own nor the full reference of an image, such as docker.io/library/alpine:3.22: nothing would use it, and no larder made it: don't use this bundle", dir, name)
}

// Contexts returns values for --build-context of buildx and larder build, so that a build takes what it can from the
// bundle. They are for the modules, the toolchain, and those of the given images, named by full references, that the
// bundle has. Each is NAME=oci-layout://FOLDER@DIGEST, so that a later read gets what is there now. They are sorted. An
// image that doesn't have the digest in its reference is an error.
func (b *Bundle) Contexts(ctx context.Context, images []string) ([]string, error) {
	var list []string
	has := b.Images()
	add := func(context, name string) {
		if desc, ok := has[name]; ok {
			list = append(list, context+"=oci-layout://"+b.dir+"@"+desc.Digest.String())
		}
	}
	add("larder-"+ModulesName, ModulesName)
	add("larder-"+ToolchainName, ToolchainName)
	for _, name := range images {
		ref, err := reference.ParseNormalizedNamed(name)
		if desc, ok := has[name]; ok && err == nil && isReference(name) {
			if err := b.checkPin(ctx, name, desc); err != nil {
				return nil, err
			}
			add(reference.FamiliarString(ref), name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
