package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// emulators say for each architecture how the kernel recognizes its programs, and which program runs them. machine is a
// byte of the ELF header of 64-bit programs, in the form of https://docs.kernel.org/admin-guide/binfmt-misc.html.
var emulators = map[string]struct{ machine, interpreter string }{
	"amd64": {`\x3e`, "/usr/bin/qemu-x86_64-static"},
	"arm64": {`\xb7`, "/usr/bin/qemu-aarch64-static"},
}

// Emulated starts a BuildKit daemon for another architecture than this machine's. qemu runs its steps. It returns the
// daemon's address, and the path of a larder that builds there: the frontend for that architecture is beside it.
func Emulated(t testing.TB, arch string) (addr, larder string) {
	emulate(t, arch)
	dir := t.TempDir()
	larder = filepath.Join(dir, "larder")
	Run(t, "cp", Larder(t, "larder"), larder)
	Run(t, "env", "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOWORK=off", "GOARCH="+arch,
		"go", "-C", Root(t), "build", "-ldflags=-s -w", "-o", filepath.Join(dir, "larder-frontend"), "./cmd/larder-frontend")
	return Buildkitd(t, nil, "--oci-worker-platform", "linux/"+arch), larder
}

// emulate makes the kernel run an architecture's programs by qemu, in containers too, until the test ends.
func emulate(t testing.TB, arch string) {
	const dir = "/proc/sys/fs/binfmt_misc"
	e := emulators[arch]
	require.FileExists(t, e.interpreter, "install qemu-user-static: 'make setup-slow' does")
	if _, err := os.Stat(filepath.Join(dir, "register")); err != nil {
		require.NoError(t, unix.Mount("binfmt_misc", dir, "binfmt_misc", 0, ""))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, 0)) })
	}
	name := fmt.Sprintf("larder-%d-%s", os.Getpid(), arch)
	// F opens the interpreter now: a container hasn't got it.
	line := fmt.Sprintf(`:%s:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00%s\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:%s:F`, name, e.machine, e.interpreter)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "register"), []byte(line), 0o200), "telling the kernel of qemu")
	t.Cleanup(func() { require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("-1"), 0o200)) })
}
