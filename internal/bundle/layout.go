// Package bundle makes, reads and moves bundles: OCI image layouts that hold all that an offline build needs, which are
// module zips, Go toolchains, base images and the frontend's own image. docs/bundle-format.md specifies what is in one;
// any tool that knows OCI layouts can copy it, and BuildKit takes its images as named contexts.
//
// A bundle on disk is always whole: blobs are added under their digests, and only then does a new index.json take the
// place of the old one.
package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Names of a bundle's own images, in the annotation org.opencontainers.image.ref.name. A base image and the frontend's
// image have their reference as name.
const (
	ModulesName   = "modules"   // a GOPROXY folder
	ToolchainName = "toolchain" // a GOPROXY folder of golang.org/toolchain
	SumDBName     = "sumdb"     // what a checksum database says of the modules, as a module proxy passes it on
	ToolsName     = "tools"     // NAME/go.mod and NAME/go.sum of each tool
	VulnDBName    = "vulndb"    // a Go vulnerability database
	FilesName     = "files"     // whatever the user added
	ManifestName  = "manifest"  // the list of all items; no file system
	SignatureName = "signature" // signatures of all the others; no file system
)

// maxIndex bounds index.json and other small documents of a bundle.
const maxIndex = 16 << 20

// A Bundle is a bundle in a folder. Its methods may be called by several goroutines, but no two processes may write to
// one bundle: Lock sees to that.
type Bundle struct {
	dir   string
	store content.Store
	index ocispec.Index
	base  *Bundle // has the blobs that a delta leaves out
}

// Open opens the bundle in a folder. It reads index.json alone: see Verify.
func Open(dir string) (*Bundle, error) {
	b, err := open(dir)
	if err != nil {
		return nil, err
	}
	if len(b.index.Manifests) == 0 {
		return nil, fmt.Errorf("%s is not a bundle: its index.json names no images; make one with 'larder bundle create -o %s'", dir, dir)
	}
	return b, nil
}

// open opens a bundle which may be empty or not there yet.
func open(dir string) (*Bundle, error) {
	b := &Bundle{dir: dir, index: ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}}
	data, err := readSmall(filepath.Join(dir, ocispec.ImageIndexFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("reading the bundle %s: %w", dir, err)
	default:
		if err := json.Unmarshal(data, &b.index); err != nil {
			return nil, fmt.Errorf("%s is not a bundle: its index.json is not one of an OCI layout: %w", dir, err)
		}
		if err := checkLayoutFile(dir); err != nil {
			return nil, err
		}
	}
	for _, desc := range b.index.Manifests {
		if err := desc.Digest.Validate(); err != nil {
			return nil, fmt.Errorf("%s is damaged: index.json has digest %q: %w", dir, desc.Digest, err)
		}
	}
	if b.store, err = local.NewStore(dir); err != nil {
		return nil, fmt.Errorf("opening the bundle %s: %w", dir, err)
	}
	return b, nil
}

func checkLayoutFile(dir string) error {
	data, err := readSmall(filepath.Join(dir, ocispec.ImageLayoutFile))
	var layout ocispec.ImageLayout
	if err == nil {
		err = json.Unmarshal(data, &layout)
	}
	if err == nil && layout.Version != ocispec.ImageLayoutVersion {
		err = fmt.Errorf("its version is %q, expected %q", layout.Version, ocispec.ImageLayoutVersion)
	}
	if err != nil {
		return fmt.Errorf("%s is not an OCI layout: oci-layout: %w", dir, err)
	}
	return nil
}

func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIndex+1))
	if err == nil && len(data) > maxIndex {
		err = fmt.Errorf("%s has over %d bytes", filepath.Base(name), maxIndex)
	}
	return data, err
}

// Dir returns the folder that the bundle is in.
func (b *Bundle) Dir() string { return b.dir }

// Store returns the bundle's blobs.
func (b *Bundle) Store() content.Store { return b.store }

// Images returns the bundle's images, by name.
func (b *Bundle) Images() map[string]ocispec.Descriptor {
	all := map[string]ocispec.Descriptor{}
	for _, desc := range b.index.Manifests {
		all[desc.Annotations[ocispec.AnnotationRefName]] = desc
	}
	return all
}

// Digest names the bundle: it is that of its index.
func (b *Bundle) Digest() digest.Digest {
	data, err := json.Marshal(b.index)
	if err != nil {
		panic(err) // there is nothing in it that can't be marshalled
	}
	return digest.FromBytes(data)
}

// setImage makes an image known by a name, in the place of any that had it.
func (b *Bundle) setImage(name string, desc ocispec.Descriptor) {
	b.removeImage(name)
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	b.index.Manifests = append(b.index.Manifests, desc)
	slices.SortFunc(b.index.Manifests, func(x, y ocispec.Descriptor) int {
		return strings.Compare(x.Annotations[ocispec.AnnotationRefName], y.Annotations[ocispec.AnnotationRefName])
	})
}

func (b *Bundle) removeImage(name string) {
	b.index.Manifests = slices.DeleteFunc(b.index.Manifests, func(d ocispec.Descriptor) bool { return d.Annotations[ocispec.AnnotationRefName] == name })
}

