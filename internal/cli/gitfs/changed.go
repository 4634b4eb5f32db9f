package gitfs

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
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
	differ, err := output(Unfiltered(ctx, dir, "diff", "--name-only", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--relative", "-z", commit, "--", "."))
	if err != nil {
		return nil, err
	}
	others, err := run(ctx, dir, "ls-files", "--others", "-z", "--", ".")
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

// Unfiltered is Command for queries that look into the working tree: git would run the filters that the repository's own
// configuration names (gitattributes(5)) on files that seem to differ, so they are turned off. Those of the user's
// configuration, such as LFS, stay. Nothing is fetched, and no lock is taken.
func Unfiltered(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := Command(ctx, dir, args...)
	cmd.Env = append(os.Environ(), "GIT_OPTIONAL_LOCKS=0", "GIT_NO_LAZY_FETCH=1")
	filters, _ := run(ctx, dir, "config", "--null", "--show-scope", "--name-only", "--get-regexp", `^filter\.`) // it fails where there is none
	count, _ := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT"))                                                     // what the user has set that way stays
	for pair := range slices.Chunk(strings.Split(string(filters), "\x00"), 2) {
		if scope := pair[0]; len(pair) == 2 && (scope == "local" || scope == "worktree") {
			cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", count, pair[1]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=", count))
			count++
		}
	}
	cmd.Env = append(cmd.Env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", count))
	return cmd
}
