package gitfetch

import (
	"bufio"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/filesystem"
	modzip "golang.org/x/mod/zip"
)

// packLimits are bounds on what a server sends in one pack.
type packLimits struct {
	bytes    int64 // of the pack
	objects  uint32
	inflated int64 // bytes of all objects, deltas applied
}

var (
	ofOneCommit = packLimits{bytes: 2 << 30, objects: maxEntries, inflated: 4 << 30}
	ofHistory   = packLimits{bytes: 8 << 30, objects: 4 * maxEntries, inflated: 128 << 30}
)

const (
	maxObject = modzip.MaxZipFile // bytes of an object: a module has no larger file
	// maxChain is the greatest number of bytes of an object and of all objects that it is a delta of. All of these are in
	// memory at the same time.
	maxChain = 2 << 30
	// maxRatio bounds the size of a small pack's objects: beyond the size of one module, they may have at most this many
	// times the bytes of the pack. Of whole histories of Go projects, which are mostly deltas, they are 20 to 60 times.
	maxRatio = 200
)

// storePack stores the objects of a pack. The numbers in a pack decide how much memory and time its index takes. So
// the pack is first written to a file, and checked there.
func storePack(into *filesystem.Storage, pack io.Reader, limits packLimits) (err error) {
	dir := filepath.Join(into.Filesystem().Root(), "objects", "pack")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	limited := &limitReader{r: pack, left: limits.bytes}
	size, err := io.Copy(f, limited)
	if err != nil {
		return err
	}
	if size == 0 {
		return io.ErrUnexpectedEOF
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	limits.inflated = min(limits.inflated, modzip.MaxZipFile+maxRatio*size)
	if err := checkPack(f, limits); err != nil {
		return err
	}
	if err := indexPack(f, dir); err != nil {
		return err
	}
	into.ObjectStorage.Reindex()
	return nil
}

// indexPack writes the index of a pack beside it, and gives both their names.
func indexPack(f *os.File, dir string) (err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	index := new(idxfile.Writer)
	parser, err := packfile.NewParser(packfile.NewScanner(f), index)
	if err != nil {
		return err
	}
	sum, err := parser.Parse()
	if err != nil {
		return err
	}
	written, err := index.Index()
	if err != nil {
		return err
	}
	base := filepath.Join(dir, "pack-"+sum.String())
	w, err := os.Create(base + ".idx")
	if err != nil {
		return err
	}
	_, err = idxfile.NewEncoder(w).Encode(written)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), base+".pack")
}

// checkPack reads a pack, and refuses one that isn't within limits. It keeps only the sizes of the objects. For the
// format see gitformat-pack(5).
func checkPack(r io.Reader, limits packLimits) error {
	c := packCheck{r: &countReader{r: bufio.NewReaderSize(r, 64<<10)}, limits: limits, chains: map[int64]int64{}}
	var head [12]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return broke(err)
	}
	if string(head[:8]) != "PACK\x00\x00\x00\x02" {
		return errors.New("it sends no pack of version 2")
	}
	count := binary.BigEndian.Uint32(head[8:])
	if count > limits.objects {
		return fmt.Errorf("it promises %d objects: Larder takes at most %d", count, limits.objects)
	}
	for range count {
		if err := c.object(); err != nil {
			return err
		}
	}
	if c.byName && c.deltas > maxChain {
		return fmt.Errorf("its deltas make more than %d bytes of each other", int64(maxChain))
	}
	return nil
}

// A packCheck is the state of a pack's check.
type packCheck struct {
	r      *countReader
	zlib   io.ReadCloser // used again for each object
	limits packLimits
	total  int64           // bytes of the objects so far
	deltas int64           // of those, what deltas make
	byName bool            // some deltas name their base by its hash, so that any chain is possible
	chains map[int64]int64 // of an object at a place, the bytes of it and of all that it is a delta of
}

// countReader counts the bytes that were read of a pack. It is an io.ByteReader, so that zlib reads no further than it
// has to.
type countReader struct {
	r  *bufio.Reader
	at int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.at += int64(n)
	return n, err
}

func (c *countReader) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err != nil {
		return 0, broke(err)
	}
	c.at++
	return b, nil
}

