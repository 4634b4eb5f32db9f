package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unneeded matches files of Debian's packages that aren't needed to compile: documents, link-time optimizers,
// sanitizers, profilers.
var unneeded = regexp.MustCompile(`^/usr/share/|/(lto1|lto-dump[^/]*|[^/]*-lto-dump[^/]*|lib\w*san\.[^/]*|libgprofng[^/]*|gprofng[^/]*|[^/]*dwp|[^/]*gcov[^/]*)$|/sanitizer/`)

// PushWithCompilers makes an image from another one and this machine's own C compilers, and pushes it. It is to its
// base what golang:1.26 is to golang:1.26-alpine. It adds the files of Debian's packages, and of the packages that they
// need.
func PushWithCompilers(t testing.TB, addr, base, image string, packages ...string) {
	dir := t.TempDir()
	pack(t, filepath.Join(dir, "root.tar"), append(filesOf(t, packages), "lib", "lib64"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM "+base+"\nADD root.tar /\n"), 0o644))
	Run(t, Tool(t, "buildctl"), "--addr", addr, "build", "--frontend", "dockerfile.v0",
		"--local", "context="+dir, "--local", "dockerfile="+dir, "--output", "type=image,push=true,compression=uncompressed,name="+image)
}

// CopyPackages copies the files of installed Debian packages, and of the packages that they need, into a folder.
func CopyPackages(t testing.TB, dir string, packages ...string) {
	root := filepath.Join(t.TempDir(), "root.tar")
	pack(t, root, filesOf(t, packages))
	Run(t, "tar", "-C", dir, "-xf", root)
}

// filesOf returns the files of packages, and of the packages that they need. The paths have no slash at the start.
func filesOf(t testing.TB, packages []string) (files []string) {
	args := append([]string{"depends", "--recurse", "--installed", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"}, packages...)
	var all []string
	for line := range strings.Lines(Run(t, "apt-cache", args...)) {
		if name := strings.TrimSpace(line); name != "" && name == strings.TrimSuffix(line, "\n") && name[0] != '<' {
			all = append(all, name)
		}
	}
	installed := map[string]bool{}
	for line := range strings.Lines(Run(t, "dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n")) {
		name, status, _ := strings.Cut(strings.TrimSpace(line), " ")
		installed[name] = installed[name] || status == "installed"
	}
	for _, name := range packages {
		require.True(t, installed[name], "install %s: 'make test-slow' does", name)
	}
	// What another one stands for is among those that they need.
	all = slices.DeleteFunc(all, func(name string) bool { plain, _, _ := strings.Cut(name, ":"); return !installed[plain] })
	list, err := exec.CommandContext(t.Context(), "dpkg-query", append([]string{"-L"}, all...)...).Output()
	require.NoError(t, err)
	for name := range strings.Lines(string(list)) {
		name = strings.TrimSuffix(name, "\n")
		info, err := os.Lstat(name)
		if err != nil || info.IsDir() || unneeded.MatchString(name) {
			continue
		}
		// /lib is a link to /usr/lib, and packages name either.
		parent, err := filepath.EvalSymlinks(filepath.Dir(name))
		require.NoError(t, err)
		files = append(files, filepath.Join(parent, filepath.Base(name))[1:])
	}
	return files
}

// pack makes a tar archive of files of this machine.
func pack(t testing.TB, tar string, files []string) {
	slices.Sort(files)
	names := filepath.Join(t.TempDir(), "files")
	require.NoError(t, os.WriteFile(names, []byte(strings.Join(slices.Compact(files), "\n")), 0o644))
	Run(t, "tar", "-C", "/", "-cf", tar, "-T", names)
}
