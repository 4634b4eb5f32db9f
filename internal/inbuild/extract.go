package inbuild

import (
	"archive/zip"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/errgroup"

	"github.com/larder-build/larder/internal/fetch"
	"github.com/larder-build/larder/internal/fetch/modfetch"
)

// A placement returns, for the name of a file in a zip, the name and exact mode with which it is written. If written is
// false, the file is only hashed.
type placement func(name string) (as string, mode fs.FileMode, written bool)

// readOnly is the placement that the go command uses for a module's files.
func readOnly(name string) (string, fs.FileMode, bool) { return name, 0o444, true }

// extractChecked checks a module's zip, unpacks it into the folder dir of out, and compares its h1 hash. It hashes the
// same bytes that it writes, in one pass. Nothing else can write to the folder, which is a step's own output, so the
// tree needn't be read again. If the hash is wrong, the caller has to remove the files.
func extractChecked(ctx context.Context, out *os.Root, dir string, m module.Version, zip, from string, want modfetch.Expected, place placement) error {
	if err := modfetch.CheckZip(m, zip); err != nil {
		return err
	}
	got, err := extract(ctx, out, dir, zip, m.String()+"/", place)
	if err != nil {
		return fmt.Errorf("%s: unpacking its zip: %w", m, err)
	}
	if got != want.Hash {
		return want.Mismatch(m.String(), "zip", from, got)
	}
	return nil
}

// extract unpacks the files of a zip whose names begin with prefix into the folder dir of out, which it can't leave. It
// refuses a name without the prefix, a name that isn't local, a link, a special file, and more content than a module
// may have; the error quotes the entry. It makes the folders in the names of files, as the go command does. Modes and
// times are those of seal.
//
// It returns the zip's h1 hash, made of what it read: to have dirhash.HashZip read the zip would take as long again.
func extract(ctx context.Context, out *os.Root, dir, file, prefix string, place placement) (h1 string, err error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return "", err
	}
	defer z.Close()
	batches, err := parted(z.File, dir, prefix, place)
	if err != nil {
		return "", err
	}
	folders, err := foldersOf(out, dir, batches)
	if err != nil {
		return "", err
	}
	x := extraction{files: z.File, sums: make([]modfetch.FileSum, len(z.File))}
	x.left.Store(modzip.MaxZipFile)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, b := range batches {
		group.Go(func() error { return caught(func() error { return x.unpack(groupCtx, out, b) }) })
	}
	if err := cmp.Or(group.Wait(), context.Cause(ctx)); err != nil {
		return "", err
	}
	for _, name := range folders { // those below first
		if err := errors.Join(out.Chmod(name, 0o755), out.Chtimes(name, epoch, epoch)); err != nil {
			return "", err
		}
	}
	return modfetch.H1(x.sums), nil
}

// A batch is a group of files in one folder. The folder is opened once for all of them: to open it from the top for
// each file costs as much as to write a small one.
type batch struct {
	dir   string
	size  uint64
	files []zipEntry
}

// A zipEntry is the index of a file in its zip, with its placement.
type zipEntry struct {
	index   int
	name    string // in its folder
	mode    fs.FileMode
	written bool
}

// batchSize is the size of a batch in bytes. It is so small that all processors get work in a folder of large files,
// such as the tools of a toolchain.
const batchSize = 4 << 20

// parted checks the names of a zip's files and parts the files into batches.
func parted(files []*zip.File, dir, prefix string, place placement) ([]*batch, error) {
	var batches []*batch
	open := map[string]*batch{} // by folder
	for i, f := range files {
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok || !filepath.IsLocal(name) || path.Clean(name) != name || strings.Contains(name, `\`) || !f.Mode().IsRegular() {
			return nil, fmt.Errorf("entry %q is not a plain file below %s", f.Name, prefix)
		}
		as, mode, written := place(name)
		folder := path.Join(dir, path.Dir(as))
		if !written {
			folder = ""
		}
		b := open[folder]
		if b == nil || b.size > batchSize {
			b = &batch{dir: folder}
			batches, open[folder] = append(batches, b), b
		}
		b.size += f.UncompressedSize64
		b.files = append(b.files, zipEntry{i, path.Base(as), mode, written})
	}
	return batches, nil
}

// foldersOf makes the folders of batches. It returns them with all folders above them up to dir; each comes after its
// subfolders.
func foldersOf(out *os.Root, dir string, batches []*batch) ([]string, error) {
	all := map[string]bool{path.Clean(dir): true}
	for _, b := range batches {
		for d := b.dir; d != "" && !all[d]; d = path.Dir(d) {
			all[d] = true
		}
	}
	if err := out.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	folders := slices.Sorted(maps.Keys(all)) // a folder comes before what is in it
	for _, d := range folders {
		if err := out.Mkdir(d, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fetch.OneLine(err)
		}
	}
	slices.Reverse(folders)
	return folders, nil
}

// An extraction is the state of extract.
type extraction struct {
	files []*zip.File
	sums  []modfetch.FileSum
	left  atomic.Int64 // of the bytes that a module may have
}

func (x *extraction) unpack(ctx context.Context, out *os.Root, b *batch) error {
	if b.dir != "" {
		dir, err := out.OpenRoot(b.dir)
		if err != nil {
			return fetch.OneLine(err)
		}
		defer dir.Close()
		out = dir
	}
	for _, p := range b.files {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		f, content := x.files[p.index], sha256.New()
		n, err := extractFile(out, p, f, x.left.Load(), content)
		if err != nil {
			return fmt.Errorf("entry %q: %w", f.Name, fetch.OneLine(err))
		}
		x.left.Add(-n)
		x.sums[p.index] = modfetch.FileSum{Name: f.Name, Content: content.Sum(nil)}
	}
	return nil
}

// extractFile writes a file of a zip to dir, if its placement says so, and all bytes that it reads to content.
func extractFile(dir *os.Root, p zipEntry, zf *zip.File, limit int64, content io.Writer) (n int64, err error) {
	r, err := zf.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if p.written {
		w, err := dir.OpenFile(p.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, w.Chmod(p.mode), w.Close(), dir.Chtimes(p.name, epoch, epoch)) }()
		content = io.MultiWriter(w, content)
	}
	n, err = io.Copy(content, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("the zip unpacks to more than %d bytes", int64(modzip.MaxZipFile))
	}
	return n, err
}
