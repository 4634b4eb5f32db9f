package request

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// untar unpacks an archive from the builder into the folder dir. It refuses
// names and links that lead out of it. The files belong to the caller; special
// files are left out. An error of this machine is an fs.PathError or an
// os.LinkError.
func untar(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	// Modes and times of folders come last: unpacking into them changes both.
	var dirs []*tar.Header
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("the builder's archive: %w", err)
		}
		if h.Name = path.Clean(h.Name); h.Name == "." {
			continue
		}
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, h)
		}
		if err := untarEntry(root, h, tr); err != nil {
			return err
		}
	}
	for _, h := range slices.Backward(dirs) {
		if err := setMeta(root, h); err != nil {
			return err
		}
	}
	return nil
}

func untarEntry(root *os.Root, h *tar.Header, r io.Reader) error {
	if err := root.MkdirAll(path.Dir(h.Name), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(h.Name, 0o755)
	case tar.TypeReg:
		if err := untarFile(root, h, r); err != nil {
			return err
		}
		return setMeta(root, h)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, h.Name)
	case tar.TypeLink:
		return root.Link(path.Clean(h.Linkname), h.Name)
	}
	return nil
}

func untarFile(root *os.Root, h *tar.Header, r io.Reader) error {
	f, err := root.OpenFile(h.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func setMeta(root *os.Root, h *tar.Header) error {
	mode := h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if err := root.Chmod(h.Name, mode); err != nil {
		return err
	}
	return root.Chtimes(h.Name, h.ModTime, h.ModTime)
}
