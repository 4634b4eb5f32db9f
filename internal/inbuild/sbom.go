package inbuild

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/larder-build/larder/internal/licence"
	"github.com/larder-build/larder/internal/sbom"
)

// SBOMFile is the file that the step sbom writes.
const SBOMFile = "sbom.spdx.json"

// runSBOM makes the bill of materials of an image:
//
//	sbom --root DIR --facts FILE [--modules DIR]… --out DIR
//
// The root is the image's, FILE has what is known of it (sbom.Facts), and modules are module caches that the step unpack
// has made, in which licences are looked for.
func runSBOM(args []string, stdout io.Writer) error {
	var caches stringList
	flags := newFlags("sbom")
	dir := flags.String("root", "", "root of the image")
	known := flags.String("facts", "", "file of facts")
	flags.Var(&caches, "modules", "module cache")
	out := flags.String("out", "", "folder to make")
	if err := parseFlags(flags, args, "root", "facts", "out"); err != nil {
		return err
	}
	data, err := os.ReadFile(*known)
	if err != nil {
		return err
	}
	var facts sbom.Facts
	if err := json.Unmarshal(data, &facts); err != nil {
		return fmt.Errorf("reading the facts of the image: %w", err)
	}
	root, err := os.OpenRoot(*dir)
	if err != nil {
		return err
	}
	defer root.Close()
	contents, err := sbom.Tree(root)
	if err != nil {
		return fmt.Errorf("looking into the image: %w", err)
	}
	doc, err := sbom.Document(contents, facts, moduleCaches(caches).licences)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "found %d binaries of Go and %d packages of a distribution\n", len(contents.Binaries), len(contents.Packages))
	return fill(*out, func(out *os.Root) error {
		if err := writeFile(out, SBOMFile, doc, 0o644); err != nil {
			return err
		}
		return seal(out)
	})
}

// moduleCaches are folders laid out as GOMODCACHE is.
type moduleCaches []string

// licences returns the licences of a module that one of the caches has with the same sum.
func (c moduleCaches) licences(m sbom.Module) ([]string, error) {
	if m.H1 == "" {
		return nil, nil
	}
	for _, dir := range c {
		ids, err := cachedLicences(dir, m)
		if !errors.Is(err, fs.ErrNotExist) {
			return ids, err
		}
	}
	return nil, nil
}

func cachedLicences(dir string, m sbom.Module) ([]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	name, err := versionFile(m.Version, ".ziphash")
	if err != nil {
		return nil, nil // a path that no module cache can have
	}
	sum, err := root.ReadFile("cache/download/" + name)
	if err != nil || strings.TrimSpace(string(sum)) != m.H1 {
		return nil, err
	}
	folder, err := moduleDir(m.Version)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(root.FS(), folder)
	if err != nil {
		return nil, err
	}
	var found licence.Files
	for _, e := range entries {
		if e.Type().IsRegular() && licence.IsFile(e.Name()) {
			err := addLicence(&found, root, folder+"/"+e.Name())
			if errors.Is(err, licence.ErrTooMany) {
				return nil, nil // no reason to do without a bill
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return found.IDs(), nil
}

func addLicence(found *licence.Files, root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(found.Add(f), f.Close())
}
