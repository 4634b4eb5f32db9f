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
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	modzip "golang.org/x/mod/zip"
	"golang.org/x/sync/errgroup"

	"github.com/larder-build/larder/internal/modfetch"
)

// extract unpacks the files of a zip whose names begin with prefix into out, which it can't leave; a name without the
// prefix, a name that isn't local, a link and a special file are errors that quote the entry, and so is more content
// than a module may have. Folders come from the names of files, as the go command has it. mode gives a file's exact
// mode by its name.
//
// It returns the zip's h1 hash, made of what it read: to have dirhash.HashZip read the zip would take as long again.
func extract(ctx context.Context, out *os.Root, file, prefix string, mode func(name string) fs.FileMode) (h1 string, err error) {
	z, err := zip.OpenReader(file)
	if err != nil {
		return "", err
	}
	defer z.Close()
	var left atomic.Int64
	left.Store(modzip.MaxZipFile)
	made := map[string]bool{}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	sums := make([]modfetch.FileSum, len(z.File))
	for i, f := range z.File {
		if groupCtx.Err() != nil {
			break
		}
		if strings.HasSuffix(f.Name, "/") {
			sums[i] = modfetch.FileSum{Name: f.Name, Content: sha256.New().Sum(nil)}
			continue
		}
		name, err := makeFolder(out, f, prefix, made)
		if err != nil {
			return "", errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			content := sha256.New()
			n, err := extractFile(out, name, f, left.Load(), mode(name), content)
			if err != nil {
				return fmt.Errorf("entry %q: %w", f.Name, modfetch.OneLine(err))
			}
			left.Add(-n)
			sums[i] = modfetch.FileSum{Name: f.Name, Content: content.Sum(nil)}
			return nil
		})
	}
	if err := cmp.Or(group.Wait(), context.Cause(ctx)); err != nil {
		return "", err
	}
	return modfetch.H1(sums), nil
}

// makeFolder checks the name of an entry and makes the folder that it lies in, unless that was made before. It returns
// the name without the prefix.
func makeFolder(out *os.Root, f *zip.File, prefix string, made map[string]bool) (string, error) {
	name, ok := strings.CutPrefix(f.Name, prefix)
	if !ok || !filepath.IsLocal(name) || path.Clean(name) != name || strings.Contains(name, `\`) || !f.Mode().IsRegular() {
		return "", fmt.Errorf("entry %q is not a plain file below %s", f.Name, prefix)
	}
	if dir := path.Dir(name); !made[dir] {
		if err := out.MkdirAll(dir, 0o755); err != nil {
			return "", fmt.Errorf("entry %q: %w", f.Name, modfetch.OneLine(err))
		}
		made[dir] = true
	}
	return name, nil
}

func extractFile(out *os.Root, name string, zf *zip.File, limit int64, mode fs.FileMode, content io.Writer) (n int64, err error) {
	r, err := zf.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	w, err := out.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Chmod(mode), w.Close()) }()
	n, err = io.Copy(io.MultiWriter(w, content), io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("the zip unpacks to more than %d bytes", int64(modzip.MaxZipFile))
	}
	return n, err
}
