package sbom

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// Contents is the list of binaries and packages in an image.
type Contents struct {
	Binaries []Binary // sorted by path
	Packages []Package
	Release  Release
}

// maxDatabase is the number of bytes that are read of a file that lists packages.
const maxDatabase = 64 << 20

// IsDatabase reports whether Contents.AddDatabase can read a file of an image, by the file's absolute path.
func IsDatabase(name string) bool {
	switch name {
	case "/lib/apk/db/installed", "/usr/lib/apk/db/installed", "/var/lib/dpkg/status", "/etc/os-release", "/usr/lib/os-release":
		return true
	}
	return path.Dir(name) == "/var/lib/dpkg/status.d" && !strings.HasSuffix(name, ".md5sums")
}

// AddDatabase adds the packages in a file for which IsDatabase is true. The error names the file.
func (c *Contents) AddDatabase(name string, r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxDatabase+1))
	if err != nil {
		return err
	}
	if len(data) > maxDatabase {
		return fmt.Errorf("%s has more than %d bytes: no list of packages has", name, maxDatabase)
	}
	var list []Package
	switch {
	case strings.HasSuffix(name, "/os-release"):
		if r := ParseRelease(data); r.ID != "" {
			c.Release = r
		}
	case strings.Contains(name, "/apk/"):
		list, err = ParseAPK(data)
	default:
		list, err = ParseDpkg(data)
	}
	if err != nil {
		return fmt.Errorf("%s in the image: %w", name, err)
	}
	c.Packages = append(c.Packages, list...)
	return nil
}

// Finish sorts the contents.
func (c *Contents) Finish() {
	slices.SortFunc(c.Binaries, func(a, b Binary) int { return cmp.Compare(a.Path, b.Path) })
	c.Packages = sorted(c.Packages)
}

// Tree finds the contents of a root file system. It follows no link. A file that can't be read is an error.
func Tree(root *os.Root) (*Contents, error) {
	c := &Contents{}
	err := fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		return c.addFile(root, name)
	})
	c.Finish()
	return c, err
}

func (c *Contents) addFile(root *os.Root, name string) (err error) {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	abs := "/" + name
	if IsDatabase(abs) {
		return c.AddDatabase(abs, f)
	}
	b, err := Inspect(abs, f, info.Size())
	if err == nil && b != nil {
		c.Binaries = append(c.Binaries, *b)
	}
	return err
}

// compact sorts texts and leaves out repeats.
func compact(list []string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }
