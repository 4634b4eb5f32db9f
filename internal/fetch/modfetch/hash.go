package modfetch

import (
	"archive/zip"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/sync/errgroup"
)

// A FileSum is the name of a file of a module and the SHA-256 of its content.
type FileSum struct {
	Name    string
	Content []byte
}

// H1 returns the h1 hash of a module with the given files, as golang.org/x/mod/sumdb/dirhash.Hash1 computes it.
func H1(files []FileSum) string {
	slices.SortFunc(files, func(a, b FileSum) int { return cmp.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%x  %s\n", f.Content, f.Name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Hash1 does the same as dirhash.Hash1, but on all CPUs: a toolchain has 15,000 files, which take a single CPU several
// seconds. Several goroutines call open at the same time.
func Hash1(files []string, open func(name string) (io.ReadCloser, error)) (string, error) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	sums := make([]FileSum, len(files))
	for i, name := range files {
		if strings.Contains(name, "\n") {
			return "", errors.Join(fmt.Errorf("the name %q has a line break", name), group.Wait())
		}
		group.Go(func() error {
			r, err := open(name)
			if err != nil {
				return err
			}
			defer r.Close()
			h := sha256.New()
			if _, err := io.Copy(h, r); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			sums[i] = FileSum{name, h.Sum(nil)}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	return H1(sums), nil
}

// HashZip returns the h1 hash of a zip that r reads. It is dirhash.HashZip for a zip that isn't a file of its own.
func HashZip(r io.ReaderAt, size int64) (string, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return "", err
	}
	files := map[string]*zip.File{}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
		files[f.Name] = f
	}
	if len(files) < len(names) {
		return "", errors.New("two entries of the zip have one name")
	}
	return Hash1(names, func(name string) (io.ReadCloser, error) { return files[name].Open() })
}

// HashMod returns the h1 hash of a go.mod file.
func HashMod(data []byte) (string, error) {
	return dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
}
