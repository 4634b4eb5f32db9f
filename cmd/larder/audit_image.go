package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/audit"
	"github.com/larder-build/larder/internal/progress"
	"github.com/larder-build/larder/internal/proof/verify"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// treesAndImages tells the names of folders with source from those of images. No registry is asked for what may be a folder
// whose name is misspelt: a reference has to have its tag or digest.
func treesAndImages(names []string) (dirs, images []string, err error) {
	for _, name := range names {
		info, err := os.Stat(name)
		switch {
		case err == nil && info.IsDir() && !isLayout(name):
			dirs = append(dirs, name)
		case err == nil, strings.ContainsAny(filepath.Base(name), ":@"):
			images = append(images, name)
		default:
			return nil, nil, fmt.Errorf("%w: name a folder with a Go module, an OCI layout, or an image of a registry with its tag, such as %s:latest", err, strings.TrimPrefix(filepath.Clean(name), "/"))
		}
	}
	return dirs, images, nil
}

// isLayout reports whether a folder is an OCI layout rather than a source tree, which has a go.mod or a go.work.
func isLayout(dir string) bool {
	has := func(name string) bool {
		info, err := os.Stat(filepath.Join(dir, name))
		return err == nil && info.Mode().IsRegular()
	}
	return has(ocispec.ImageLayoutFile) && has(ocispec.ImageIndexFile) && !has("go.mod") && !has("go.work")
}

// auditImages reads images, whose programs are in a temporary folder until remove is called, after an error too.
func (c *command) auditImages(o *audit.Options, f registryFlags, names []string) (remove func() error, err error) {
	if len(names) == 0 {
		return func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "larder-audit-")
	if err != nil {
		return func() error { return nil }, err
	}
	remove = func() error { return os.RemoveAll(dir) }
	keep := verify.NewKeep(dir)
	for _, name := range names {
		images, err := c.readImages(f, name, keep, o.Progress)
		if err != nil {
			return remove, err
		}
		o.Images = append(o.Images, images...)
		c.tellWithoutGo(name, images)
	}
	return remove, nil
}

func (c *command) readImages(f registryFlags, name string, keep *verify.Keep, p progress.Reporter) (images []audit.Image, err error) {
	l, err := c.openImage(f, name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	return audit.Images(c.ctx, l, name, keep, p)
}

// tellWithoutGo says that there is nothing to audit in an image, which else would look as if all were well with it.
func (c *command) tellWithoutGo(name string, images []audit.Image) {
	var without []string
	for _, i := range images {
		if len(i.Programs) == 0 {
			without = append(without, i.Platform)
		}
	}
	if len(without) > 0 {
		c.shown.Note(fmt.Sprintf("%s (%s) has no program of Go in it: there is nothing to audit", name, strings.Join(without, ", ")))
	}
}
