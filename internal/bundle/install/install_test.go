package install

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

const newestGo = "go1.26.10"

// stocked makes a bundle with the tool say, which says what it was built by, of a module with a go line, and with
// toolchains, of which only newestGo is whole.
func stocked(t *testing.T, goLine string, toolchains ...string) *bundle.Bundle {
	dir, platform := t.TempDir(), runtime.GOOS+"/"+runtime.GOARCH
	sums := testkit.Module{Path: "tool.example/say", Version: "v1.0.0", Files: map[string]string{
		"go.mod": "module tool.example/say\n\ngo " + goLine + "\n", "main.go": "package main\n\nimport \"runtime\"\n\nfunc main() { println(runtime.Version()) }\n",
	}}.Write(t, dir)
	req := bundle.Request{Tools: []bundle.Tool{{
		Name: "say", Package: "tool.example/say", Version: "v1.0.0",
		GoMod: []byte("module tools\n\ngo " + goLine + "\n\nrequire tool.example/say v1.0.0\n"), GoSum: []byte(sums),
	}}}
	for _, v := range toolchains {
		chosen := gotoolchain.Toolchain{Version: v}
		pin, _ := chosen.Pin(platform)
		if v == newestGo {
			testkit.Toolchain(t, dir, v)
		} else {
			line := testkit.Module{Path: gomod.ToolchainPath, Version: chosen.ModuleVersion(runtime.GOOS, runtime.GOARCH), Files: map[string]string{"VERSION": v}}.Write(t, dir)
			pin.H1 = strings.Fields(line)[2]
		}
		req.Toolchains = append(req.Toolchains, bundle.Toolchain{Toolchain: chosen, Platform: platform, H1: pin.H1})
	}
	var err error
	req.Modules, err = gomod.ParseSums(gomod.File{Name: "go.sum", Data: []byte(sums)})
	require.NoError(t, err)
	m := bundle.Maker{Sources: bundle.Sources{Folders: []bundle.Folder{{Name: "proxy", FS: os.DirFS(dir)}}}}
	b, err := m.Create(t.Context(), filepath.Join(t.TempDir(), "stock"), req)
	require.NoError(t, err)
	return b
}

// oldGo is a go command that is too old for everything, and builds nothing.
func oldGo(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "go")
	require.NoError(t, os.WriteFile(name, []byte("#!/bin/sh\n[ $1 = env ] && echo go1.20.1\n"), 0o755))
	return name
}

// Where the machine's go command is too old, the newest of the bundle builds: not the last in the alphabet.
func TestByToolchainOfBundle(t *testing.T) {
	i := Installer{Bundle: stocked(t, "1.26.7", "go1.26.9", newestGo), Go: oldGo(t), Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "CGO_ENABLED=0"}}
	file, err := i.Install(t.Context(), "say", t.TempDir())
	require.NoError(t, err)
	require.Equal(t, newestGo+"\n", testkit.Run(t, file))
}

func TestNoToolchain(t *testing.T) {
	platform := runtime.GOOS + "/" + runtime.GOARCH
	b := stocked(t, "1.26.7", "go1.26.6")
	old := Installer{Bundle: b, Go: oldGo(t), Env: []string{"PATH=" + os.Getenv("PATH")}}
	_, err := old.Install(t.Context(), "say", t.TempDir())
	require.EqualError(t, err, "say needs go >= 1.26.7: the go command of this machine is go1.20.1, and "+b.Dir()+" has no such toolchain for "+platform+": install Go, or make the bundle with --go 1.26.7 --platform "+platform)
	_, err = Installer{Bundle: b}.Install(t.Context(), "say", t.TempDir())
	require.ErrorContains(t, err, "there is no go command on this machine")
	_, err = Installer{Bundle: b}.Install(t.Context(), "other", t.TempDir())
	require.ErrorContains(t, err, "has no tool other (it has say)")
}
