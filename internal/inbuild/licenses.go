package inbuild

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/larder-build/larder/internal/proof/license"
	"github.com/larder-build/larder/internal/step"
)

// licensesFile is the file that the step licences writes. It has a JSON object that maps the sum of each module to the
// SPDX identifiers of its licences.
const licensesFile = "licences.json"

// runLicenses detects the licences of the modules in a module cache that the step modules made. It is a step of its own
// because it takes a second to read all known licences: it runs only when the modules change, while the step sbom runs
// after each edit.
func runLicenses(_ context.Context, s *step.Licenses, to output) error {
	root, err := os.OpenRoot(s.Modules)
	if err != nil {
		return err
	}
	defer root.Close()
	found, err := moduleLicenses(root)
	if err != nil {
		return fmt.Errorf("reading the licences of modules: %w", err)
	}
	data, err := json.Marshal(found)
	if err != nil {
		return err
	}
	fmt.Fprintf(to.stdout, "found the licences of %d modules\n", len(found))
	return fillWith(s.Out, licensesFile, data)
}

// moduleLicences returns the licences of each module of a module cache, by its sum.
func moduleLicenses(cache *os.Root) (map[string][]string, error) {
	const ext = ".ziphash"
	found := map[string][]string{}
	err := fs.WalkDir(cache.FS(), cacheDownload, func(name string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name == cacheDownload {
			return nil // no module at all
		}
		if err != nil || path.Ext(name) != ext || !d.Type().IsRegular() {
			return err
		}
		sum, err := cache.ReadFile(name)
		if err != nil {
			return err
		}
		modulePath, version, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, cacheDownload+"/"), ext), "/@v/")
		ids, err := folderLicenses(cache, modulePath+"@"+version)
		if h1 := strings.TrimSpace(string(sum)); h1 != "" && len(ids) > 0 {
			found[h1] = ids
		}
		return err
	})
	return found, err
}

// folderLicences returns the licences in a module's folder. It returns none if there is no such folder, or if it has
// too many files.
func folderLicenses(cache *os.Root, folder string) ([]string, error) {
	entries, err := fs.ReadDir(cache.FS(), folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found license.Files
	for _, e := range entries {
		if e.Type().IsRegular() && license.IsFile(e.Name()) {
			err := addLicense(&found, cache, folder+"/"+e.Name())
			if errors.Is(err, license.ErrTooMany) {
				return nil, nil // no reason to do without a bill
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return found.IDs(), nil
}

func addLicense(found *license.Files, root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(found.Add(f), f.Close())
}

// readLicences reads the results of the step licences from folders, one for each of several module caches.
func readLicenses(dirs []string) (map[string][]string, error) {
	known := map[string][]string{}
	for _, dir := range dirs {
		data, err := os.ReadFile(filepath.Join(dir, licensesFile))
		if err == nil {
			err = json.Unmarshal(data, &known)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the licences of modules: %w", err)
		}
	}
	return known, nil
}
