package bundle

import (
	"context"
	"fmt"
	"slices"

	"github.com/distribution/reference"
)

// own reports whether an image is made of items that are files, by Larder.
func own(image string) bool {
	return slices.Contains([]string{ModulesName, ToolchainName, SumDBName, ToolsName, VulnDBName, FilesName, RecordedName}, image)
}

// isReference reports whether a name is the full reference of an image, as BuildKit completes the one that a Dockerfile
// has: with its registry, and with a tag or a digest.
func isReference(name string) bool {
	ref, err := reference.ParseNormalizedNamed(name)
	return err == nil && reference.TagNameOnly(ref).String() == name
}

// Strangers returns the names of images that no bundle has, sorted: neither those that Larder makes nor full references.
// A build would take one for a stage, a base or a cache of its own that has that name: nothing is ever taken from them.
func (b *Bundle) Strangers() []string {
	var list []string
	for name := range b.Images() {
		if name != ManifestName && name != SignatureName && !own(name) && !isReference(name) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Findings says what is wrong with what the bundle has, as far as its index tells; Verify looks at all of it.
func (b *Bundle) Findings() (list []string) {
	for _, name := range b.Strangers() {
		list = append(list, strangerError(b.dir, name).Error())
	}
	return list
}

// refuseStrangers is for what makes a bundle of another.
func (b *Bundle) refuseStrangers() error {
	if names := b.Strangers(); len(names) > 0 {
		return strangerError(b.dir, names[0])
	}
	return nil
}

func strangerError(dir, name string) error {
	return fmt.Errorf("%s has an image of the name %q, which is neither one of a bundle's own nor the full reference of an image, such as docker.io/library/alpine:3.22: nothing would use it, and no larder made it: don't use this bundle", dir, name)
}

// Contexts returns the named contexts that have a build take from the bundle what it can, as --build-context of buildx, and
// of larder build, takes them: its modules, its toolchain, and those that the bundle has of the images whose full
// references are given. Each is NAME=oci-layout://FOLDER@DIGEST, sorted, so that what is read later is what is there now.
// An image that isn't of the digest in its reference is an error.
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
