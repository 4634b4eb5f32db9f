package modfetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"github.com/larder-build/larder/internal/fetch"
)

// Size returns the size in bytes of a file, without fetching it, from the first entry of a list that tells it.
func Size(ctx context.Context, c *fetch.Client, list []Entry, name string) (int64, error) {
	err := fs.ErrNotExist
	for _, e := range list {
		if e.Source == nil {
			break
		}
		size, serr := e.size(ctx, c, name)
		if serr == nil {
			return size, nil
		}
		err = errors.Join(err, serr)
	}
	return 0, err
}

func (src *Source) size(ctx context.Context, c *fetch.Client, name string) (int64, error) {
	if src.url == nil {
		info, err := os.Stat(filepath.Join(src.dir, filepath.FromSlash(name)))
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	req, err := src.request(ctx, name)
	if err != nil {
		return 0, err
	}
	req.Method = http.MethodHead
	resp, err := src.client(c).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ContentLength < 0 {
		return 0, fmt.Errorf("%s doesn't tell its size: it answered %s", src.Shown, resp.Status)
	}
	return resp.ContentLength, nil
}
