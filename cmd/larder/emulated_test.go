//go:build slow

package main

import (
	"path/filepath"
	"runtime"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A builder of another architecture makes the same image. It is emulated, and the program small: all that it imports is
// compiled under qemu.
func TestSlowBuilderOfAnotherPlatform(t *testing.T) {
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	w := newWorld(t)
	testkit.ToolchainFor(t, w.proxy, toolchain, other)
	w.write("main.go", "package main\n\nimport (\n\t\"a.example/greet\"\n\tname \"b.example/Name/v2\"\n)\n\nfunc main() { println(greet.Hello(name.Name)) }\n")
	args := []string{"--platform", "linux/" + runtime.GOARCH, "--build-arg", "SOURCE_DATE_EPOCH=1700000000"}
	here := w.image(args...)

	addr, larder := testkit.Emulated(t, other)
	there := filepath.Join(t.TempDir(), "there.tar")
	cmd := w.command(append(append([]string{"build", "--builder", addr, "-o", "type=oci,dest=" + there}, args...), w.context)...)
	cmd.Path = larder
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "linux-"+other, "the toolchain is the builder's")
	require.Equal(t, digestOf(t, here), digestOf(t, there))
}
