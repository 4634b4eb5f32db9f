//go:build slow

package main

import (
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/internal/testkit"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"
)

// runners are the platforms that images are made for, and what runs their programs where they aren't this machine's own:
// qemu's user mode.
var runners = map[string][]string{
	"linux/amd64":    {"qemu-x86_64"},
	"linux/amd64/v2": {"qemu-x86_64", "-cpu", "max"},
	"linux/amd64/v3": {"qemu-x86_64", "-cpu", "max"},
	"linux/amd64/v4": {"qemu-x86_64", "-cpu", "max"}, // which has no AVX-512: see below
	"linux/386":      {"qemu-i386"},
	"linux/arm64":    {"qemu-aarch64"},
	"linux/arm64/v9": {"qemu-aarch64", "-cpu", "max"},
	"linux/arm/v5":   {"qemu-arm"},
	"linux/arm/v6":   {"qemu-arm"},
	"linux/arm/v7":   {"qemu-arm"},
	"linux/loong64":  {"qemu-loongarch64"},
	"linux/mips64le": {"qemu-mips64el"},
	"linux/ppc64le":  {"qemu-ppc64le"},
	"linux/riscv64":  {"qemu-riscv64"},
	"linux/s390x":    {"qemu-s390x"},
}

// Trees whose settings or platforms have the standard library compiled anew.
func TestSlowTrees(t *testing.T) { buildTrees(t, "slowtrees") }

// One index for all platforms, compiled on this one: each image's program runs, and the modules were unpacked once.
func TestSlowPlatforms(t *testing.T) {
	w := newWorld(t)
	w.write("main.go", "package main\n\nimport \"b.example/Name/v2\"\n\nfunc main() { println(name.Name) }\n")
	image := testkit.Registry(t) + "/app:1"
	all := slices.Sorted(maps.Keys(runners))
	out, err := w.build("--platform", strings.Join(all, ","), "--push", "-t", image)
	require.NoError(t, err, "%s", out)
	vertices := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#(\d+) \[modules\] fetch and unpack`).FindAllStringSubmatch(out, -1) {
		vertices[m[1]] = true
	}
	require.Len(t, vertices, 1, "one layer of modules for all platforms: %s", out)

	crane := testkit.Tool(t, "crane")
	var list ocispecs.Index
	require.NoError(t, json.Unmarshal([]byte(testkit.Run(t, crane, "manifest", image)), &list))
	var listed []string
	for _, m := range list.Manifests {
		listed = append(listed, platforms.Format(*m.Platform))
	}
	require.ElementsMatch(t, all, listed)

	for _, platform := range all {
		require.Contains(t, out, fmt.Sprintf("[%s] go build .", platform))
		root := filepath.Join(t.TempDir(), "root.tar")
		testkit.Run(t, crane, "export", "--platform", platform, image, root)
		dir := t.TempDir()
		testkit.Run(t, "tar", "-C", dir, "-xf", root, "usr/local/bin/app")
		app := filepath.Join(dir, "usr/local/bin/app")
		requireBuiltFor(t, app, platform)
		command := append(slices.Clone(runners[platform]), app)
		arch, variant, _ := strings.Cut(strings.TrimPrefix(platform, "linux/"), "/")
		// Go's 386 programs don't run under qemu 7.2, but every amd64 processor runs them; what qemu can't do for v4, this
		// one may.
		if platform == "linux/"+runtime.GOARCH || (arch == "386" || variant == "v4") && runtime.GOARCH == "amd64" {
			command = command[len(command)-1:]
		}
		said, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
		if variant == "v4" && strings.Contains(string(said), "can only be run on AMD64 processors with v4 microarchitecture support") {
			continue // as Go's runtime says where there is no such processor
		}
		require.NoError(t, err, "%s: %s", platform, said)
		require.Equal(t, "larder\n", string(said), platform)
	}
}

// requireBuiltFor wants the settings that a program was built with to be those of a platform.
func requireBuiltFor(t *testing.T, app, platform string) {
	info, err := buildinfo.ReadFile(app)
	require.NoError(t, err)
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	arch, variant, _ := strings.Cut(strings.TrimPrefix(platform, "linux/"), "/")
	require.Equal(t, arch, settings["GOARCH"])
	switch {
	case arch == "arm":
		require.Equal(t, strings.TrimPrefix(variant, "v"), settings["GOARM"])
	case arch == "amd64" && variant == "":
		require.Equal(t, "v1", settings["GOAMD64"])
	case variant != "":
		require.Regexp(t, "^"+variant, settings["GO"+strings.ToUpper(arch)])
	}
}

// Modules are fetched once, and each file once, however many platforms there are; nothing else is asked for.
func TestSlowManyPlatformsFetchOnce(t *testing.T) {
	w := newWorld(t)
	proxy := testkit.ServeProxy(t, w.proxy)
	w.env = []string{"GOPROXY=" + proxy.URL}
	index, read := readIndex(t, w.image("--platform", "linux/amd64,linux/arm64,linux/arm/v7", "--no-cache", "--build-arg", "BUILDKIT_CACHE_MOUNT_NS=once"))
	var list ocispecs.Index
	read(index.Manifests[0], &list)
	var listed []string
	for _, m := range list.Manifests {
		listed = append(listed, platforms.Format(*m.Platform))
	}
	require.Equal(t, []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}, listed)
	count := map[string]int{}
	for _, r := range proxy.Requests() {
		if !strings.Contains(r, "golang.org/toolchain") {
			count[r]++
		}
	}
	require.Equal(t, map[string]int{
		"/a.example/greet/@v/v1.2.0.zip": 1, "/a.example/greet/@v/v1.2.0.mod": 1,
		"/b.example/!name/v2/@v/v2.0.1.zip": 1, "/b.example/!name/v2/@v/v2.0.1.mod": 1,
	}, count)
}
