package elflibs

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxLinks is the greatest number of symbolic links on a path, as in Linux.
const maxLinks = 40

// Resolve follows the symbolic links of an absolute path as if root were "/", and returns the path of the file, without
// a leading slash. That path has no links, so it can be opened by an FS that follows none.
func Resolve(root fs.FS, name string) (string, error) {
	real, _, err := resolve(root, name)
	return real, err
}

// resolve is like Resolve, and also returns the links on the way.
func resolve(root fs.FS, name string) (real string, links []File, err error) {
	real = "."
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			real = path.Dir(real)
			continue
		}
		next := path.Join(real, part)
		if !fs.ValidPath(next) {
			return "", nil, &fs.PathError{Op: "open", Path: next, Err: fs.ErrInvalid}
		}
		info, err := fs.Lstat(root, next)
		if err != nil {
			return "", nil, err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			real = next
			continue
		}
		target, err := fs.ReadLink(root, next)
		if err != nil {
			return "", nil, err
		}
		links = append(links, File{Path: next, Link: target})
		if len(links) > maxLinks {
			return "", nil, fmt.Errorf("%s leads through more than %d symbolic links", shown(name), maxLinks)
		}
		rest = append(strings.Split(target, "/"), rest...)
		if path.IsAbs(target) {
			real = "."
		}
	}
	return real, links, nil
}
