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
	"strings"

	"github.com/larder-build/larder/internal/fetch/modfetch"
	"github.com/larder-build/larder/internal/redact"
)

// maxVulnDB is the greatest size of the zip of a vulnerability database: Go's has some megabytes.
const maxVulnDB = 1 << 30

// VulnDB opens a vulnerability database (https://go.dev/doc/security/vuln/database): a folder, or a URL of one or of a zip
// of one. For a folder on the web, it downloads vulndb.zip there, which holds the whole database. The caller closes it.
func (s *Stocker) VulnDB(ctx context.Context, from string) (db fs.FS, closeDB func() error, err error) {
	closeDB = func() error { return nil }
	if IsRemote(from) {
		if db, closeDB, err = s.downloadDB(ctx, from); err != nil {
			return nil, nil, err
		}
	} else {
		db = os.DirFS(strings.TrimPrefix(from, "file://"))
	}
	if _, err := fs.Stat(db, "index/db.json"); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s holds no Go vulnerability database: it has no index/db.json", redact.URL(from)), closeDB())
	}
	return db, closeDB, nil
}

// IsRemote reports whether a vulnerability database is to be downloaded.
func IsRemote(from string) bool {
	return strings.HasPrefix(from, "https://") || strings.HasPrefix(from, "http://")
}

func (s *Stocker) downloadDB(ctx context.Context, from string) (fs.FS, func() error, error) {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return nil, nil, errors.New("this is no URL: expected one such as https://vuln.go.dev")
	}
	if path.Ext(u.Path) != ".zip" {
		u = u.JoinPath("vulndb.zip")
	}
	name := path.Base(u.Path)
	list, err := modfetch.ParseList(u.JoinPath("..").String())
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
	s.Progress.Begin("get the vulnerability database", 1, 0)
	_, err = modfetch.Fetch(ctx, s.Client, list, name, w, maxVulnDB)
	s.Progress.Done(name, 0)
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s is no zip: %w", redact.URL(u.String()), err), os.RemoveAll(dir))
	}
	return z, func() error { return errors.Join(z.Close(), os.RemoveAll(dir)) }, nil
}
