package verify

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"strings"

	"github.com/larder-build/larder/internal/oci"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/proof/sbom"
)

// These are the names of whiteouts in a layer, from the image specification.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq" // all that lower layers have in the folder
)

// Contents finds the contents of each of some images. keep, unless it is nil, keeps the binaries of Go.
func Contents(ctx context.Context, images []*oci.Image, keep *Keep, p progress.Reporter) (list []*sbom.Contents, err error) {
	p = progress.Or(p)
	layers := 0
	for _, image := range images {
		layers += len(image.Manifest.Layers)
	}
	p.Begin("read layers", layers, 0)
	for _, image := range images {
		c, err := contents(ctx, image, keep, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", image.Platform, err)
		}
		list = append(list, c)
	}
	return list, nil
}

// contents finds the contents of an image in its layers, from the highest down, so that it knows for each file whether a
// higher layer hides it. It unpacks only one binary at a time.
func contents(ctx context.Context, image *oci.Image, keep *Keep, p progress.Reporter) (*sbom.Contents, error) {
	c := &sbom.Contents{}
	above := newCovers()
	for n := len(image.Manifest.Layers) - 1; n >= 0; n-- {
		l := newLayer(above)
		l.keep = keep
		w := &watchedReader{item: image.Manifest.Layers[n].Digest.String(), p: p}
		err := image.ReadLayer(ctx, n, func(r io.Reader) error {
			w.Reader = r
			return l.read(w)
		})
		if err != nil {
			return nil, err
		}
		p.Done(w.item, w.size)
		if err := l.finish(c); err != nil {
			return nil, err
		}
		above.add(l.next)
	}
	c.Finish()
	return c, nil
}

// covers are the names that layers hide in the layers below.
type covers struct {
	hidden  map[string]bool // with all that is below
	opaque  map[string]bool // all that is below
	folders map[string]bool // in the place of files
	needed  map[string]bool // hides nothing: the folders that names go through, which lower layers have to have
}

func newCovers() covers {
	return covers{hidden: map[string]bool{}, opaque: map[string]bool{}, folders: map[string]bool{}, needed: map[string]bool{}}
}

// add adds the names that another layer hides.
func (c covers) add(more covers) {
	maps.DeleteFunc(c.needed, func(dir string, _ bool) bool { return more.hides(dir) })
	maps.Copy(c.needed, more.needed)
	maps.Copy(c.hidden, more.hidden)
	maps.Copy(c.opaque, more.opaque)
	maps.Copy(c.folders, more.folders)
}

// hides reports whether a file is hidden.
func (c covers) hides(name string) bool {
	if c.hidden[name] || c.folders[name] {
		return true
	}
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if c.hidden[dir] || c.opaque[dir] {
			return true
		}
		if dir == "/" {
			return false
		}
	}
}

// A layer is the state of reading one layer.
type layer struct {
	covers                            // of the layers above
	next      covers                  // what this one hides
	found     map[string]*sbom.Binary // in this layer, hidden or not, since links may lead to them; nil for other files
	databases map[string][]byte
	links     map[string]bool // symbolic ones
	through   map[string]bool // the folders that names go through
	keep      *Keep           // nil for none
}

func newLayer(above covers) *layer {
	return &layer{covers: above, next: newCovers(), found: map[string]*sbom.Binary{}, databases: map[string][]byte{}, links: map[string]bool{}, through: map[string]bool{}}
}

const (
	maxDatabase = 64<<20 + 1 // bytes of a list of packages that are kept: one more than package sbom takes
	maxBinary   = 4 << 30    // bytes of a program
)

func (l *layer) read(r io.Reader) error {
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.entry(h, tr); err != nil {
			return err
		}
	}
}

// entry reads an entry as containerd does when it unpacks a layer, or refuses it.
func (l *layer) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // it has a name, and is no file
	}
	name := path.Join("/", h.Name)
	if name == "/" && h.Typeflag != tar.TypeDir {
		return fmt.Errorf("%q is no folder: expected the root of an image to be one", h.Name)
	}
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "SCHILY.xattr.trusted.overlay.") || strings.HasPrefix(record, "SCHILY.xattr.user.overlay.") {
			return fmt.Errorf("%s has the attribute %s, by which one file system shows other files than another: expected none", name, record)
		}
	}
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	if err := l.goThrough(dir); err != nil {
		return err
	}
	if hides, ok := strings.CutPrefix(base, whiteout); ok {
		return l.hide(dir, hides)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		delete(l.links, name)
		delete(l.found, name)
		delete(l.databases, name)
		l.next.folders[name] = true
		return nil
	case tar.TypeChar, tar.TypeBlock:
		return nil // a builder without root leaves it out, and has what it replaces
	}
	l.next.hidden[name] = true
	l.forget(name) // of an entry that comes twice the last one counts
	return l.file(name, h, r)
}

