package sigstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Source has an image and what is attached to it.
type Source interface {
	// Manifest returns a manifest by its tag or digest, whose digest was checked, or errdefs.ErrNotFound.
	Manifest(ctx context.Context, name string) (ocispec.Descriptor, []byte, error)
	// Blob returns a blob, whose digest was checked, or an error if it has more than limit bytes.
	Blob(ctx context.Context, desc ocispec.Descriptor, limit int64) ([]byte, error)
	// Referrers returns what is said to refer to a manifest. None is no error.
	Referrers(ctx context.Context, subject digest.Digest) ([]ocispec.Descriptor, error)
}

// A Repository is where signatures can be attached, too.
type Repository interface {
	Source
	Name() string
	PushBytes(ctx context.Context, mediaType string, data []byte, tag string) (ocispec.Descriptor, error)
	Refer(ctx context.Context, m ocispec.Manifest) (ocispec.Descriptor, error)
}

const (
	maxBundle     = 1 << 20 // bytes of a bundle or a payload; a signature has less than 1 KiB
	maxSignatures = 200     // of one image
)

// A Signature is one that a key has made of an image.
type Signature struct {
	Key        Key
	Repository string // that was signed, in cosign's older format; else empty
	Manifest   string // that has the signature: its digest, or its tag
}

// Find returns the signatures of an image by any of the keys. If there is none, the error says what there is instead.
func Find(ctx context.Context, from Source, image digest.Digest, keys []Key) ([]Signature, error) {
	f := finder{ctx: ctx, from: from, image: image, keys: keys}
	err := errors.Join(f.referrers(), f.tagged())
	if err != nil {
		return nil, err
	}
	if len(f.found) == 0 {
		return nil, f.none()
	}
	return f.found, nil
}

// A finder looks for the signatures of an image.
type finder struct {
	ctx     context.Context
	from    Source
	image   digest.Digest
	keys    []Key
	found   []Signature
	refused []string // why others don't count
}

// none says why there is no signature.
func (f *finder) none() error {
	if len(f.refused) == 0 {
		return fmt.Errorf("no signature is attached to %s: don't use this image if it should be signed", f.image)
	}
	const shown = 5
	list := f.refused
	if len(list) > shown {
		list = append(list[:shown:shown], fmt.Sprintf("%d more", len(f.refused)-shown))
	}
	return fmt.Errorf("%s isn't signed by a key given: don't use this image: %s", f.image, strings.Join(list, "; "))
}

func (f *finder) refuse(what string, err error) {
	f.refused = append(f.refused, what+": "+err.Error())
}

// referrers looks at the bundles that refer to the image.
func (f *finder) referrers() error {
	list, err := f.from.Referrers(f.ctx, f.image)
	if err != nil {
		return err
	}
	for _, desc := range list {
		if desc.ArtifactType != MediaType && desc.ArtifactType != "" { // some registries leave it out
			continue
		}
		if err := f.ctx.Err(); err != nil {
			return err
		}
		if key, err := f.bundle(desc); err != nil {
			f.refuse(fmt.Sprintf("bundle %.80s", desc.Digest), err)
		} else {
			f.found = append(f.found, Signature{Key: key, Manifest: desc.Digest.String()})
		}
	}
	return nil
}

