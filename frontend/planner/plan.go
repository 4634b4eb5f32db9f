// Package planner decides what Larder does for one build. It takes a Go Dockerfile, a read-only view of the build
// context and the options of the build. It returns a Plan: what Larder has to supply, the plain Dockerfile for
// BuildKit's own converter, and the findings of lint rules. It is pure: it asks no builder and no network.
package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/commit"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
)

// A Request holds everything that a plan is made from.
type Request struct {
	File          dockerfile.File
	Tree          fs.FS                              // the build context; read only where the file asks for something of Go's
	Target        string                             // --target
	Platforms     []string                           // target platforms, at least one
	BuildPlatform string                             // the builder's
	BuildArgs     map[string]string                  // --build-arg
	Contexts      map[string]bool                    // names of the user's named contexts
	Describe      bool                               // the request only asks what there is, so that no target has to be picked
	Toolchains    func(context, version string) bool // whether a named context holds the zip of a toolchain, such as go1.26.8
	VCS           VCS
	Lint          *linter.Config // in place of the file's check directive, if set

	// Commit returns what is known of the commit that is built, for lines that stamp it, if anything is. It may be nil:
	// nothing is.
	Commit func() (c commit.Commit, known bool, err error)

	// Context opens a named context, as far as module files go; Image returns the config of a base image for a platform,
	// if it can be had. Either may be nil: then nothing is known of them.
	Context func(name string) (fs.FS, error)
	Folder  func(name string) (fs.FS, error) // as Context, with all its files
	Image   func(name, platform string) (ImageConfig, bool)

	// ModuleImage reports whether a registry has an image of modules: see ModulesArg. It may be nil: none has.
	ModuleImage func(ref string) (bool, error)

	// Hidden reports whether a file is left out of the build context by .dockerignore. It may be nil: none is.
	Hidden func(file string) bool

	Images bool // the outcome is known to be written as an image

	// Travels says that layers of the build go to other builders, by a cache that is imported or exported: what is compiled
	// of other modules is worth one then.
	Travels bool

	// Mark is a name that nobody can guess. It stands before the names of caches that only compiling lines may have, so that
	// a build can tell these from what a Dockerfile says. It is "" for a plan that nothing is built by.
	Mark string

	// Again writes the command that the user gave, for another folder of the build context. It may be nil: it isn't known.
	Again func(folder string) string
}

// VCS describes the revision that is built. Empty fields are unknown.
type VCS struct {
	Source, Revision, Version string
}

func (r Request) hasContext(name string) bool { return r.Contexts[strings.ToLower(name)] }

func (r Request) withoutContext(name string) Request {
	r.Contexts = maps.Clone(r.Contexts)
	delete(r.Contexts, name)
	return r
}

func (r Request) holdsToolchain(context, version string) bool {
	return r.Toolchains != nil && r.Toolchains(context, version)
}

// A Plan says what is built, from what, and why.
type Plan struct {
	Level         int            `json:"level"`                // 0: the file has no instructions; 1: it has GO; 2: it is a Dockerfile
	Filename      string         `json:"filename"`             // the name of the Dockerfile
	Module        string         `json:"module,omitempty"`     // the main module's path
	Platforms     []string       `json:"platforms"`            // target platforms, such as linux/arm64
	BuildPlatform string         `json:"buildPlatform"`        // the builder's platform
	Toolchains    []Toolchain    `json:"toolchains,omitempty"` // Go toolchains
	Modules       []*Modules     `json:"modules,omitempty"`    // module sets
	Packages      []Package      `json:"packages,omitempty"`   // main packages of a build without instructions; the one to be built is last
	Slices        []*SourceSlice `json:"slices,omitempty"`     // parts of the build context that steps compile
	Deps          []*Deps        `json:"deps,omitempty"`       // packages that are compiled before a step
	Compiled      []*Compile     `json:"compiled,omitempty"`   // packages of the tree that are compiled before a step which stamps the commit
	Steps         []Step         `json:"steps,omitempty"`      // what Larder adds to the build
	Rewrites      []Rewrite      `json:"rewrites,omitempty"`   // instructions that are changed
	CA            []int          `json:"ca,omitempty"`         // lines with a network that are given the secret ca
	Notes         []Note         `json:"notes,omitempty"`      // why a RUN that calls go is left as it is
	Warnings      []Warning      `json:"warnings,omitempty"`   // what lint found
	Dockerfile    string         `json:"dockerfile"`           // what BuildKit's converter is given
	Syntax        string         `json:"syntax,omitempty"`     // the frontend that the file names, if that is docker/dockerfile

	user string        // the file as the user has it
	read goslice.Cache // of the tree that GO lines and main packages are compiled of

	// LintError is set if there are warnings and the file asks for them to be errors.
	LintError error `json:"-"`
	// GoLines says whether there are GO instructions.
	GoLines bool `json:"-"`
	// CgoCopies are to be looked into once the image is built, for what their programs need.
	CgoCopies []CgoCopy `json:"-"`
	Work      string    `json:"work,omitempty"`     // the go.work that counts, in the build context
	Vendored  bool      `json:"vendored,omitempty"` // packages come from vendor/
	Flags     []string  `json:"flags,omitempty"`    // flags of go build, in a build without instructions
	Env       []string  `json:"env,omitempty"`      // settings of the go command, as NAME=VALUE, in a build without instructions
	// Dir is the folder of the module in the tree that is mounted, for a build without instructions.
	Dir string `json:"-"`
	// Wide is what is mounted as the build context.
	Wide Wide `json:"-"`
	// Static says whether the static base is needed.
	Static bool `json:"-"`
	// Go says whether anything of Go's is in the plan: if not, the file is BuildKit's alone.
	Go bool `json:"-"`
}