// hide reads a whiteout.
func (l *layer) hide(dir, name string) error {
	switch {
	case whiteout+name == opaque:
		l.next.opaque[dir] = true
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%s hides the name %q: expected that of a file", path.Join(dir, whiteout+name), name)
	default:
		l.next.hidden[path.Join(dir, name)] = true
	}
	return nil
}

// file reads an entry that is neither a folder nor a device.
func (l *layer) file(name string, h *tar.Header, r io.Reader) (err error) {
	switch h.Typeflag {
	case tar.TypeReg:
		if sbom.IsDatabase(name) {
			l.found[name] = nil
			l.databases[name], err = io.ReadAll(io.LimitReader(r, maxDatabase))
			return err
		}
		l.found[name], err = inspect(name, r, l.keep)
		return err
	case tar.TypeSymlink:
		// What lies below a link is elsewhere in truth, so that nobody could tell what hides it.
		if l.through[name] || l.needed[name] {
			return fmt.Errorf("%s is a link, and files are written through it: expected a folder", name)
		}
		l.links[name] = true
		return nil
	case tar.TypeLink:
		return l.link(name, path.Join("/", h.Linkname))
	case tar.TypeFifo:
		return nil
	}
	return fmt.Errorf("%s is of the type %q: expected a file, a folder, a link, a pipe or a device", name, h.Typeflag)
}

// link reads a hard link. It refuses a link to a file of another layer, which would stay that file even if a later
// layer hides it.
func (l *layer) link(name, to string) error {
	b, ok := l.found[to]
	if !ok {
		return fmt.Errorf("%s is a hard link to %s, which is no file of the same layer: expected one that is", name, to)
	}
	if b != nil {
		linked := *b
		linked.Path = name
		b = &linked
	}
	l.found[name] = b
	return nil
}

// goThrough records the folders of a name. It refuses a folder that is a link.
func (l *layer) goThrough(dir string) error {
	for ; dir != "/"; dir = path.Dir(dir) {
		if l.links[dir] {
			return fmt.Errorf("%s is a link, and files are written through it: expected a folder", dir)
		}
		l.through[dir] = true
		if !l.next.folders[dir] {
			l.next.needed[dir] = true
		}
	}
	return nil
}

// forget removes a name, and all names below it, that this layer had before: the new entry replaces them.
func (l *layer) forget(name string) {
	delete(l.links, name)
	delete(l.found, name)
	delete(l.databases, name)
	if !l.through[name] {
		return
	}
	below := func(other string) bool { return strings.HasPrefix(other, name+"/") }
	maps.DeleteFunc(l.links, func(other string, _ bool) bool { return below(other) })
	maps.DeleteFunc(l.found, func(other string, _ *sbom.Binary) bool { return below(other) })
	maps.DeleteFunc(l.databases, func(other string, _ []byte) bool { return below(other) })
}

// inspect reads a file out of a layer: into a temporary file, if it may be a binary.
func inspect(name string, r io.Reader, keep *Keep) (b *sbom.Binary, err error) {
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(4)
	if err != nil || !sbom.IsBinary(head) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return nil, err
	}
	f, err := os.CreateTemp(keep.folder(), "larder-verify-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if keep == nil {
		if err := os.Remove(f.Name()); err != nil { // it is gone with its last user
			return nil, err
		}
	}
	size, err := io.Copy(f, io.LimitReader(buffered, maxBinary+1))
	if err == nil && size > maxBinary {
		err = fmt.Errorf("expected a program of at most %d bytes", int64(maxBinary))
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	b, err = sbom.Inspect(name, f, size)
	if keep != nil {
		err = errors.Join(err, keep.settle(f.Name(), b, size))
	}
	return b, err
}

// finish adds the binaries and packages that aren't hidden.
func (l *layer) finish(into *sbom.Contents) error {
	for name, b := range l.found {
		if b != nil && !l.hides(name) {
			into.Binaries = append(into.Binaries, *b)
		}
	}
	for name, data := range l.databases {
		if l.hides(name) {
			continue
		}
		if err := into.AddDatabase(name, strings.NewReader(string(data))); err != nil {
			return err
		}
	}
	return nil
}
