package inbuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"

	"github.com/larder-build/larder/internal/golang/gomod"
)

// readSums reads the file that --sums names: the module set of the build as one go.sum file.
func readSums(file string) (gomod.Set, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return gomod.Set{}, fmt.Errorf("reading the module set: %w", err)
	}
	return gomod.ParseSums(gomod.File{Name: "go.sum", Data: data})
}

// versionFile returns the name of a module version's file in a GOPROXY folder; ext is .zip, .mod, .info or .ziphash.
func versionFile(m module.Version, ext string) (string, error) {
	return gomod.Sum{Path: m.Path, Version: m.Version}.File(ext)
}

// sumFile returns the name of a go.sum line's file in a GOPROXY folder.
func sumFile(s gomod.Sum) (string, error) {
	if s.GoMod {
		return s.File(".mod")
	}
	return s.File(".zip")
}

// folders are GOPROXY folders in the order in which they are searched. Each may instead be a GOMODCACHE, which has a
// GOPROXY folder at cache/download; nothing else in it is read.
type folders []string

// openFolders checks that each of dirs is a folder.
func openFolders(dirs []string) (folders, error) {
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("reading the module folder: %w", err)
		}
		if !info.IsDir() {
			return nil, fmt.Errorf("the module folder %s is a file: give a folder in GOPROXY layout", dir)
		}
	}
	return dirs, nil
}

// get finds the file of a go.sum line. The error is fs.ErrNotExist if no folder has it.
func (fds folders) get(sum gomod.Sum) (source, error) {
	name, err := sumFile(sum)
	if err != nil {
		return source{}, err
	}
	file, err := fds.find(name, maxSize(sum))
	return source{file: file, from: file}, err
}

// maxSize returns the greatest size in bytes of the file of a go.sum line.
func maxSize(sum gomod.Sum) int64 {
	if sum.GoMod {
		return modzip.MaxGoMod
	}
	return modzip.MaxZipFile
}

// find returns the path of a file in the first folder that has it. The file must be regular, have at most limit bytes,
// and not be reached by a link that leads out of the folder. The error is fs.ErrNotExist if none has it.
func (fds folders) find(name string, limit int64) (string, error) {
	for _, dir := range fds {
		for _, sub := range []string{"", "cache/download"} {
			file, err := findFile(dir, path.Join(sub, name), limit)
			if !errors.Is(err, fs.ErrNotExist) {
				return file, err
			}
		}
	}
	return "", fs.ErrNotExist
}

func findFile(dir, name string, limit int64) (string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s in the module folder is not a regular file", name)
	}
	if info.Size() > limit {
		return "", fmt.Errorf("%s in the module folder has %d bytes, more than the %d allowed", name, info.Size(), limit)
	}
	return filepath.Join(dir, name), nil
}