// commit makes the index what the bundle is, at once.
func (b *Bundle) commit() error {
	data, err := json.Marshal(b.index)
	if err != nil {
		return err
	}
	layout, err := json.Marshal(ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(b.dir, ocispec.ImageLayoutFile), layout); err != nil {
		return err
	}
	return writeFile(filepath.Join(b.dir, ocispec.ImageIndexFile), data)
}

// writeFile writes a file under a temporary name, and gives it its own when it is on the disk.
func writeFile(name string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}

// addBlob adds a small blob and returns its descriptor.
func (b *Bundle) addBlob(ctx context.Context, mediaType string, data []byte) (ocispec.Descriptor, error) {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return desc, b.writeBlob(ctx, desc, data)
}

func (b *Bundle) writeBlob(ctx context.Context, desc ocispec.Descriptor, data []byte) error {
	err := content.WriteBlob(ctx, b.store, "blob-"+desc.Digest.String(), strings.NewReader(string(data)), desc)
	if err != nil {
		return fmt.Errorf("writing blob %s of the bundle: %w", desc.Digest, err)
	}
	return nil
}

func (b *Bundle) addJSON(ctx context.Context, mediaType string, v any) (ocispec.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return b.addBlob(ctx, mediaType, data)
}

// readJSON reads a small blob, which must have the digest and size that are said of it.
func (b *Bundle) readJSON(ctx context.Context, desc ocispec.Descriptor, v any) error {
	data, err := b.readBlob(ctx, desc)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: blob %s is not what its type %s says: %w", b.dir, desc.Digest, desc.MediaType, err)
	}
	return nil
}

func (b *Bundle) readBlob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	if desc.Size > maxIndex {
		return nil, fmt.Errorf("%s: blob %s (%s) says to have %d bytes: at most %d are read", b.dir, desc.Digest, desc.MediaType, desc.Size, maxIndex)
	}
	if b.base != nil && !b.has(ctx, desc) {
		return b.base.readBlob(ctx, desc)
	}
	data, err := content.ReadBlob(ctx, b.store, ocispec.Descriptor{Digest: desc.Digest, MediaType: desc.MediaType, Size: desc.Size})
	switch {
	case errdefs.IsNotFound(err):
		return nil, missingBlob(b.dir, desc)
	case err != nil:
		return nil, fmt.Errorf("%s: reading blob %s: %w", b.dir, desc.Digest, err)
	case int64(len(data)) != desc.Size:
		return nil, sizeError(b.dir, desc, int64(len(data)))
	case digest.FromBytes(data) != desc.Digest:
		return nil, digestError(b.dir, desc, digest.FromBytes(data))
	}
	return data, nil
}

func missingBlob(dir string, desc ocispec.Descriptor) error {
	return fmt.Errorf("%s is not whole: it lacks blob %s (%s, %d bytes): copy it again, or run 'larder bundle pull' or 'create' again", dir, desc.Digest, desc.MediaType, desc.Size)
}

func sizeError(dir string, desc ocispec.Descriptor, got int64) error {
	return fmt.Errorf("%s is damaged: blob %s has %d bytes, expected %d: copy it again", dir, desc.Digest, got, desc.Size)
}

func digestError(dir string, desc ocispec.Descriptor, got digest.Digest) error {
	return fmt.Errorf("%s is damaged: blob %s has digest %s: copy it again", dir, desc.Digest, got)
}

// has reports whether a blob is there, with the right size.
func (b *Bundle) has(ctx context.Context, desc ocispec.Descriptor) bool {
	info, err := b.store.Info(ctx, desc.Digest)
	return err == nil && info.Size == desc.Size
}

// children returns what a manifest or index refers to; other blobs refer to nothing.
func (b *Bundle) children(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	switch {
	case images.IsIndexType(desc.MediaType):
		var index ocispec.Index
		err := b.readJSON(ctx, desc, &index)
		return index.Manifests, err
	case images.IsManifestType(desc.MediaType):
		var m ocispec.Manifest
		err := b.readJSON(ctx, desc, &m)
		return append([]ocispec.Descriptor{m.Config}, m.Layers...), err
	}
	return nil, nil
}

// walk calls visit for every blob that the index leads to, each once, before those that it refers to.
func (b *Bundle) walk(ctx context.Context, visit func(ocispec.Descriptor) error) error {
	seen := map[digest.Digest]bool{}
	var down func(list []ocispec.Descriptor, depth int) error
	down = func(list []ocispec.Descriptor, depth int) error {
		if depth > 8 {
			return fmt.Errorf("%s is damaged: its indexes are nested more than 8 deep", b.dir)
		}
		for _, desc := range list {
			if err := desc.Digest.Validate(); err != nil {
				return fmt.Errorf("%s is damaged: a blob has digest %q: %w", b.dir, desc.Digest, err)
			}
			if seen[desc.Digest] {
				continue
			}
			seen[desc.Digest] = true
			if err := visit(desc); err != nil {
				return err
			}
			children, err := b.children(ctx, desc)
			if err != nil {
				return err
			}
			if err := down(children, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return down(b.index.Manifests, 0)
}