// A Toolchain is a Go toolchain that the build needs.
type Toolchain struct {
	Version string `json:"version"` // such as go1.26.8
	Why     string `json:"why"`     // what chose it
	Source  Source `json:"source"`  // where it comes from
	Pinned  bool   `json:"pinned"`  // its sum is known beforehand; if not, the checksum database is asked
}

// A Note says why a RUN that calls go isn't changed.
type Note struct {
	Line int    `json:"line"` // the line in the Dockerfile
	Text string `json:"text"` // the reason
}

// Injects reports whether a RUN gets something that it doesn't ask for.
func (p *Plan) Injects() bool {
	return slices.ContainsFunc(p.Rewrites, func(r Rewrite) bool { return r.Injected })
}

// A Step is one step of the builder, and whether it has a network.
type Step struct {
	Name     string `json:"name"`               // as the progress display has it
	Network  bool   `json:"network"`            // the step has a network
	Platform string `json:"platform,omitempty"` // the target platform, for steps done once for each

	Context string `json:"-"` // the named context that it makes, or a part of: later steps of one need the earlier ones
	Line    int    `json:"-"` // the line in the Dockerfile that it runs; 0 for a step of Larder's own
}

// New makes a plan. An error about a line of the file carries its position, as BuildKit's errors do.
func New(req Request) (*Plan, error) {
	p := &Plan{Level: 2, Filename: req.File.Name, Platforms: req.Platforms, BuildPlatform: req.BuildPlatform, Dockerfile: string(req.File.Data), user: string(req.File.Data)}
	if req.File.HeaderOnly() {
		p.Level = 0
		if req.File.Err != nil {
			return nil, req.File.Err
		}
		return p, req.explain(p.levelZero(req))
	}
	uses, err := Uses(req.File, req)
	if err != nil {
		return p, err
	}
	if uses {
		err = p.level(req)
	} else {
		(&planner{Request: req, plan: p}).noteUnseen()
	}
	if err == nil {
		p.CA, err = CALines(req.File, req.BuildArgs, p.Rewrites)
	}
	return p, err
}

// level plans a file with instructions that uses something of Larder's.
func (p *Plan) level(req Request) error {
	if len(req.File.GoLines) > 0 {
		p.Level = 1
	}
	if req.File.Broken {
		p.Go, p.Dockerfile = true, string(req.File.Placeholders())
		return nil
	}
	return req.explain(p.dockerfile(req))
}

// Untouched returns the plan for a file that names docker/dockerfile as its frontend.
func Untouched(filename string, data []byte, syntax string, platforms []string, buildPlatform string) *Plan {
	return &Plan{Level: 2, Filename: filename, Platforms: platforms, BuildPlatform: buildPlatform, Dockerfile: string(data), Syntax: syntax}
}

// explain adds to an error about a missing file that .dockerignore hides that file, if it does.
func (r Request) explain(err error) error {
	var (
		sum   *gotree.MissingSumError
		use   *gotree.MissingUseError
		embed *embedError
		file  string
	)
	switch {
	case errors.As(err, &sum):
		file = path.Join(path.Dir(sum.GoMod), "go.sum")
	case errors.As(err, &use):
		file = path.Join(use.Dir, "go.mod")
	case errors.As(err, &embed):
		file = embed.named()
	case errors.Is(err, ErrNoModule):
		file = "go.mod"
	}
	if file == "" || r.Hidden == nil || !r.Hidden(file) {
		return err
	}
	return fmt.Errorf("%w (.dockerignore leaves %s out of the build context: take that out of it)", err, file)
}

