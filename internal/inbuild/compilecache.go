package inbuild

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/gocache"
)

// A compileCache is the cache mount where the go command of a step keeps compiled packages: its GOCACHE.
type compileCache struct {
	dir  gocache.Dir
	deps []string // layers of packages that are compiled already; they may not be there
}

// fill copies entries that layers have into the cache, unless it has them.
func (c compileCache) fill(ctx context.Context) error {
	for _, layer := range c.deps {
		if _, err := c.dir.Copy(ctx, gocache.Dir(layer), gocache.Choice{}); err != nil {
			return err
		}
	}
	return nil
}

// inTurn fills the cache and runs a go command, in a folder and with an environment. If several commands compile the
// same modules in the same way at the same time, one runs, and the others wait for its results.
func (c compileCache) inTurn(ctx context.Context, dir string, env []string, run func() error) error {
	done, err := c.dir.Turn(ctx, turnKey(dir, env))
	if err != nil {
		return err
	}
	if err = c.fill(ctx); err == nil {
		err = run()
	}
	done(err == nil)
	return err
}

// turnKey returns a digest of a go command's settings and of the files that determine which modules there are.
func turnKey(dir string, env []string) string {
	h := sha256.New()
	settings := slices.Clone(env)
	slices.Sort(settings)
	for _, kv := range settings {
		if strings.HasPrefix(kv, "GO") || strings.HasPrefix(kv, "CGO_") {
			fmt.Fprintf(h, "%q\n", kv)
		}
	}
	files := []string{filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum"), filepath.Join(dir, "vendor/modules.txt")}
	if i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, "GOWORK=/") }); i >= 0 {
		work := strings.TrimPrefix(env[i], "GOWORK=")
		files = append(files, work, work+".sum")
	}
	for _, name := range files {
		fmt.Fprintf(h, "%s %x\n", name, fileDigest(name))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

// fileDigest returns the SHA-256 of a file, which may be of any size, or nil if it can't be read.
func fileDigest(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return nil
	}
	return h.Sum(nil)
}

// maxIndexed is the greatest number of files that are checked. If there are more, the go command runs without its
// index.
const maxIndexed = 20000

// withoutIndex is the GODEBUG setting with which the go command reads the imports of all packages itself.
const withoutIndex = "goindex=0"

// indexSetting returns a GODEBUG with which the go command doesn't confuse the imports of two trees. It keeps an
// index of a folder's files by their names, sizes and times (cmd/go/internal/modindex), not by their content. If a file
// system set the files' times, in nanoseconds, no two trees have the same. The files of a context from git, from an
// image or from an archive may have times in whole seconds, or all the same time: then the index is turned off.
func indexSetting(dir, godebug string) string {
	seen, errDone := 0, errors.New("done")
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if seen++; err != nil || seen > maxIndexed {
			return errDone
		}
		if !strings.HasSuffix(name, ".go") || !d.Type().IsRegular() {
			return nil
		}
		if info, err := d.Info(); err != nil || info.ModTime().Nanosecond() == 0 {
			return errDone
		}
		return nil
	})
	switch {
	case err == nil:
		return godebug
	case godebug == "":
		return withoutIndex
	}
	return godebug + "," + withoutIndex
}
