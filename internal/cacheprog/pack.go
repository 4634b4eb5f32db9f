package cacheprog

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sync/errgroup"
)

// A pack is what a Dir has of the actions whose IDs begin with one digit, as a tar file compressed by zstd: for each
// action, by their order, the line that names its output and then that output, by the names that they have in a Dir. A
// build's client sends sixteen files many times faster than thousands.
const packSuffix = ".tar.zst"

// Pack writes what folders hold as packs into the folder out, and returns the number of actions. An entry that isn't right
// is left out. The time in entries and of files is stamp, so that equal folders give equal packs.
func Pack(ctx context.Context, out string, from []Dir, stamp time.Time) (count int, err error) {
	var counts [16]int
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range counts {
		group.Go(func() error {
			digit := fmt.Sprintf("%x", i)
			n, err := writePack(ctx, filepath.Join(out, digit+packSuffix), digit, from, stamp)
			if err != nil {
				return fmt.Errorf("packing the compile cache: %w", err)
			}
			counts[i] = n
			return nil
		})
	}
	err = group.Wait()
	for _, n := range counts {
		count += n
	}
	return count, err
}

func writePack(ctx context.Context, name, digit string, from []Dir, stamp time.Time) (count int, err error) {
	holder := map[string]Dir{} // by the action's ID
	for _, d := range from {
		actions, err := d.actions(digit)
		if err != nil {
			return 0, err
		}
		for _, action := range actions {
			holder[string(action)] = d
		}
	}
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	z, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return 0, err
	}
	w := tar.NewWriter(z)
	for _, id := range slices.Sorted(maps.Keys(holder)) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		e, ok := holder[id].Get([]byte(id), true)
		if !ok {
			continue
		}
		if err := e.writeTo(w, []byte(id), stamp); err != nil {
			return 0, err
		}
		count++
	}
	return count, errors.Join(w.Close(), z.Close(), f.Close())
}

// writeTo writes an entry and its data.
func (e Entry) writeTo(w *tar.Writer, action []byte, stamp time.Time) error {
	f, err := os.Open(e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	file := func(id []byte, kind string, size int64, body io.Reader) error {
		header := tar.Header{Name: packed(id, kind), Size: size, Mode: 0o644, ModTime: stamp}
		if err := w.WriteHeader(&header); err != nil {
			return err
		}
		_, err := io.Copy(w, body)
		return err
	}
	if err := file(action, "a", int64(entrySize), strings.NewReader(entryLine(action, e.OutputID, e.Size, stamp))); err != nil {
		return err
	}
	return file(e.OutputID, "d", e.Size, f)
}

// packed is the name of an ID's file in a pack: that in a Dir, below it.
func packed(id []byte, kind string) string { return Dir("").file(id, kind) }

// Unpack stores the entries of the packs in a folder that d lacks, and returns how many. Like what CopyAll takes, they are
// untrusted: an entry that isn't right is left out, a pack that can't be read on ends there. The error is that of such a
// pack, a full disk's or the end of ctx; what was stored by then is whole.
func (d Dir) Unpack(ctx context.Context, from string) (stored int, err error) {
	files, err := filepath.Glob(filepath.Join(from, "[0-9a-f]"+packSuffix))
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", from, err)
	}
	counts := make([]int, len(files))
	var group errgroup.Group // without a context: a bad pack leaves the others be
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, name := range files {
		group.Go(func() error {
			f, err := os.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			if counts[i], err = d.unpack(ctx, f); err != nil {
				return fmt.Errorf("reading %s: %w", filepath.Base(name), err)
			}
			return nil
		})
	}
	err = group.Wait()
	for _, n := range counts {
		stored += n
	}
	return stored, err
}

// unpack stores the entries of a pack.
func (d Dir) unpack(ctx context.Context, pack io.Reader) (stored int, err error) {
	z, err := zstd.NewReader(pack, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return 0, err
	}
	defer z.Close()
	r := tar.NewReader(z)
	for {
		if err := ctx.Err(); err != nil {
			return stored, err
		}
		action, e, err := nextEntry(r)
		if err == io.EOF {
			return stored, nil
		}
		if err != nil {
			return stored, err
		}
		if _, ok := d.Get(action, false); ok {
			continue
		}
		switch _, err := d.put(action, e.OutputID, e.Size, r, time.Time{}); {
		case errors.Is(err, errMismatch):
		case err != nil:
			return stored, err
		default:
			stored++
		}
	}
}

// nextEntry reads the next entry of a pack, up to its data. The error is io.EOF if there is none.
func nextEntry(r *tar.Reader) (action []byte, e Entry, err error) {
	header, err := r.Next()
	if err != nil {
		return nil, e, err
	}
	text, ok := strings.CutSuffix(path.Base(header.Name), "-a")
	action, err = hex.DecodeString(text)
	if !ok || err != nil || len(action) != idSize || header.Size != int64(entrySize) {
		return nil, e, fmt.Errorf("%q is no entry", header.Name)
	}
	line := make([]byte, entrySize)
	if _, err := io.ReadFull(r, line); err != nil {
		return nil, e, err
	}
	if e, ok = parseEntry(line, action); !ok {
		return nil, e, fmt.Errorf("%q is no entry", header.Name)
	}
	header, err = r.Next()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && (header.Name != packed(e.OutputID, "d") || header.Size != e.Size) {
		err = fmt.Errorf("%q is not the output of action %x", header.Name, action)
	}
	return action, e, err
}
