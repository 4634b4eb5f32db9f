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

// linkModules makes the empty folder dir a GOMODCACHE with the modules of several others, each of which has a part of
// them. Each module's tree is a link into the part that has it, and so is each file of the download cache. The go
// command follows the links (https://go.dev/issue/50807) and reads the same files under the same names. Merging the
// folders instead, which copies or links each file, takes seconds.
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

// linkPart links the content of one folder into dir. The map made has the names of the folders that were made there:
// content of a folder goes only into one of these, never through a link.
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
