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

	"github.com/larder-build/larder/internal/ociimage"
	"github.com/larder-build/larder/internal/sbom"
)

// What a layer takes away, as the image specification has it.
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq" // all that lower layers have in the folder
)

// read finds the contents of an image in its layers, from the highest down, so that it is known of each file whether it is
// still there. Nothing is unpacked but one binary at a time.
func read(ctx context.Context, image *ociimage.Image) (*sbom.Contents, error) {
	c := &sbom.Contents{}
	above := newCovers()
	for n := len(image.Manifest.Layers) - 1; n >= 0; n-- {
		l := layer{covers: above, into: c, next: newCovers(), found: map[string]*sbom.Binary{}, databases: map[string][]byte{}}
		if err := image.ReadLayer(ctx, n, l.read); err != nil {
			return nil, err
		}
		if err := l.finish(); err != nil {
			return nil, err
		}
		above.add(l.next)
	}
	c.Finish()
	return c, nil
}

// covers is what layers hide of those below.
type covers struct {
	hidden  map[string]bool // with all that is below
	opaque  map[string]bool // all that is below
	folders map[string]bool // in the place of files
}

func newCovers() covers {
	return covers{hidden: map[string]bool{}, opaque: map[string]bool{}, folders: map[string]bool{}}
}

func (c covers) add(more covers) {
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

// A layer is one that is read.
type layer struct {
	covers           // of the layers above
	next      covers // what this one hides
	into      *sbom.Contents
	found     map[string]*sbom.Binary // in this layer, hidden or not, since links may lead to them; nil for other files
	databases map[string][]byte
}

// maxDatabase is how much of a list of packages is kept, in bytes.
const maxDatabase = 64<<20 + 1 // one more than package sbom takes

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

func (l *layer) entry(h *tar.Header, r io.Reader) (err error) {
	name := path.Join("/", h.Name)
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	switch {
	case base == opaque:
		l.next.opaque[dir] = true
		return nil
	case strings.HasPrefix(base, whiteout):
		l.next.hidden[path.Join(dir, strings.TrimPrefix(base, whiteout))] = true
		return nil
	case h.Typeflag == tar.TypeDir:
		l.next.folders[name] = true
		return nil
	}
	l.next.hidden[name] = true
	delete(l.found, name) // of an entry that comes twice the last one counts
	delete(l.databases, name)
	switch h.Typeflag {
	case tar.TypeReg:
		if sbom.IsDatabase(name) {
			l.databases[name], err = io.ReadAll(io.LimitReader(r, maxDatabase))
			return err
		}
		if b, err := inspect(name, r); err != nil || b != nil {
			l.found[name] = b
			return err
		}
	case tar.TypeLink:
		if b := l.found[path.Join("/", h.Linkname)]; b != nil {
			linked := *b
			linked.Path = name
			l.found[name] = &linked
		}
	}
	return nil
}

// inspect reads a file out of a layer: into a temporary file, if it may be a binary.
func inspect(name string, r io.Reader) (b *sbom.Binary, err error) {
	buffered := bufio.NewReader(r)
	head, err := buffered.Peek(4)
	if err != nil || !sbom.IsBinary(head) {
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return nil, err
	}
	f, err := os.CreateTemp("", "larder-verify-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := os.Remove(f.Name()); err != nil { // it is gone with its last user
		return nil, err
	}
	size, err := io.Copy(f, buffered)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return sbom.Inspect(name, f, size)
}

// finish adds what isn't hidden.
func (l *layer) finish() error {
	for name, b := range l.found {
		if !l.hides(name) {
			l.into.Binaries = append(l.into.Binaries, *b)
		}
	}
	for name, data := range l.databases {
		if l.hides(name) {
			continue
		}
		if err := l.into.AddDatabase(name, strings.NewReader(string(data))); err != nil {
			return err
		}
	}
	return nil
}
