package gitfetch

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/larder-build/larder/internal/testkit"
)

const (
	blobObject = 3
	ofsDelta   = 6
	refDelta   = 7
)

// A packWriter writes a pack of whatever objects.
type packWriter struct {
	bytes.Buffer
	count   uint32
	promise uint32 // of objects, if another number than there are
}

// add adds an object, and returns its place. Its header says size, whatever the content has.
func (w *packWriter) add(kind byte, size uint64, base, content []byte) int64 {
	w.count++
	at := int64(w.Len()) + 12
	b := kind<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		w.WriteByte(b | 0x80)
		b = byte(size & 0x7f)
	}
	w.WriteByte(b)
	w.Write(base)
	z := zlib.NewWriter(w)
	_, _ = z.Write(content)
	_ = z.Close()
	return at
}

func (w *packWriter) object(kind byte, content []byte) int64 {
	return w.add(kind, uint64(len(content)), nil, content)
}

// delta adds a delta of what is at a place, of from bytes, that says to make so many, and does so by copying.
func (w *packWriter) delta(of int64, from, makes uint64) int64 {
	content := delta(from, makes)
	return w.add(ofsDelta, uint64(len(content)), offset(int64(w.Len())+12-of), content)
}

func delta(from, makes uint64) []byte {
	d := binary.AppendUvarint(binary.AppendUvarint(nil, from), makes)
	for left := makes; left > 0 && len(d) < 1<<20; {
		n := min(left, from, 1<<24-1)
		d = append(d, 0x80|0x70, byte(n), byte(n>>8), byte(n>>16)) // copy n from 0
		left -= n
	}
	return d
}

func offset(back int64) []byte {
	list := []byte{byte(back & 0x7f)}
	for back >>= 7; back > 0; back >>= 7 {
		back--
		list = append([]byte{byte(back&0x7f) | 0x80}, list...)
	}
	return list
}

func (w *packWriter) pack() []byte {
	count := w.count
	if w.promise > 0 {
		count = w.promise
	}
	p := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), count)
	p = append(p, w.Bytes()...)
	sum := sha1.Sum(p)
	return append(p, sum[:]...)
}

// hostilePacks are packs, by the error that each gives.
func hostilePacks() map[string][]byte {
	const mb = 1 << 20
	zeros := make([]byte, 16*mb)
	packs := map[string][]byte{}
	attack := func(want string, write func(w *packWriter)) {
		var w packWriter
		write(&w)
		packs[want] = w.pack()
	}
	attack("it promises 4294967295 objects: Larder takes at most 1000000", func(w *packWriter) { w.promise = math.MaxUint32 })
	attack("it has an object of 4294967296 bytes: a module has files of at most 524288000 bytes", func(w *packWriter) {
		w.delta(w.object(blobObject, zeros), 16*mb, 4<<30)
	})
	attack("it has an object of 1099511627776 bytes", func(w *packWriter) { w.add(blobObject, 1<<40, nil, zeros) })
	attack("it has an object of 9223372036854775807 bytes", func(w *packWriter) { w.add(blobObject, 1<<63, nil, zeros) })
	attack("it sends an object that isn't of the size that it says (5 bytes)", func(w *packWriter) { w.add(blobObject, 5, nil, zeros) })
	attack("it sends an object that isn't of the size that it says (500000000 bytes)", func(w *packWriter) { w.add(blobObject, 500_000_000, nil, zeros) })
	attack("bytes, which are more than Larder takes for", func(w *packWriter) { // many deltas of one object
		base := w.object(blobObject, zeros)
		for range 100 {
			w.delta(base, 16*mb, 400*mb)
		}
	})
	attack("its deltas make more than 2147483648 bytes of each other", func(w *packWriter) { // each a delta of the one before
		noise := make([]byte, 12*mb) // that a larger total is within the bounds of what was sent
		for i := range noise {
			noise[i] = byte(i * i >> 7)
		}
		w.add(blobObject, uint64(len(noise)), nil, noise)
		w.Write(store(noise))
		w.count++
		at := w.object(blobObject, zeros)
		for range 200 {
			at = w.delta(at, 16*mb, 16*mb)
		}
	})
	attack("it sends a delta of an object that isn't there", func(w *packWriter) { w.delta(12, 1, 1) })
	attack("it sends a delta without the size of its base", func(w *packWriter) {
		at := w.object(blobObject, []byte("a"))
		w.add(ofsDelta, 0, offset(int64(w.Len())+12-at), nil)
	})
	attack("it sends an object of the unknown type 5", func(w *packWriter) { w.object(5, zeros) })
	attack("reference delta not found", func(w *packWriter) { // a thin pack, which nobody asked for
		w.add(refDelta, uint64(len(delta(1, 1))), bytes.Repeat([]byte{1}, 20), delta(1, 1))
	})
	return packs
}

