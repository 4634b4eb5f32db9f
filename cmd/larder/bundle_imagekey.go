package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/distribution/reference"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/oci/registry"
	"github.com/larder-build/larder/internal/proof/sigstore"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"
	"golang.org/x/mod/module"
)

// imageKeyFlags say which images have to be signed, and by whom.
type imageKeyFlags struct {
	rules []string
	trim  bool // not a flag of all commands
}

func (f *imageKeyFlags) register(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.rules, "image-key", nil, `Key that must have signed images, a file in PEM (format: "PATTERN=KEY", as in "registry.example.com/team=cosign.pub")`)
}

func (f *imageKeyFlags) registerTrim(flags *pflag.FlagSet) {
	f.register(flags)
	flags.BoolVar(&f.trim, "trim", false, "Keep images of --image-key for the platforms of --platform alone, too, which their signatures then aren't of")
}

// imageKeys are the keys of which one must have signed an image, by patterns of its repository.
type imageKeys map[string][]sigstore.Key

// imageKeys reads the keys of the flags.
func (c *command) imageKeys(f imageKeyFlags) (imageKeys, error) {
	now, err := c.now()
	if err != nil {
		return nil, err
	}
	keys := imageKeys{}
	for _, rule := range f.rules {
		pattern, file, ok := strings.Cut(rule, "=")
		if _, err := path.Match(pattern, ""); !ok || pattern == "" || err != nil {
			return nil, fmt.Errorf("--image-key %s: expected PATTERN=KEY, with a pattern of repositories such as registry.example.com/team or *.example.com", rule)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--image-key %s: %w", rule, err)
		}
		key, err := sigstore.ParseKey(data, now)
		if err != nil {
			return nil, fmt.Errorf("--image-key %s: %w", rule, err)
		}
		keys[pattern] = append(keys[pattern], key)
	}
	return keys, nil
}

// of returns the repository of an image, and the keys of all patterns that match it.
func (k imageKeys) of(image string) (repository string, keys []sigstore.Key, patterns []string, err error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return "", nil, nil, err
	}
	for _, pattern := range slices.Sorted(maps.Keys(k)) {
		if module.MatchPrefixPatterns(pattern, named.Name()) {
			keys, patterns = append(keys, k[pattern]...), append(patterns, pattern)
		}
	}
	return named.Name(), keys, patterns, nil
}

// unused returns an error if a pattern matches none of the images: it is misspelt, and nothing would be checked.
func (k imageKeys) unused(used []string) error {
	for _, pattern := range slices.Sorted(maps.Keys(k)) {
		if !slices.Contains(used, pattern) {
			return fmt.Errorf("--image-key %s=…: no image of the bundle has a repository of that pattern, so it would check nothing", pattern)
		}
	}
	return nil
}

// checkedImages are images of registries that stay what they were when their signatures were checked. An image that was
// checked in a bundle isn't there.
type checkedImages struct {
	bundle.ImageSource
	checked map[string]resolved
	bundled map[string]bool
}

type resolved struct {
	name    string
	desc    ocispec.Descriptor
	fetcher remotes.Fetcher
}

// Resolve implements bundle.ImageSource.
func (c checkedImages) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, remotes.Fetcher, error) {
	if r, ok := c.checked[ref]; ok {
		return r.name, r.desc, r.fetcher, nil
	}
	if c.bundled[ref] {
		return "", ocispec.Descriptor{}, nil, errors.New("a bundle of --from has it, but not for all platforms, and the signature of the one in the registry wasn't checked: leave that bundle out")
	}
	return c.ImageSource.Resolve(ctx, ref)
}

// checkImages checks the signatures of the images of a request, adds the signatures to what the bundle is to have, and has
// signed indexes kept whole. What is made of the request must come from the images that it returns.
func (c *command) checkImages(req *bundle.Request, f imageKeyFlags, client *registry.Client, from []*bundle.Bundle) (bundle.ImageSource, error) {
	keys, err := c.imageKeys(f)
	if err != nil {
		return nil, err
	}
	out := checkedImages{client, map[string]resolved{}, map[string]bool{}}
	var used []string
	for _, ref := range slices.Clone(req.Images) {
		repository, trusted, patterns, err := keys.of(ref)
		if err != nil {
			return nil, err
		}
		if len(patterns) == 0 {
			continue
		}
		used = append(used, patterns...)
		places, err := c.placesOf(out, client, from, ref, repository)
		if err != nil {
			return nil, err
		}
		isIndex := false
		for _, p := range places {
			found, err := sigstore.Find(c.ctx, p.Source, p.desc.Digest, trusted)
			if err != nil {
				return nil, fmt.Errorf("image %s: %w", ref, err)
			}
			for _, s := range found {
				if name := attachment(repository, s.Manifest); !slices.Contains(req.Images, name) {
					req.Images = append(req.Images, name)
				}
			}
			isIndex = isIndex || images.IsIndexType(p.desc.MediaType)
		}
		if isIndex && !f.trim {
			req.Whole = append(req.Whole, ref)
			c.warn(ref + " is kept for all its platforms, as its signature is of all of it: with --trim it is kept for those of --platform alone, and no signature is of that")
		}
	}
	return out, keys.unused(used)
}

// A place has an image and what is attached to it.
type place struct {
	sigstore.Source
	desc ocispec.Descriptor
}

// placesOf finds an image: in all bundles that have it, since any of them may be taken, or else in its registry.
func (c *command) placesOf(out checkedImages, client *registry.Client, from []*bundle.Bundle, ref, repository string) (list []place, err error) {
	for _, b := range from {
		if desc, ok := b.Images()[ref]; ok {
			list = append(list, place{b.Attachments(repository), desc})
			out.bundled[ref] = true
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	name, desc, fetcher, err := client.Resolve(c.ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	out.checked[ref] = resolved{name, desc, fetcher}
	repo, err := client.RepositoryOf(ref)
	return []place{{repo, desc}}, err
}

// attachment names a manifest of a repository by its digest or tag.
func attachment(repository, manifest string) string {
	if strings.Contains(manifest, ":") {
		return repository + "@" + manifest
	}
	return repository + ":" + manifest
}

// verifyImages checks the images of a bundle by the signatures that it carries.
func (c *command) verifyImages(b *bundle.Bundle, f imageKeyFlags) error {
	keys, err := c.imageKeys(f)
	if err != nil {
		return err
	}
	var used []string
	list := b.Images()
	for _, name := range slices.Sorted(maps.Keys(list)) {
		repository, trusted, patterns, err := keys.of(name)
		if err != nil || len(patterns) == 0 {
			continue // it is none of a registry's
		}
		if attached, err := b.IsAttachment(c.ctx, name); attached || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		used = append(used, patterns...)
		found, err := sigstore.Find(c.ctx, b.Attachments(repository), list[name].Digest, trusted)
		if err != nil {
			return fmt.Errorf("%s: image %s: %w", b.Dir(), name, err)
		}
		fmt.Fprintf(c.stdout, "%s is signed by %s\n", name, found[0].Key)
	}
	return keys.unused(used)
}
