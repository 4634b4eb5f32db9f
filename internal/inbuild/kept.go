package inbuild

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/larder-build/larder/internal/golang/gomod"
)

// keptFiles is a folder of zips and go.mod files that were fetched from proxies, each named by its h1 hash. It is a
// cache mount that all builds on a builder share, so that a build downloads only new dependencies. It is trusted no
// more than a proxy: its files are checked as if they were fetched. It has no private modules, and no files that a
// proxy gave only for credentials.
type keptFiles struct {
	dir *os.Root
}

// These are limits on the kept files. The limit for age allows for a month's holiday; the limit for size is that of
// some two hundred sets.
const (
	keptUnused = 30 * 24 * time.Hour
	keptBytes  = 4 << 30

	keptFetching = 24 * time.Hour // until a file that is being fetched was forgotten by a step that was killed
	keptTouched  = time.Hour      // how old a time of use gets before it is written anew
)

const keptTemporary = ".fetching-"

func openKept(dir string) (*keptFiles, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the folder of fetched modules: %w", err)
	}
	return &keptFiles{root}, nil
}

func (k *keptFiles) close() { _ = k.dir.Close() }

// find returns the kept file of a go.sum line, if there is one. A file with the wrong hash is removed.
func (k *keptFiles) find(sum gomod.Sum) (source, bool) {
	name := keptName(sum)
	file, err := findFile(k.dir.Name(), name, maxSize(sum))
	if err != nil {
		_ = k.dir.RemoveAll(name) // if it is there, it is no file, or too large
		return source{}, false
	}
	if info, err := k.dir.Stat(name); err == nil && time.Since(info.ModTime()) > keptTouched {
		now := time.Now()
		_ = k.dir.Chtimes(name, now, now) // it is removed too soon, at worst
	}
	return source{file: file, from: "the builder's folder of fetched modules", kept: true, checked: func(ok bool) {
		if !ok {
			_ = removed(k.dir, name)
		}
	}}, true
}

// temporary returns a new name for a file that is being fetched.
func (k *keptFiles) temporary() string { return keptTemporary + rand.Text() }

// keep gives a fetched file, which was checked, its final name. If that fails, it isn't an error: the file is fetched
// again by the next build.
func (k *keptFiles) keep(tmp string, sum gomod.Sum) {
	if err := k.dir.Rename(tmp, keptName(sum)); err != nil {
		_ = removed(k.dir, tmp)
	}
}

// keptName returns the name of the file of a go.sum line: its hash, which gomod has checked.
func keptName(sum gomod.Sum) string {
	hash, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum.Hash, "h1:"))
	if sum.GoMod {
		return hex.EncodeToString(hash) + ".mod"
	}
	return hex.EncodeToString(hash) + ".zip"
}

// trim removes files that were not used for long, and then those unused for longest until the rest is below the limit.
// Another step may do the same at the same time.
func (k *keptFiles) trim(now time.Time) {
	entries, err := fs.ReadDir(k.dir.FS(), ".")
	if err != nil {
		return
	}
	var files []fs.FileInfo
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue // gone
		}
		limit := time.Duration(keptUnused)
		if strings.HasPrefix(e.Name(), keptTemporary) {
			limit = keptFetching
		}
		if now.Sub(info.ModTime()) > limit || !info.Mode().IsRegular() {
			_ = k.dir.RemoveAll(e.Name())
			continue
		}
		files = append(files, info)
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	left := int64(keptBytes)
	for _, info := range files {
		if left -= info.Size(); left < 0 {
			_ = removed(k.dir, info.Name())
		}
	}
}

// removed removes a file. It is no error if the file is gone already.
func removed(dir *os.Root, name string) error {
	if err := dir.Remove(name); !os.IsNotExist(err) {
		return err
	}
	return nil
}
