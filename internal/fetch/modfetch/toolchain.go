package modfetch

import (
	"fmt"
	"go/version"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"golang.org/x/mod/module"
)

// ToolchainModule returns the module in which a toolchain is distributed, for a release such as go1.26.10 and
// the platform OS/ARCHITECTURE that it runs on.
func ToolchainModule(release, platform string) (module.Version, error) {
	goos, goarch, ok := strings.Cut(platform, "/")
	if !ok || goos == "" || goarch == "" || strings.ContainsAny(goarch, "/") {
		return module.Version{}, fmt.Errorf("platform %q of the toolchain is not OS/ARCHITECTURE, such as linux/amd64", platform)
	}
	m := module.Version{Path: gomod.ToolchainPath, Version: gotoolchain.Toolchain{Version: release}.ModuleVersion(goos, goarch)}
	if !version.IsValid(release) || module.Check(m.Path, m.Version) != nil {
		return module.Version{}, fmt.Errorf("%q is not a Go release such as go1.26.10", release)
	}
	return m, nil
}