// levelZero plans a build without instructions: images of the main packages of the context's module.
func (p *Plan) levelZero(req Request) error {
	if err := checkArgs(req.BuildArgs); err != nil {
		return err
	}
	alone := req.BuildArgs["GOWORK"] == "off"
	wide, err := widen(req, []string{"."}, alone)
	if err != nil {
		return err
	}
	mod, err := wide.readModule(req.Tree, ".", alone)
	if errors.Is(err, ErrNoModule) {
		return req.noRootModule()
	} else if err != nil {
		return err
	}
	p.Wide, p.Dir, req.Tree = wide, wide.Base, wide.tree
	if err := checkTargets(req.Platforms, req.Images); err != nil {
		return err
	}
	goos, goarch := splitPlatform(req.Platforms[0])
	if p.Packages, err = newPrograms(req, mod, goos, goarch).pick(req.Target, req.Describe); err != nil {
		return err
	}
	p.Static = true
	p.Go, p.Module, p.Work, p.Vendored = true, mod.Path, mod.Work, mod.Vendored
	for _, name := range settings {
		// A C compiler is what a build without instructions hasn't.
		if v := req.BuildArgs[name]; v != "" && name != "CGO_ENABLED" {
			p.Env = append(p.Env, name+"="+v)
		}
	}
	stamped, err := req.levelZeroCommit(wide)
	if err != nil {
		return err
	}
	if p.Flags, err = levelZeroFlags(req.BuildArgs["GOFLAGS"], stamped != nil); err != nil {
		return err
	}
	sources, err := ModuleSources(req)
	if err != nil {
		return err
	}
	if _, err := p.addToolchain(req, sources, "", mod.Versions); err != nil {
		return err
	}
	if !mod.Vendored {
		if sources, err = setSources(req, mod.Set); err != nil {
			return err
		}
	}
	fips := p.fips(req.BuildArgs["GOFIPS140"], p.Toolchains[0].Version)
	if _, err := p.addModules(mod.Set, mod.Vendored, sources, vcsSettings(req.BuildArgs), fips); err != nil {
		return err
	}
	if req.File.Slice {
		if err := p.slicePackages(req, mod, !req.Describe); err != nil {
			return err
		}
	}
	for i := range p.Packages {
		if stamped != nil {
			p.stamp(req, &p.Packages[i], stamped)
		}
	}
	w := &planner{Request: req, plan: p}
	w.startLint()
	w.lintPrivate()
	p.LintError = w.lint.Error()
	p.Dockerfile = p.levelZeroFile(req)
	p.addSteps()
	return nil
}

// addToolchain chooses a toolchain, adds it to the plan unless the plan has it, and returns its version.
func (p *Plan) addToolchain(req Request, sources []Source, from string, files []gotoolchain.VersionFile) (version string, err error) {
	chosen, err := gotoolchain.Choose(gotoolchain.Request{From: from, Env: req.BuildArgs["GOTOOLCHAIN"], Files: files})
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(p.Toolchains, func(t Toolchain) bool { return t.Version == chosen.Version }) {
		return chosen.Version, nil
	}
	source, err := toolchainSource(req, sources, chosen.Version)
	if err != nil {
		return "", err
	}
	_, pinned := chosen.Pin(req.BuildPlatform)
	if !pinned && req.BuildArgs["GOSUMDB"] == "off" {
		return "", fmt.Errorf("the Go toolchain %s (%s) is not one whose checksum Larder knows, and GOSUMDB=off forbids to ask the checksum database: name a pinned release such as %s, or set GOSUMDB", chosen.Version, chosen.Why, gotoolchain.Default)
	}
	p.Toolchains = append(p.Toolchains, Toolchain{Version: chosen.Version, Why: chosen.Why, Source: source, Pinned: pinned})
	return chosen.Version, nil
}

// ToolchainPaths returns the paths where a GOPROXY folder, or a module cache, may have the zip of a toolchain.
func ToolchainPaths(version, platform string) []string {
	file := gomod.ToolchainPath + "/@v/" + gotoolchain.Toolchain{Version: version}.ModuleVersion(splitPlatform(platform)) + ".zip"
	return []string{file, path.Join("cache/download", file)}
}

func splitPlatform(p string) (goos, goarch string) {
	spec, err := platforms.Parse(p)
	if err != nil {
		return "", ""
	}
	return spec.OS, spec.Architecture
}
