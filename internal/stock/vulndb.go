package stock

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/modfetch"
)

// maxVulnDB bounds the zip of a vulnerability database: that of Go has some megabytes.
const maxVulnDB = 1 << 30

// VulnDB opens a vulnerability database (https://go.dev/doc/security/vuln/database): a folder, or the URL of a zip of one,
// which is downloaded. The caller closes it.
func (s *Stocker) VulnDB(ctx context.Context, from string) (db fs.FS, closeDB func() error, err error) {
	closeDB = func() error { return nil }
	if !strings.HasPrefix(from, "https://") && !strings.HasPrefix(from, "http://") {
		db = os.DirFS(from)
	} else if db, closeDB, err = s.downloadDB(ctx, from); err != nil {
		return nil, nil, err
	}
	if _, err := fs.Stat(db, "index/db.json"); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s holds no Go vulnerability database: it has no index/db.json", from), closeDB())
	}
	return db, closeDB, nil
}

func (s *Stocker) downloadDB(ctx context.Context, url string) (fs.FS, func() error, error) {
	base, name, ok := strings.Cut(url, "://")
	if i := strings.LastIndex(name, "/"); ok && i > 0 {
		base, name = base+"://"+name[:i], name[i+1:]
	}
	list, err := modfetch.ParseList(base)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "larder-vulndb-*")
	if err != nil {
		return nil, nil, err
	}
	file := filepath.Join(dir, "vulndb.zip")
	w, err := os.Create(file)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	_, err = s.Client.Fetch(ctx, list, name, w, maxVulnDB)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s is no zip: %w", url, err), os.RemoveAll(dir))
	}
	return z, func() error { return errors.Join(z.Close(), os.RemoveAll(dir)) }, nil
}
