package bundle

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A View is the file system of one or more of a bundle's own images. It reads files in place from the layers: it is an
// fs.FS whose files are io.ReaderAt and io.Seeker. It holds the names in memory, not the contents.
type View struct {
	entries map[string]*entry
	readers []io.Closer
	steady  bool // what is read is of the layers' digests: see steady
	packed  bool // layers may be compressed: see addPacked
	names   bool // of compressed layers, only the names and sizes of large files are read
}

// An entry is a file, or a folder with the names in it.
type entry struct {
	name     string
	layer    io.ReaderAt // nil for a folder
	offset   int64
	size     int64
	children []string
}

// These are bounds on the names in layers, because every folder of each name takes memory. Module paths have far less, and
// bundles far fewer.
const (
	maxName  = 1024
	maxDepth = 64
	maxFiles = 1 << 19
)

// View opens the file system of images by their names in the bundle. A later image lies above an earlier one. The
// caller closes it. An image that isn't in the bundle is empty.
func (b *Bundle) View(ctx context.Context, names ...string) (*View, error) {
	return b.view(ctx, false, names...)
}

// steadyView is like View, but returns only bytes that match the layers' digests, even if somebody writes to the bundle
// meanwhile.
func (b *Bundle) steadyView(ctx context.Context, names ...string) (*View, error) {
	return b.view(ctx, true, names...)
}

func (b *Bundle) view(ctx context.Context, steady bool, names ...string) (*View, error) {
	return b.fillView(ctx, &View{steady: steady}, names...)
}

func (b *Bundle) fillView(ctx context.Context, v *View, names ...string) (*View, error) {
	v.entries = map[string]*entry{".": {name: "."}}
	if err := v.lay(ctx, b, names...); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// lay adds images of a bundle above the view's present files.
func (v *View) lay(ctx context.Context, b *Bundle, names ...string) error {
	for _, name := range names {
		layers, err := b.layers(ctx, name)
		if err != nil {
			return err
		}
		for _, l := range layers {
			if err := v.add(ctx, b, l); err != nil {
				return err
			}
		}
	}
	for _, e := range v.entries {
		slices.Sort(e.children)
	}
	return nil
}

// add reads the headers of a layer.
func (v *View) add(ctx context.Context, b *Bundle, layer ocispec.Descriptor) error {
	if v.packed && layer.MediaType == ocispec.MediaTypeImageLayerZstd {
		return v.addPacked(ctx, b, layer)
	}
	if layer.MediaType != ocispec.MediaTypeImageLayer {
		return fmt.Errorf("%s: layer %s is of type %s, expected %s: it was not made by 'larder bundle create'", b.dir, layer.Digest, layer.MediaType, ocispec.MediaTypeImageLayer)
	}
	ra, err := b.reader(ctx, layer)
	if err != nil {
		return err
	}
	v.readers = append(v.readers, ra)
	if v.steady || b.signed != nil {
		if ra, err = steady(ra, layer); err != nil {
			return fmt.Errorf("%s is damaged: layer %s: %w", b.dir, layer.Digest, err)
		}
	}
	return v.addTar(b, layer.Digest, io.NewSectionReader(ra, 0, layer.Size), ra)
}

// addTar adds the files of a layer, whose tar is in a file.
func (v *View) addTar(b *Bundle, layer digest.Digest, r *io.SectionReader, in io.ReaderAt) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: layer %s is damaged: %w", b.dir, layer, err)
		}
		at, err := r.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if err := checkHeader(h, r.Size()-at); err != nil {
			return fmt.Errorf("%s: layer %s has %w", b.dir, layer, err)
		}
		if err := v.file(&entry{name: h.Name, layer: in, offset: at, size: h.Size}); err != nil {
			return fmt.Errorf("%s: layer %s: %w", b.dir, layer, err)
		}
	}
}

// checkHeader refuses an entry of a layer that is more than a plain file, or larger than what is left of the layer.
func checkHeader(h *tar.Header, left int64) error {
	if h.Typeflag != tar.TypeReg || !fs.ValidPath(h.Name) || h.Name == "." || h.Size > left || isSparse(h) {
		return fmt.Errorf("the entry %q, which is no plain file: don't use this bundle", h.Name)
	}
	if len(h.Name) > maxName || strings.Count(h.Name, "/") > maxDepth {
		return fmt.Errorf("an entry whose name has %d bytes, %.50q…: at most %d bytes in %d folders are read", len(h.Name), h.Name, maxName, maxDepth)
	}
	return nil
}

