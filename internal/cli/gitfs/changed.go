package gitfs

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Changed lists the files of a folder, relative to it, that differ from what a commit has, or are there alone. Files that
// git ignores are among the latter, since a build may read them. Of a submodule whose commit differs, and of a repository
// in the folder, all files are listed; what isn't committed in a submodule isn't seen.
func Changed(ctx context.Context, dir, ref string) ([]string, error) {
	commit, err := resolve(ctx, dir, ref)
	if err != nil {
		return nil, err
	}
	env, err := withoutFilters(ctx, dir)
	if err != nil {
		return nil, err
	}
	differ, err := output(Command(ctx, dir, "diff", "--name-only", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--relative", "-z", commit, "--", "."), env)
	if err != nil {
		return nil, err
	}
	others, err := output(Command(ctx, dir, "ls-files", "--others", "-z", "--", "."), env)
	if err != nil {
		return nil, err
	}
	var list []string
	for name := range strings.SplitSeq(string(differ)+string(others), "\x00") {
		name = path.Clean(name)
		if !fs.ValidPath(name) || name == "." {
			continue
		}
		below, err := filesBelow(ctx, dir, name)
		if err != nil {
			return nil, err
		}
		list = append(append(list, name), below...)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// filesBelow lists the files of a folder of dir. It is nil for what is no folder.
func filesBelow(ctx context.Context, dir, name string) (list []string, err error) {
	if fi, err := os.Lstat(filepath.Join(dir, name)); err != nil || !fi.IsDir() {
		return nil, nil
	}
	err = fs.WalkDir(os.DirFS(dir), name, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, p)
		}
		return cmp.Or(ctx.Err(), err)
	})
	return list, err
}

// withoutFilters returns variables by which git runs none of the filters that its configuration names (gitattributes(5)):
// "git diff" would run them on files that seem to differ.
func withoutFilters(ctx context.Context, dir string) (env []string, err error) {
	// It fails where there is none.
	names, _ := output(Command(ctx, dir, "config", "--null", "--name-only", "--get-regexp", `^filter\.`), nil)
	count, _ := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT")) // what the user has set that way stays
	for name := range strings.SplitSeq(string(names), "\x00") {
		if name == "" {
			continue
		}
		if driver := name[:strings.LastIndexByte(name, '.')]; driver != "filter" {
			for _, key := range []string{"clean", "smudge", "process", "required"} {
				env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s.%s", count, driver, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=", count))
				count++
			}
		}
	}
	return append(env, "GIT_CONFIG_COUNT="+strconv.Itoa(count)), ctx.Err()
}
