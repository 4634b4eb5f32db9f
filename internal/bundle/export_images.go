package bundle

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/larder-build/larder/internal/progress"
)

// dockerName is the annotation by which docker load names an image of an OCI layout.
const dockerName = "io.containerd.image.name"

// images writes an archive of each image that Larder didn't make, and a list of them.
func (e *exporting) images(ctx context.Context, items map[string][]Item) error {
	var list strings.Builder
	has := e.b.Images()
	e.v.progress.Begin("export images", 0, 0)
	for _, name := range slices.Sorted(maps.Keys(has)) {
		if name == ManifestName || name == SignatureName || own(name) || compiledKey(name) != "" {
			continue
		}
		if err := e.v.image(ctx, name, has[name], items[name]); err != nil {
			return err
		}
		if err := e.v.result(); err != nil {
			return err
		}
		// In the name of an archive some programs take what follows a colon for a tag.
		file := path.Join(exportImages, strings.NewReplacer("/", "_", ":", "_", "@", "_").Replace(name)+".tar")
		if err := e.write(file, func(w io.Writer) error { return e.b.writeArchive(ctx, w, name, has[name], e.v.progress) }); err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s\t%s\t%s\n", file, name, has[name].Digest)
	}
	if list.Len() == 0 {
		return nil
	}
	return e.write(exportList, func(w io.Writer) error {
		_, err := io.WriteString(w, list.String())
		return err
	})
}

// writeArchive writes an image as the tar archive of an OCI layout. A blob that doesn't have its digest is
// an error.
func (b *Bundle) writeArchive(ctx context.Context, w io.Writer, name string, desc ocispec.Descriptor, p progress.Reporter) error {
	t := tar.NewWriter(w)
	desc.Annotations = map[string]string{ocispec.AnnotationRefName: name, dockerName: name}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{desc}}
	for _, f := range []struct {
		name string
		v    any
	}{{ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion}}, {ocispec.ImageIndexFile, index}} {
		data, err := json.Marshal(f.v)
		if err != nil {
			return err
		}
		if err := addFile(t, f.name, int64(len(data)), strings.NewReader(string(data))); err != nil {
			return err
		}
	}
	written := map[digest.Digest]bool{}
	var size int64
	err := b.walkFrom(ctx, []ocispec.Descriptor{desc}, func(d ocispec.Descriptor) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if written[d.Digest] {
			return nil
		}
		written[d.Digest] = true
		size += d.Size
		p.At(name, size, 0)
		return b.addVerified(ctx, t, d)
	})
	p.Done(name, size)
	return errors.Join(err, t.Close())
}

// addVerified adds a blob to the archive of a layout, and checks its digest while it copies.
func (b *Bundle) addVerified(ctx context.Context, t *tar.Writer, desc ocispec.Descriptor) error {
	ra, err := b.reader(ctx, desc)
	if err != nil {
		return err
	}
	defer ra.Close()
	d := desc.Digest.Algorithm().Digester()
	r := io.TeeReader(content.NewReader(ra), d.Hash())
	if err := addFile(t, path.Join(ocispec.ImageBlobsDir, desc.Digest.Algorithm().String(), desc.Digest.Encoded()), desc.Size, r); err != nil {
		return err
	}
	if got := d.Digest(); got != desc.Digest {
		return digestError(b.dir, desc, got)
	}
	return nil
}

func addFile(t *tar.Writer, name string, size int64, r io.Reader) error {
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err := io.Copy(t, r)
	return err
}