// isSparse reports whether an entry has holes. A program that unpacks it gets other bytes than those in the layer.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// file adds a file and its folders. A file replaces one of an earlier layer.
func (v *View) file(e *entry) error {
	old := v.entries[e.name]
	if old != nil && old.layer == nil {
		return fmt.Errorf("%q is a file and a folder", e.name)
	}
	v.entries[e.name] = e
	if old != nil {
		return nil
	}
	if len(v.entries) > maxFiles {
		return fmt.Errorf("there are more than %d files", maxFiles)
	}
	for name := e.name; name != "."; name = path.Dir(name) {
		dir := path.Dir(name)
		parent, known := v.entries[dir]
		if !known {
			parent = &entry{name: dir}
			v.entries[dir] = parent
		}
		if parent.layer != nil {
			return fmt.Errorf("%q is a file and a folder", dir)
		}
		parent.children = append(parent.children, path.Base(name))
		if known {
			break
		}
	}
	return nil
}

// Views are several views that are closed together.
type Views []*View

// Close closes them all.
func (all Views) Close() error {
	var errs []error
	for _, v := range all {
		errs = append(errs, v.Close())
	}
	return errors.Join(errs...)
}

// Close closes the layers.
func (v *View) Close() error {
	var errs []error
	for _, r := range v.readers {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

// without returns the file system without some files in its root.
func (v *View) without(names ...string) *View {
	rest := &View{entries: maps.Clone(v.entries)}
	for _, name := range names {
		delete(rest.entries, name)
	}
	root := *rest.entries["."]
	root.children = slices.DeleteFunc(slices.Clone(root.children), func(child string) bool { return slices.Contains(names, child) })
	rest.entries["."] = &root
	return rest
}

// Names returns all files, sorted.
func (v *View) Names() []string {
	var names []string
	for name, e := range v.entries {
		if e.layer != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (v *View) find(op, name string) (*entry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	e := v.entries[name]
	if e == nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return e, nil
}

// Open implements fs.FS.
func (v *View) Open(name string) (fs.File, error) {
	e, err := v.find("open", name)
	if err != nil {
		return nil, err
	}
	return &viewFile{v, e, io.NewSectionReader(e, 0, e.size), 0}, nil
}

// Stat implements fs.StatFS.
func (v *View) Stat(name string) (fs.FileInfo, error) { return v.find("stat", name) }

// ReadDir implements fs.ReadDirFS.
func (v *View) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := v.find("readdir", name)
	if err != nil {
		return nil, err
	}
	var out []fs.DirEntry
	for _, child := range e.children {
		out = append(out, fs.FileInfoToDirEntry(v.entries[path.Join(name, child)]))
	}
	return out, nil
}

// ReadAt implements io.ReaderAt, within the file.
func (e *entry) ReadAt(p []byte, off int64) (int, error) {
	if e.layer == nil {
		return 0, &fs.PathError{Op: "read", Path: e.name, Err: errors.New("is a folder")}
	}
	return e.layer.ReadAt(p, e.offset+off)
}

// Name implements fs.FileInfo.
func (e *entry) Name() string { return path.Base(e.name) }

// Size implements fs.FileInfo.
func (e *entry) Size() int64 { return e.size }

// ModTime implements fs.FileInfo: a bundle has no times.
func (e *entry) ModTime() time.Time { return time.Unix(0, 0) }

// IsDir implements fs.FileInfo.
func (e *entry) IsDir() bool { return e.layer == nil }

// Sys implements fs.FileInfo.
func (e *entry) Sys() any { return nil }

// Mode implements fs.FileInfo.
func (e *entry) Mode() fs.FileMode {
	if e.layer == nil {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// viewFile is an open file or folder.
type viewFile struct {
	view *View
	*entry
	*io.SectionReader
	read int // entries of a folder
}

// Stat implements fs.File.
func (f *viewFile) Stat() (fs.FileInfo, error) { return f.entry, nil }

// Close implements fs.File.
func (f *viewFile) Close() error { return nil }

// Size returns the size of the file.
func (f *viewFile) Size() int64 { return f.entry.size }

// ReadAt implements io.ReaderAt, within the file.
func (f *viewFile) ReadAt(p []byte, off int64) (int, error) { return f.SectionReader.ReadAt(p, off) }

// ReadDir implements fs.ReadDirFile.
func (f *viewFile) ReadDir(n int) ([]fs.DirEntry, error) {
	all, err := f.view.ReadDir(f.entry.name)
	if err != nil {
		return nil, err
	}
	rest := all[min(f.read, len(all)):]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	f.read += len(rest)
	return rest, nil
}