// object checks the next object.
func (c *packCheck) object() error {
	at := c.r.at
	kind, size, err := c.header()
	if err != nil {
		return err
	}
	var below int64
	switch kind {
	case plumbing.CommitObject, plumbing.TreeObject, plumbing.BlobObject, plumbing.TagObject:
	case plumbing.OFSDeltaObject:
		back, err := readOffset(c.r)
		if err != nil {
			return err
		}
		chain, ok := c.chains[at-back]
		if !ok {
			return errors.New("it sends a delta of an object that isn't there")
		}
		below = chain
	case plumbing.REFDeltaObject:
		c.byName = true
		if _, err := io.CopyN(io.Discard, c.r, 20); err != nil {
			return broke(err)
		}
	default:
		return fmt.Errorf("it sends an object of the unknown type %d", kind)
	}
	if size > maxObject {
		return tooLarge(size)
	}
	made, err := c.inflate(size, kind.IsDelta())
	if err != nil {
		return err
	}
	return c.count(at, made, below, kind.IsDelta())
}

// count adds the objects and bytes that an object makes, and checks the limits.
func (c *packCheck) count(at, made, below int64, delta bool) error {
	if made > maxObject {
		return tooLarge(made)
	}
	if c.total += made; c.total > c.limits.inflated {
		return fmt.Errorf("its objects have more than %d bytes, which are more than Larder takes for %d bytes that it sends", c.limits.inflated, c.r.at)
	}
	if delta {
		c.deltas += made
	}
	if below+made > maxChain {
		return fmt.Errorf("its deltas make more than %d bytes of each other", int64(maxChain))
	}
	c.chains[at] = below + made
	return nil
}

func tooLarge(size int64) error {
	return fmt.Errorf("it has an object of %d bytes: a module has files of at most %d bytes", size, int64(maxObject))
}

// header reads an object's type and size. For a delta it is the size of the delta itself.
func (c *packCheck) header() (plumbing.ObjectType, int64, error) {
	b, err := c.r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	kind, size := plumbing.ObjectType(b>>4&7), int64(b&15)
	for shift := 4; b&0x80 != 0; shift += 7 {
		if b, err = c.r.ReadByte(); err != nil {
			return 0, 0, err
		}
		if shift > 53 {
			return 0, 0, tooLarge(math.MaxInt64)
		}
		size |= int64(b&0x7f) << shift
	}
	return kind, size, nil
}

// readOffset reads how far back the base of a delta is.
func readOffset(r io.ByteReader) (int64, error) {
	var n int64
	for i := range 8 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if i > 0 {
			n++
		}
		if n = n<<7 | int64(b&0x7f); b&0x80 == 0 {
			return n, nil
		}
	}
	return 0, errors.New("it sends a delta of an object that isn't there")
}

// inflate reads the content of an object, and returns its size. For a delta, it returns the size of the object that the
// delta makes.
func (c *packCheck) inflate(size int64, delta bool) (int64, error) {
	var err error
	if c.zlib == nil {
		c.zlib, err = zlib.NewReader(c.r)
	} else {
		err = c.zlib.(zlib.Resetter).Reset(c.r, nil)
	}
	if err != nil {
		return 0, broke(err)
	}
	var head [20]byte // two numbers
	n, err := io.ReadFull(c.zlib, head[:min(size, int64(len(head)))])
	if err == nil {
		var rest int64
		rest, err = io.Copy(io.Discard, io.LimitReader(c.zlib, size-int64(n)+1))
		if int64(n)+rest != size && err == nil {
			err = fmt.Errorf("it sends an object that isn't of the size that it says (%d bytes)", size)
		}
	}
	if err != nil {
		return 0, broke(err)
	}
	if !delta {
		return size, nil
	}
	_, first := binary.Uvarint(head[:n])
	if first <= 0 {
		return 0, errors.New("it sends a delta without the size of its base")
	}
	made, second := binary.Uvarint(head[first:n])
	if second <= 0 || made > math.MaxInt64 {
		return 0, errors.New("it sends a delta without a size that it makes")
	}
	return int64(made), nil
}

// broke returns io.ErrUnexpectedEOF for a pack that broke off, which may be whole at the next try, and another error
// for a damaged pack.
func broke(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("what it sends is damaged: %w", err)
}
