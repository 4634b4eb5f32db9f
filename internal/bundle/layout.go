// Package bundle makes, reads and moves bundles. A bundle is an OCI image layout that holds everything an offline build
// needs: module zips, Go toolchains, base images and the frontend's own image. docs/reference/bundle-format.md
// specifies its contents; any tool that knows OCI layouts can copy it, and BuildKit takes its images as named contexts.
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
	"github.com/gofrs/flock"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/oci"
)

// These are the names of a bundle's own images, in the annotation org.opencontainers.image.ref.name. A base image and
// the frontend's image have their reference as name.
const (
	ModulesName   = "modules"   // a GOPROXY folder
	ToolchainName = "toolchain" // a GOPROXY folder of golang.org/toolchain
	SumDBName     = "sumdb"     // what a checksum database says of the modules, as a module proxy passes it on
	ToolsName     = "tools"     // NAME/go.mod and NAME/go.sum of each tool
	VulnDBName    = "vulndb"    // a Go vulnerability database
	FilesName     = "files"     // whatever the user added
	RecordedName  = "recorded"  // what servers answered to the steps of builds: see package replay
	ManifestName  = "manifest"  // the list of all items; no file system
	SignatureName = "signature" // signatures of all the others; no file system
)

// These are the greatest sizes of documents. A document takes a multiple of its size in memory.
const (
	maxIndex = 16 << 20 // bytes of a manifest, a config or a list of items; index.json has fewer
	maxRoot  = 4 << 20  // bytes of index.json, which is read before a signature is
)

// A Bundle is a bundle in a folder. Several goroutines may call its methods, but two processes may not write to one
// bundle: a lock keeps the second one out.
type Bundle struct {
	dir   string
	store content.Store
	index ocispec.Index
	base  *Bundle // has the blobs that a delta leaves out

	signed *Signed // nil unless it was opened by a Trust with keys
}

// Open opens the bundle in a folder, if trust accepts it. It reads only index.json and the signature: see Verify. If
// trust has keys, all later reads return what was signed. Open makes no folder.
func Open(ctx context.Context, dir string, trust Trust) (*Bundle, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a bundle: there is no such folder", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, ocispec.ImageIndexFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a bundle: it has no index.json; make one with 'larder bundle create -o %s'", dir, dir)
	}
	b, err := open(ctx, dir, trust)
	if err != nil {
		return nil, err
	}
	if len(b.index.Manifests) == 0 {
		return nil, fmt.Errorf("%s is not a bundle: its index.json names no images; make one with 'larder bundle create -o %s'", dir, dir)
	}
	return b, nil
}

// openLocked opens the bundle in a folder to be written to: see lock.
func openLocked(ctx context.Context, dir string, trust Trust) (b *Bundle, unlock func(), err error) {
	if _, err := Open(ctx, dir, trust); err != nil {
		return nil, nil, err // and no folder is made
	}
	if unlock, err = lock(dir); err != nil {
		return nil, nil, err
	}
	if b, err = Open(ctx, dir, trust); err != nil {
		unlock()
	}
	return b, unlock, err
}

// open opens a bundle. The bundle may be empty, and its folder may be missing.
func open(ctx context.Context, dir string, trust Trust) (*Bundle, error) {
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
	if err := b.checkIndex(); err != nil {
		return nil, err
	}
	if b.store, err = local.NewStore(dir); err != nil {
		return nil, fmt.Errorf("opening the bundle %s: %w", dir, err)
	}
	if data == nil {
		return b, nil
	}
	if err := trust.admit(ctx, b, data); err != nil {
		return nil, err
	}
	return b, nil
}

// checkIndex refuses an index in which two programs could see different images.
func (b *Bundle) checkIndex() error {
	byName := b.Images()
	if len(byName) < len(b.index.Manifests) {
		return fmt.Errorf("%s is not a bundle: index.json has %d images, and only %d names for them in %s", b.dir, len(b.index.Manifests), len(byName), ocispec.AnnotationRefName)
	}
	for name, desc := range byName {
		if err := b.checkDescriptor(desc); err != nil {
			return err
		}
		if !images.IsIndexType(desc.MediaType) && !images.IsManifestType(desc.MediaType) {
			return fmt.Errorf("%s is not a bundle: index.json says that %q is of type %q, expected a manifest's or an index's", b.dir, name, desc.MediaType)
		}
	}
	return nil
}

// checkDescriptor refuses a descriptor without a digest, or with a URL: a bundle holds all its blobs itself.
func (b *Bundle) checkDescriptor(desc ocispec.Descriptor) error {
	if err := desc.Digest.Validate(); err != nil {
		return fmt.Errorf("%s is damaged: a blob has digest %q: %w", b.dir, desc.Digest, err)
	}
	if len(desc.URLs) > 0 {
		return fmt.Errorf("%s: blob %s is said to lie at %q: no URL is followed, and a bundle has all of its blobs: don't use this bundle", b.dir, desc.Digest, desc.URLs[0])
	}
	return nil
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
	f, err := openPlain(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxRoot+1))
	if err == nil && len(data) > maxRoot {
		err = fmt.Errorf("%s has over %d bytes", filepath.Base(name), maxRoot)
	}
	return data, err
}

// Dir returns the folder that the bundle is in.
func (b *Bundle) Dir() string { return b.dir }

// Store returns the bundle's blobs.
func (b *Bundle) Store() content.Store { return b.store }

// refName returns the name that an image has in the index.
func refName(desc ocispec.Descriptor) string { return desc.Annotations[ocispec.AnnotationRefName] }

