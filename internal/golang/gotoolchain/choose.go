// Package gotoolchain chooses the Go release that a build uses, as the go command would, and has the hashes of some
// releases built in. It is pure: the caller gives it the contents of go.mod and go.work.
package gotoolchain

import (
	"fmt"
	"go/version"
	"strings"

	"github.com/larder-build/larder/internal/golang/gomod"
	"golang.org/x/mod/modfile"
)

// A Toolchain is a Go release, and the reason why it was chosen.
type Toolchain struct {
	Version string // as the go command prints it: go1.26.8
	Why     string // for people: "go line of go.mod: go 1.26"
}

// ModuleVersion returns the version of the module golang.org/toolchain that holds the toolchain for a host platform.
func (t Toolchain) ModuleVersion(goos, goarch string) string {
	return "v0.0.1-" + t.Version + "." + goos + "-" + goarch
}

// Sum returns the go.sum line for the zip of the toolchain for a host platform, OS/ARCHITECTURE.
func (t Toolchain) Sum(platform, h1 string) gomod.Sum {
	goos, goarch, _ := strings.Cut(platform, "/")
	return gomod.Sum{Path: gomod.ToolchainPath, Version: t.ModuleVersion(goos, goarch), Hash: h1}
}

// Tag returns the tag, in a registry, of the image with the zip of the toolchain for a host platform, as in Sum.
func (t Toolchain) Tag(platform string) string {
	goos, arch, _ := strings.Cut(platform, "/")
	goarch, _, _ := strings.Cut(arch, "/") // one toolchain is for all variants
	return "gotoolchain-" + t.Version + "." + goos + "-" + goarch
}

// A Request has everything that determines which toolchain a build uses.
type Request struct {
	From  string        // VERSION of "FROM go:VERSION"; empty or "latest" leaves the choice open
	Env   string        // GOTOOLCHAIN, from a build argument
	Files []VersionFile // go.mod, or go.work and the go.mod of each of its modules
}

// A VersionFile has the go line and the toolchain line of a go.mod or go.work file.
type VersionFile struct {
	Name      string // for messages
	Go        string // the go line's version: 1.26 or 1.26.8; empty if there is none
	Toolchain string // the toolchain line's name: go1.26.8; empty or "default" if there is none
}

// ModVersions returns the go line and the toolchain line of a parsed go.mod.
func ModVersions(name string, f *modfile.File) VersionFile {
	return versionFile(name, f.Go, f.Toolchain)
}

// WorkVersions returns the go line and the toolchain line of a parsed go.work.
func WorkVersions(name string, f *modfile.WorkFile) VersionFile {
	return versionFile(name, f.Go, f.Toolchain)
}

func versionFile(name string, g *modfile.Go, t *modfile.Toolchain) VersionFile {
	v := VersionFile{Name: name}
	if g != nil {
		v.Go = g.Version
	}
	if t != nil && t.Name != "default" {
		v.Toolchain = t.Name
	}
	return v
}

// Choose picks a toolchain as the go command would if Larder's pinned releases were the ones installed: the release
// that FROM go:VERSION or GOTOOLCHAIN names, else the newest toolchain line, else the newest go line. A version without
// a patch number means the newest pinned patch release; a go line is a minimum and is met by the newest pinned patch of
// its own release, or by Default where it names a release too old to be pinned. A choice that is older than a
// go line is an error, since GOTOOLCHAIN=local would refuse it later.
func Choose(req Request) (Toolchain, error) {
	need := newestGoLine(req.Files)
	t, err := choose(req, need)
	if err != nil {
		return Toolchain{}, err
	}
	if need.Go != "" && version.Compare(t.Version, "go"+need.Go) < 0 {
		return Toolchain{}, fmt.Errorf("%s needs go >= %s, but %s chooses %s: name a newer version there, or lower the go line", need.Name, need.Go, t.Why, t.Version)
	}
	return t, nil
}

func choose(req Request, need VersionFile) (Toolchain, error) {
	if req.From != "" && req.From != "latest" {
		return named("go"+req.From, "FROM go:"+req.From)
	}
	env := strings.TrimSuffix(strings.TrimSuffix(req.Env, "+auto"), "+path")
	switch env {
	case "", "local", "auto", "path":
	default:
		return named(env, "GOTOOLCHAIN="+req.Env)
	}
	if line := newestToolchainLine(req.Files); line.Toolchain != "" && version.Compare(line.Toolchain, "go"+need.Go) >= 0 {
		return named(line.Toolchain, fmt.Sprintf("the toolchain line of %s", line.Name))
	}
	if need.Go == "" {
		return Toolchain{Version: Default, Why: "Larder's default, as no go line says otherwise"}, nil
	}
	return forGoLine(need)
}

// named resolves a toolchain name from the user. It returns exactly that toolchain, or the newest pinned patch of a
// release without a patch number.
func named(name, why string) (Toolchain, error) {
	if !version.IsValid(name) || strings.ContainsAny(name, "-+ ") {
		return Toolchain{}, fmt.Errorf("%s: %q is not a Go release, expected something like go1.26 or %s", why, strings.TrimPrefix(name, "go"), Default)
	}
	if version.Lang(name) == name {
		if newest := newestPinned(name); newest != "" {
			return Toolchain{Version: newest, Why: why}, nil
		}
		name += ".0"
	}
	return Toolchain{Version: name, Why: why}, nil
}

func forGoLine(need VersionFile) (Toolchain, error) {
	name := "go" + need.Go
	why := fmt.Sprintf("the go line of %s (go %s)", need.Name, need.Go)
	if !version.IsValid(name) {
		return Toolchain{}, fmt.Errorf("%s: invalid go version %q", need.Name, need.Go)
	}
	newest := newestPinned(version.Lang(name))
	switch {
	case newest != "" && version.Compare(newest, name) >= 0:
		return Toolchain{Version: newest, Why: why}, nil
	case version.Compare(name, oldestPinned()) < 0:
		return Toolchain{Version: Default, Why: why + ", which any later release meets"}, nil
	}
	return named(name, why)
}

func newestGoLine(files []VersionFile) VersionFile {
	var newest VersionFile
	for _, f := range files {
		if f.Go != "" && (newest.Go == "" || version.Compare("go"+f.Go, "go"+newest.Go) > 0) {
			newest = f
		}
	}
	return newest
}

func newestToolchainLine(files []VersionFile) VersionFile {
	var newest VersionFile
	for _, f := range files {
		if f.Toolchain != "" && (newest.Toolchain == "" || version.Compare(f.Toolchain, newest.Toolchain) > 0) {
			newest = f
		}
	}
	return newest
}
