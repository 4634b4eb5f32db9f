package larder

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// A DepsRequest says which packages to compile for a slice: those that it imports.
type DepsRequest struct {
	Toolchain llb.State // from Builder.Toolchain
	Version   string    // of the toolchain
	Source    llb.State // the build context, of which the files that say which modules there are are used
	Slice     goslice.Slice
	Modules   *Modules   // from Builder.Modules; nil where there are none
	Main      string     // the main module's path
	Dir, Work string     // the module's folder and the go.work that counts, in Source; Work may be ""
	Flags     []string   // of the go command
	Env       []string   // NAME=VALUE
	Own       string     // as that of a BinaryRequest; Deps has no use for it
	Part      *llb.State // from Deps: a part of them that is compiled already, in the same way; nil for none
	Baseline  *Baseline  // nil for none
	Target    Platform   // that they are compiled for
}

// Deps returns the compiled packages that a slice imports, directly or not, from other modules and the standard
// library. They are laid out as GOCACHE. The step's key has the list of imports, but neither the sources of the
// packages nor those of the module. The lower layer is that of Std or, if part of the packages is compiled already, of
// that part.
func (b Builder) Deps(req DepsRequest) llb.State {
	files, flags := req.Slice.ModFiles(), req.Flags
	if req.Slice.Profile != "" {
		files, flags = append(files, req.Slice.Profile), append(slices.Clone(flags), "-pgo="+path.Join(step.Src, req.Slice.Profile))
	}
	modFiles, imports := b.Slice(req.Source, goslice.Slice{Files: files}, "[internal] take go.mod and go.sum"), req.Slice.Imports
	var list runOptions
	if req.Baseline != nil {
		modFiles, imports = b.needs(req.Baseline.Needs, req.Dir), req.Baseline.Needs.Imports
		list = runOptions{b.made(step.Needs, req.Baseline.List)}
	}
	already := b.Std(req)
	if req.Part != nil {
		already = *req.Part
	}
	label := fmt.Sprintf("[deps %s] compile what is imported from elsewhere", platforms.Format(req.Target))
	return b.compile(already, b.goCache(b.CompileCache(req.Main, req.Version, ""), nil), label, req, &step.Deps{Imports: importsFile, Dir: path.Join(step.Src, req.Dir), Args: flags},
		llb.AddMount(step.Src, modFiles, llb.Readonly), b.imports(imports), list)
}

// Std returns the compiled packages that a slice imports, directly or not, from the standard library. They are compiled
// outside of any module, so that the key has nothing of a module. All modules share the step's cache mount, which is
// safe since only a toolchain and a list of standard packages decide what is in it. The state is empty if the module
// changes how these packages are compiled, by a profile or by GOFIPS140.
func (b Builder) Std(req DepsRequest) llb.State {
	empty := llb.Scratch().Platform(b.Platform)
	elsewhere := func(importPath string) bool { return !gomod.IsStandard(importPath) }
	list := slices.DeleteFunc(slices.Clone(req.Slice.Imports), elsewhere)
	fips := slices.ContainsFunc(req.Env, func(kv string) bool { return strings.HasPrefix(kv, "GOFIPS140=") })
	if len(list) == 0 || req.Slice.Profile != "" || fips {
		return empty
	}
	req.Modules, req.Work = nil, ""
	label := fmt.Sprintf("[deps %s] compile the standard library's part of it", platforms.Format(req.Target))
	return b.compile(empty, b.goCache(b.cacheID("std/"+req.Version), nil), label, req, &step.Deps{Imports: importsFile, Dir: "/", Args: req.Flags}, b.imports(list))
}

// importsFile is the path where Builder.imports mounts a list of import paths.
const importsFile = step.In + "/imports"

func (b Builder) imports(list []string) llb.RunOption {
	text := strings.Join(list, "\n") + "\n"
	return llb.AddMount(step.In, b.file("/imports", "[deps] list what is imported", []byte(text)), llb.Readonly)
}

// compile runs a step deps with the modules of the request. The step compiles in a cache mount. It puts what it
// compiles into a layer above what is compiled already.
func (b Builder) compile(already llb.State, cache llb.RunOption, label string, req DepsRequest, s *step.Deps, mounts ...llb.RunOption) llb.State {
	var modules llb.RunOption
	s.Modules, modules = b.mountModules(req.Modules)
	s.Out = step.Out
	opts := append(mounts,
		cache,
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()))
	opts = append(opts, modules)
	opts = append(opts, goEnvironment(req.Target, append([]string{"GOWORK=" + workFile(req.Work)}, req.Env...)))
	return b.runOnto(already, req.Toolchain, label, s, opts...)
}

// goCache mounts a compile cache. One with a layer of packages begins with these. They needn't be copied: the cache lies
// above the layer.
func (b Builder) goCache(name string, layer *llb.State) llb.RunOption {
	cache := llb.AsPersistentCacheDir(name, llb.CacheMountShared)
	if layer == nil {
		return llb.AddMount(step.GoCache, llb.Scratch(), cache)
	}
	return llb.AddMount(step.GoCache, *layer, append(b.byVertex(), cache)...)
}

// CompileCache returns the name of the cache mount for steps that compile a main module and run none of its code. Only
// such steps write to it. It holds what a toolchain compiled, for all platforms. With own, the
// name is that of a mount which not all builds of the module share.
func (b Builder) CompileCache(main, version, own string) string {
	name := "compile/" + main + "/" + version
	if own != "" {
		name += "/" + own
	}
	return b.cacheID(name)
}

// LineCache returns the name of a cache mount of Larder's for the id of a mount in a definition. The id has a mark if a
// plan made it, which a user can't know. LineCache returns "" if the mark isn't there, or is empty. No Dockerfile can have the name
// that it returns.
func (b Builder) LineCache(id, mark string) string {
	prefix := b.Namespace + "/" + mark + "/" // as BuildKit's converter has it
	name, ok := strings.CutPrefix(id, prefix)
	if !ok || mark == "" {
		return ""
	}
	return b.cacheID(name)
}

// goEnvironment sets the environment of the go command for a target platform.
func goEnvironment(target Platform, more []string) llb.RunOption {
	var opts runOptions
	for _, kv := range append(GoEnv(target), more...) {
		k, v, _ := strings.Cut(kv, "=")
		opts = append(opts, llb.AddEnv(k, v))
	}
	return opts
}
