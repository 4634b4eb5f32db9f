package inbuild

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// linkModules makes dir, which is empty, a GOMODCACHE of what several have, each of which has a part of the modules: each
// module's tree is a link to the one that has it, and so is each file of the download cache. The go command follows them
// (https://go.dev/issue/50807), and reads the same by the same names: to merge the folders, which copies or links each file,
// takes seconds.
//
// Of a file that several have the first is taken: it is an .info, which is the same in all.
func linkModules(dir string, parts []string) error {
	out, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("linking modules: %w", err)
	}
	defer out.Close()
	for _, part := range parts {
		if err := linkPart(out, part); err != nil {
			return fmt.Errorf("linking modules: %w", err)
		}
	}
	return nil
}

// linkPart links what one folder has.
func linkPart(out *os.Root, part string) error {
	return fs.WalkDir(os.DirFS(part), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		tree := d.IsDir() && strings.Contains(path.Base(name), "@v") && !strings.HasPrefix(name, cacheDownload+"/")
		if d.IsDir() && !tree {
			return out.MkdirAll(name, 0o777)
		}
		err = out.Symlink(filepath.Join(part, name), name)
		if errors.Is(err, fs.ErrExist) && !tree {
			return nil
		}
		if err == nil && tree {
			return fs.SkipDir
		}
		return err
	})
}
