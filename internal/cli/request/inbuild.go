package request

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/client"
	"github.com/tonistiigi/fsutil"
)

// InBuildMount is the name of the local mount that brings Larder's own binary
// into a client-side build. It is also the name of the frontend attribute that
// has the file name in the mount.
const InBuildMount = "larder-inbuild"

// elfPlatforms are the builder platforms that larder has a binary for.
var elfPlatforms = map[elf.Machine]string{
	elf.EM_X86_64:  "linux/amd64",
	elf.EM_AARCH64: "linux/arm64",
}

// findInBuild returns the path of the binary for the steps inside a build, and
// its platform. The binary is larder-frontend beside the executable, which is
// the file in the gateway image, or else the executable. findInBuild refuses a
// binary that needs a dynamic linker, since a step has none.
func findInBuild(executable string) (path, platform string, err error) {
	if path, err = filepath.EvalSymlinks(executable); err != nil {
		return "", "", fmt.Errorf("find the binary for the steps inside the build: %w", err)
	}
	beside := filepath.Join(filepath.Dir(path), "larder-frontend")
	if fi, err := os.Stat(beside); err == nil && fi.Mode().IsRegular() {
		path = beside
	}
	f, err := elf.Open(path)
	if err != nil {
		return "", "", fmt.Errorf("%s can't run inside a build (%w): put a linux build of larder-frontend beside it", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", "", fmt.Errorf("%s can't run inside a build, for it is linked dynamically: build it with CGO_ENABLED=0", path)
		}
	}
	platform, ok := elfPlatforms[f.Machine]
	if !ok {
		return "", "", fmt.Errorf("%s is built for %s: builders are linux/amd64 or linux/arm64", path, f.Machine)
	}
	return path, platform, nil
}

// addInBuild sends the binary, and no other file of its folder.
func addInBuild(so *client.SolveOpt, executable string) (platform string, err error) {
	path, platform, err := findInBuild(executable)
	if err != nil {
		return "", err
	}
	dir, err := fsutil.NewFS(filepath.Dir(path))
	if err != nil {
		return "", fmt.Errorf("open the folder of %s: %w", path, err)
	}
	name := filepath.Base(path)
	only, err := fsutil.NewFilterFS(dir, &fsutil.FilterOpt{FollowPaths: []string{name}})
	if err != nil {
		return "", fmt.Errorf("send %s: %w", path, err)
	}
	so.LocalMounts[InBuildMount] = only
	so.FrontendAttrs[InBuildMount] = name
	return platform, nil
}
