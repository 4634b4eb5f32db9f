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
	if len(parts) == 0 {
		return nil
	}
	made := map[string]bool{}
	for _, part := range parts {
		if err := linkPart(dir, part, made); err != nil {
			return fmt.Errorf("linking modules: %w", err)
		}
	}
	return nil
}

// linkPart links what one folder has into dir. made has the folders that were made there, by their names: what lies in a
// folder goes into one of them, and never through a link.
func linkPart(dir, part string, made map[string]bool) error {
	return fs.WalkDir(os.DirFS(part), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		to := filepath.Join(dir, name)
		tree := d.IsDir() && strings.Contains(path.Base(name), "@v") && !strings.HasPrefix(name, cacheDownload+"/")
		if d.IsDir() && !tree {
			if made[name] {
				return nil
			}
			made[name] = true
			return os.Mkdir(to, 0o777)
		}
		err = os.Symlink(filepath.Join(part, name), to)
		if errors.Is(err, fs.ErrExist) && !tree {
			return nil
		}
		if err == nil && tree {
			return fs.SkipDir
		}
		return err
	})
}