func (f *finder) bundle(desc ocispec.Descriptor) (Key, error) {
	if err := desc.Digest.Validate(); err != nil {
		return Key{}, err
	}
	m, err := manifest(f.ctx, f.from, desc.Digest.String())
	if err != nil {
		return Key{}, err
	}
	if m.Subject == nil || m.Subject.Digest != f.image {
		return Key{}, fmt.Errorf("it refers to another image than %s", f.image)
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != MediaType {
		return Key{}, errors.New("it hasn't one layer that is a Sigstore bundle")
	}
	data, err := f.from.Blob(f.ctx, m.Layers[0], maxBundle)
	if err != nil {
		return Key{}, err
	}
	return Verify(data, f.image, f.keys)
}

// tagged looks at the signatures of cosign's older format.
func (f *finder) tagged() error {
	m, err := manifest(f.ctx, f.from, Tag(f.image))
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for n, layer := range m.Layers {
		if n == maxSignatures {
			return fmt.Errorf("%s has %d signatures: expected at most %d", Tag(f.image), len(m.Layers), maxSignatures)
		}
		if layer.MediaType != simpleMediaType {
			continue
		}
		if err := f.ctx.Err(); err != nil {
			return err
		}
		what := fmt.Sprintf("signature %.80s", layer.Digest)
		payload, err := f.from.Blob(f.ctx, layer, maxBundle)
		if err != nil {
			f.refuse(what, err)
			continue
		}
		if key, repository, err := verifySimple(payload, layer.Annotations[simpleAnnotation], f.image, f.keys); err != nil {
			f.refuse(what, err)
		} else {
			f.found = append(f.found, Signature{key, repository, Tag(f.image)})
		}
	}
	return nil
}

// Tag is that of an image's signatures in cosign's older format.
func Tag(image digest.Digest) string { return strings.Replace(image.String(), ":", "-", 1) + ".sig" }

func manifest(ctx context.Context, from Source, name string) (m ocispec.Manifest, err error) {
	desc, data, err := from.Manifest(ctx, name)
	if err != nil {
		return m, err
	}
	if desc.MediaType != ocispec.MediaTypeImageManifest {
		return m, fmt.Errorf("it is of the type %.100q: expected %s", desc.MediaType, ocispec.MediaTypeImageManifest)
	}
	return m, json.Unmarshal(data, &m)
}

// Attach attaches a bundle that Sign has made of an image, which is in the repository, and a signature of cosign's older
// format. What is attached stays. If the key's signatures are there already, nothing is done.
func Attach(ctx context.Context, to Repository, image ocispec.Descriptor, data []byte, by Signer) (attached bool, err error) {
	f := finder{ctx: ctx, from: to, image: image.Digest, keys: []Key{by.Key}}
	if err := f.referrers(); err != nil {
		return false, err
	}
	if len(f.found) == 0 {
		if err := Refer(ctx, to, image, data, signPredicate); err != nil {
			return false, err
		}
		attached = true
	}
	f.found = nil
	if err := f.tagged(); err != nil {
		return attached, err
	}
	if len(f.found) == 0 {
		if err := tag(ctx, to, image.Digest, by); err != nil {
			return attached, fmt.Errorf("attaching a signature as %s: %w", Tag(image.Digest), err)
		}
		attached = true
	}
	return attached, nil
}

// Refer attaches a bundle, with a statement of a type, as an artifact that refers to the image, as cosign does. What is
// attached stays.
func Refer(ctx context.Context, to Repository, image ocispec.Descriptor, data []byte, predicateType string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("attaching a bundle to %s: %w", image.Digest, err)
		}
	}()
	layer, err := to.PushBytes(ctx, MediaType, data, "")
	if err != nil {
		return err
	}
	config, err := to.PushBytes(ctx, ocispec.MediaTypeEmptyJSON, ocispec.DescriptorEmptyJSON.Data, "")
	if err != nil {
		return err
	}
	_, err = to.Refer(ctx, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: MediaType,
		Config: config, Layers: []ocispec.Descriptor{layer},
		Subject: &ocispec.Descriptor{MediaType: image.MediaType, Digest: image.Digest, Size: image.Size},
		Annotations: map[string]string{
			"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": predicateType,
		},
	})
	return err
}

// tag adds a signature to those of cosign's older format, which are an image with a layer for each.
func tag(ctx context.Context, to Repository, image digest.Digest, by Signer) error {
	m, err := manifest(ctx, to, Tag(image))
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	payload, signature, err := signSimple(to.Name(), image, by)
	if err != nil {
		return err
	}
	layer, err := to.PushBytes(ctx, simpleMediaType, payload, "")
	if err != nil {
		return err
	}
	layer.Annotations = map[string]string{simpleAnnotation: signature}
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	m.Layers = append(m.Layers, layer)
	config := ocispec.Image{RootFS: ocispec.RootFS{Type: "layers"}}
	for _, l := range m.Layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.Digest)
	}
	configData, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if m.Config, err = to.PushBytes(ctx, ocispec.MediaTypeImageConfig, configData, ""); err != nil {
		return err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = to.PushBytes(ctx, ocispec.MediaTypeImageManifest, data, Tag(image))
	return err
}