// store is an object that zlib doesn't make smaller.
func store(data []byte) []byte {
	size := uint64(len(data))
	head := []byte{blobObject<<4 | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	b := bytes.NewBuffer(head)
	z, _ := zlib.NewWriterLevel(b, zlib.NoCompression)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

func line(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// servePack serves one tag and, for whatever is asked, a pack.
func servePack(t *testing.T, pack []byte) http.Handler {
	hash := strings.Repeat("12", 20)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, infoRefs) {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
			_, _ = io.WriteString(w, line("# service=git-upload-pack\n")+"0000"+line(hash+" HEAD\x00shallow ofs-delta\n")+line(hash+" refs/tags/v1.0.0\n")+"0000")
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
		_, _ = io.WriteString(w, line("shallow "+hash)+"0000"+line("NAK\n"))
		_, _ = w.Write(pack)
	})
}

// A server that sends a small pack of objects without end is refused before they are made, and leaves nothing behind.
func TestHostilePacks(t *testing.T) {
	c := newCorp(t)
	for want, pack := range hostilePacks() {
		t.Run(want, func(t *testing.T) {
			c.web.Handle(host, testkit.Guarded(servePack(t, pack), testkit.Basic("ci", token)))
			f := c.fetcher(netrc, Options{})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := f.Fetch(t.Context(), lib)
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, "https://"+host+"/lib: ")
			require.NotContains(t, err.Error(), "\n")
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), "a pack of %d bytes takes memory", len(pack))
			left, err := filepath.Glob(filepath.Join(f.Dir, "repo0", "objects", "objects", "pack", "*"))
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

// A pack of more bytes, or more objects, than may be is refused where the limit is.
func TestPackLimits(t *testing.T) {
	var w packWriter
	at := w.object(blobObject, []byte("hello"))
	w.delta(at, 5, 10)
	pack := w.pack()
	require.NoError(t, checkPack(bytes.NewReader(pack), packLimits{objects: 2, inflated: 15}))
	require.ErrorContains(t, checkPack(bytes.NewReader(pack), packLimits{objects: 1, inflated: 15}), "it promises 2 objects")
	require.ErrorContains(t, checkPack(bytes.NewReader(pack), packLimits{objects: 2, inflated: 14}), "its objects have more than 14 bytes")
	into, err := newStorage(t.TempDir())
	require.NoError(t, err)
	require.ErrorContains(t, storePack(into, bytes.NewReader(pack), packLimits{bytes: int64(len(pack)) - 1, objects: 2, inflated: 15}), "it sends more than Larder takes")
	require.NoError(t, storePack(into, bytes.NewReader(pack), packLimits{bytes: int64(len(pack)), objects: 2, inflated: 15}))
	for n := range len(pack) - 20 {
		require.ErrorIs(t, checkPack(bytes.NewReader(pack[:n]), ofOneCommit), io.ErrUnexpectedEOF, "%d bytes", n)
	}
}

// Whatever a server sends as a pack is stored or refused, within the bounds that it is checked for.
func FuzzPack(f *testing.F) {
	for _, pack := range hostilePacks() {
		if len(pack) < 64<<10 {
			f.Add(pack)
		}
	}
	var w packWriter
	at := w.object(blobObject, []byte("hello"))
	w.delta(at, 5, 10)
	sum := sha1.Sum([]byte("blob 5\x00hello"))
	w.add(refDelta, uint64(len(delta(5, 3))), sum[:], delta(5, 3))
	f.Add(w.pack())
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, pack []byte) {
		if len(pack) > 20 { // a fuzzer doesn't find the sum at the end
			sum := sha1.Sum(pack[:len(pack)-20])
			pack = append(pack[:len(pack)-20:len(pack)-20], sum[:]...)
		}
		if checkPack(bytes.NewReader(pack), packLimits{objects: 1000, inflated: 1 << 20}) != nil {
			return
		}
		file, err := os.CreateTemp(dir, "")
		require.NoError(t, err)
		defer os.Remove(file.Name())
		defer file.Close()
		_, err = file.Write(pack)
		require.NoError(t, err)
		out, err := os.MkdirTemp(dir, "")
		require.NoError(t, err)
		defer os.RemoveAll(out)
		_ = indexPack(file, out)
	})
}

// Whatever a server answers to a request is read as a pack or refused.
func FuzzProtocol(f *testing.F) {
	var w packWriter
	w.object(blobObject, []byte("hello"))
	pack := string(w.pack())
	f.Add([]byte("0008NAK\n"+pack), false, 0)
	f.Add([]byte("0035shallow "+strings.Repeat("12", 20)+"\n00000008NAK\n"+pack), false, 1)
	f.Add([]byte("0008NAK\n0006\x02x0005\x010009\x03stop0000"), true, 0)
	adv, err := readRefs(strings.NewReader(line(strings.Repeat("12", 20)+" HEAD\x00shallow ofs-delta side-band-64k\n") + "0000"))
	require.NoError(f, err)
	plain, err := readRefs(strings.NewReader(line(strings.Repeat("12", 20)+" HEAD\x00shallow ofs-delta\n") + "0000"))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, answer []byte, sideband bool, depth int) {
		can := plain
		if sideband {
			can = adv
		}
		req := newRequest(can.Capabilities, nil, min(max(depth, 0), 1), "")
		r, err := openPack(io.NopCloser(bytes.NewReader(answer)), req)
		if err != nil {
			return
		}
		if err := checkPack(r, packLimits{objects: 1000, inflated: 1 << 20}); err != nil {
			require.NotContains(t, broken(err).Error(), "\n")
		}
	})
}
