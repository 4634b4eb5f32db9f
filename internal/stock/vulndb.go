package stock

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"

	"github.com/larder-build/larder/internal/modfetch"
)

// maxVulnDB bounds the zip of a vulnerability database: that of Go has some megabytes.
const maxVulnDB = 1 << 30

// VulnDB opens a vulnerability database (https://go.dev/doc/security/vuln/database): a folder, or a URL of one or of a zip
// of one. Of a folder on the web its vulndb.zip is downloaded, which holds all of it. The caller closes it.
func (s *Stocker) VulnDB(ctx context.Context, from string) (db fs.FS, closeDB func() error, err error) {
	closeDB = func() error { return nil }
	switch u, uerr := url.Parse(from); {
	case uerr == nil && (u.Scheme == "https" || u.Scheme == "http"):
		if db, closeDB, err = s.downloadDB(ctx, u); err != nil {
			return nil, nil, err
		}
	case uerr == nil && u.Scheme == "file":
		db = os.DirFS(u.Path)
	default:
		db = os.DirFS(from)
	}
	if _, err := fs.Stat(db, "index/db.json"); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s holds no Go vulnerability database: it has no index/db.json", from), closeDB())
	}
	return db, closeDB, nil
}

func (s *Stocker) downloadDB(ctx context.Context, u *url.URL) (fs.FS, func() error, error) {
	if path.Ext(u.Path) != ".zip" {
		u = u.JoinPath("vulndb.zip")
	}
	name := path.Base(u.Path)
	list, err := modfetch.ParseList(u.JoinPath("..").String())
	if err != nil {
		return nil, nil, fmt.Errorf("%s is no URL: expected one such as https://vuln.go.dev", u.Redacted())
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
		return nil, nil, errors.Join(fmt.Errorf("%s is no zip: %w", u.Redacted(), err), os.RemoveAll(dir))
	}
	return z, func() error { return errors.Join(z.Close(), os.RemoveAll(dir)) }, nil
}
