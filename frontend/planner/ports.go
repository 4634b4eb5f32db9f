package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
)

// ports are the platforms that the go command compiles for: see 'go tool dist list'.
var ports = map[string]string{
	"aix":       "ppc64",
	"android":   "386 amd64 arm arm64",
	"darwin":    "amd64 arm64",
	"dragonfly": "amd64",
	"freebsd":   "386 amd64 arm arm64",
	"illumos":   "amd64",
	"ios":       "amd64 arm64",
	"js":        "wasm",
	"linux":     "386 amd64 arm arm64 loong64 mips mips64 mips64le mipsle ppc64 ppc64le riscv64 s390x",
	"netbsd":    "386 amd64 arm arm64",
	"openbsd":   "386 amd64 arm arm64 ppc64 riscv64",
	"plan9":     "386 amd64 arm",
	"solaris":   "amd64",
	"wasip1":    "wasm",
	"windows":   "386 amd64 arm64",
}

// otherPorts are platforms that older releases compile for, and those that the go command knows but can't compile for.
var otherPorts = map[string]string{
	"darwin":    "386 arm",
	"dragonfly": "386",
	"freebsd":   "riscv64",
	"linux":     "sparc64",
	"nacl":      "386 amd64p32 arm",
	"openbsd":   "mips64",
	"windows":   "arm",
}

// programsFor are the systems, besides Linux, for which a build without instructions makes a program, but no image.
var programsFor = []string{"darwin", "freebsd", "netbsd", "openbsd", "windows"}

// variants are the variants of an architecture that the go command knows. For arm64, they are prefixes.
var variants = map[string][]string{
	"amd64": {"v1", "v2", "v3", "v4"},
	"arm":   {"v5", "v6", "v7"},
	"arm64": {"v8", "v9"},
}

// checkPort refuses a platform that the go command doesn't compile for. That way nothing is fetched for it.
func checkPort(platform string) error {
	p, err := platforms.Parse(platform)
	if err != nil {
		return fmt.Errorf("--platform %s: %w", platform, err)
	}
	if why := noPort(p.OS, p.Architecture); why != "" {
		return fmt.Errorf("--platform %s: %s", platform, why)
	}
	of := variants[p.Architecture]
	ok := func(v string) bool {
		return p.Variant == v || p.Architecture == "arm64" && strings.HasPrefix(p.Variant, v+".")
	}
	if p.Variant != "" && len(of) == 0 {
		return fmt.Errorf("--platform %s: the go command knows no variant of %s: leave %s out%s", platform, p.Architecture, p.Variant, orSetting(p.Architecture))
	}
	if p.Variant != "" && !slices.ContainsFunc(of, ok) {
		return fmt.Errorf("--platform %s: the go command knows no variant %s of %s: leave it out, or name one of %s", platform, p.Variant, p.Architecture, strings.Join(of, ", "))
	}
	return nil
}

// noPort says why the go command doesn't compile for a platform, or returns "".
func noPort(goos, goarch string) string {
	known := strings.Fields(ports[goos])
	switch {
	case slices.Contains(known, goarch):
		return ""
	case len(known) == 0:
		return fmt.Sprintf("the go command compiles for no system %s: name one such as linux/amd64", goos)
	}
	return fmt.Sprintf("the go command compiles for no such platform: of %s it knows %s/%s", goos, goos, strings.Join(known, ", "+goos+"/"))
}

// orSetting returns advice to set the variable that selects processors of an architecture, if the go command has one.
func orSetting(arch string) string {
	name := "GO" + strings.ToUpper(strings.TrimSuffix(arch, "le"))
	if !slices.Contains(settings, name) {
		return ""
	}
	return "; the build argument " + name + " chooses among its processors"
}

// checkPorts checks all platforms of a build.
func checkPorts(targets []string) error {
	for _, target := range targets {
		if err := checkPort(target); err != nil {
			return err
		}
	}
	return nil
}

// checkTargets refuses platforms that a build without instructions can't build for. images is set if the result is an
// image: images are for Linux only.
func checkTargets(targets []string, images bool) error {
	for _, target := range targets {
		goos, _ := splitPlatform(target)
		if goos != "linux" && !slices.Contains(programsFor, goos) {
			return fmt.Errorf("--platform %s: without instructions Larder makes images for linux/%s, and programs for %s: write a Dockerfile", target, strings.Join(strings.Fields(ports["linux"]), ", linux/"), strings.Join(programsFor, ", "))
		}
		if goos != "linux" && images {
			return fmt.Errorf("--platform %s: without instructions Larder makes images for Linux alone: take the program with --output FOLDER, or write a Dockerfile", target)
		}
	}
	return checkPorts(targets)
}