// Images returns the bundle's images, by name.
func (b *Bundle) Images() map[string]ocispec.Descriptor {
	all := map[string]ocispec.Descriptor{}
	for _, desc := range b.index.Manifests {
		all[refName(desc)] = desc
	}
	return all
}

// Digest identifies the bundle. It is the digest of the index without the image SignatureName, so that a signature
// doesn't change which deltas fit.
func (b *Bundle) Digest() digest.Digest { return digestOf(b.index) }

// contents returns the digest that is signed: that of the bundle, or of the bundle that a delta makes.
func (b *Bundle) contents() digest.Digest { return digestOf(applied(b.index)) }

func digestOf(index ocispec.Index) digest.Digest {
	index.Manifests = slices.DeleteFunc(slices.Clone(index.Manifests), func(d ocispec.Descriptor) bool { return refName(d) == SignatureName })
	data, err := json.Marshal(index)
	if err != nil {
		panic(err) // there is nothing in it that can't be marshalled
	}
	return digest.FromBytes(data)
}

// lock keeps other processes from writing to a bundle until the returned function is called.
func lock(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := checkPlaces(dir); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, ".lock"))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the bundle %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("another larder is writing to the bundle %s: wait until it is done", dir)
	}
	return func() { _ = l.Unlock() }, nil
}

// checkPlaces refuses links at the names that a writer fills and empties, because it would write to the folders that
// they lead to.
func checkPlaces(dir string) error {
	for _, name := range []string{".lock", stagingDir, "ingest", "blobs", "blobs/sha256", "blobs/sha512"} {
		info, err := os.Lstat(filepath.Join(dir, name))
		if err == nil && info.Mode().Type()&^fs.ModeDir != 0 {
			return fmt.Errorf("%s: %s is neither a file nor a folder, but leads elsewhere (%s): nothing is written to this bundle", dir, name, info.Mode().Type())
		}
	}
	return nil
}

// setImage adds an image under a name. It replaces any image of that name.
func (b *Bundle) setImage(name string, desc ocispec.Descriptor) {
	b.removeImage(name)
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: name}
	b.index.Manifests = append(b.index.Manifests, desc)
	b.sortImages()
}

func (b *Bundle) sortImages() {
	slices.SortFunc(b.index.Manifests, func(x, y ocispec.Descriptor) int {
		return strings.Compare(refName(x), refName(y))
	})
}

func (b *Bundle) removeImage(name string) {
	b.index.Manifests = slices.DeleteFunc(b.index.Manifests, func(d ocispec.Descriptor) bool { return refName(d) == name })
}

// commit writes the index to the folder, which changes the bundle in one step.
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
	if err := writeFile(filepath.Join(b.dir, ocispec.ImageIndexFile), data); err != nil {
		return err
	}
	return syncDir(b.dir)
}

// syncDir waits until the names in a folder are on the disk, so that replaced files can be removed.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writeFile writes a file. Its content is on the disk before it gets its name.
func writeFile(name string, data []byte) error {
	err := atomicfile.WriteBy(name, func(f *os.File) error {
		_, err := f.Write(data)
		return errors.Join(err, f.Sync())
	})
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}

// children returns the descriptors in a manifest or index. Other blobs have none. It refuses a document that could be
// read as the other kind too, because a digest doesn't cover the media type.
func (b *Bundle) children(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	index := images.IsIndexType(desc.MediaType)
	if !index && !images.IsManifestType(desc.MediaType) {
		return nil, nil
	}
	data, err := b.readBlob(ctx, desc)
	if err != nil {
		return nil, err
	}
	var m struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    ocispec.Descriptor   `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
	}
	if err = oci.CheckDocument(desc.MediaType, data); err == nil {
		err = json.Unmarshal(data, &m)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: blob %s is not what its type %s says: %w: don't use this bundle", b.dir, desc.Digest, desc.MediaType, err)
	}
	if index {
		return m.Manifests, nil
	}
	return append([]ocispec.Descriptor{m.Config}, m.Layers...), nil
}

// walk calls visit for every blob that the index leads to, once for each media type and size that descriptors give, and
// for a blob before its children.
func (b *Bundle) walk(ctx context.Context, visit func(ocispec.Descriptor) error) error {
	return b.walkFrom(ctx, b.index.Manifests, visit)
}

// blobs returns all blobs that the index leads to.
func (b *Bundle) blobs(ctx context.Context) (list []ocispec.Descriptor, err error) {
	err = b.walk(ctx, func(d ocispec.Descriptor) error { list = append(list, d); return nil })
	return list, err
}

// size returns how many bytes some blobs have.
func size(blobs []ocispec.Descriptor) (sum int64) {
	for _, d := range blobs {
		sum += d.Size
	}
	return sum
}

func (b *Bundle) walkFrom(ctx context.Context, from []ocispec.Descriptor, visit func(ocispec.Descriptor) error) error {
	type said struct {
		digest.Digest
		mediaType string
		size      int64
	}
	seen := map[said]bool{}
	var down func(list []ocispec.Descriptor, depth int) error
	down = func(list []ocispec.Descriptor, depth int) error {
		if depth > 8 {
			return fmt.Errorf("%s is damaged: its indexes are nested more than 8 deep", b.dir)
		}
		for _, desc := range list {
			if err := b.checkDescriptor(desc); err != nil {
				return err
			}
			s := said{desc.Digest, desc.MediaType, desc.Size}
			if seen[s] {
				continue
			}
			seen[s] = true
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
	return down(from, 0)
}
