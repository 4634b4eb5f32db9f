package inbuild

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/modfetch"
)

// extract unpacks the files of a zip whose names begin with prefix into out, which it can't leave; a name without the
// prefix, a name that isn't local, a link and a special file are errors that quote the entry, and so is more content
// than a module may have. Folders come from the names of files, as the go command has it. mode gives a file's exact
// mode by its name.
func extract(ctx context.Context, out *os.Root, file, prefix string, mode func(name string) fs.FileMode) error {
	z, err := zip.OpenReader(file)
	if err != nil {
		return err
	}
	defer z.Close()
	left := int64(modzip.MaxZipFile)
	for _, f := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		name, ok := strings.CutPrefix(f.Name, prefix)
		if !ok || !filepath.IsLocal(name) || path.Clean(name) != name || strings.Contains(name, `\`) || !f.Mode().IsRegular() {
			return fmt.Errorf("entry %q is not a plain file below %s", f.Name, prefix)
		}
		n, err := extractFile(out, name, f, left, mode(name))
		if err != nil {
			return fmt.Errorf("entry %q: %w", f.Name, modfetch.OneLine(err))
		}
		left -= n
	}
	return nil
}

func extractFile(out *os.Root, name string, zf *zip.File, limit int64, mode fs.FileMode) (n int64, err error) {
	r, err := zf.Open()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if err := out.MkdirAll(path.Dir(name), 0o755); err != nil {
		return 0, err
	}
	w, err := out.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.Chmod(mode), w.Close()) }()
	n, err = io.Copy(w, io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("the zip unpacks to more than %d bytes", int64(modzip.MaxZipFile))
	}
	return n, err
}
