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

// A DepsRequest says which packages to compile before a module.
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
	Part      *llb.State // from Deps: a part of them that is compiled already, in the same way; nil for none
	Baseline  *Baseline  // nil for none
	Target    Platform   // that they are compiled for
}

// Deps returns packages of other modules and of the standard library, those that a slice imports and what these import,
// compiled, as GOCACHE is laid out. Their sources are not in its key, nor are those of the module: the list of imports is.
// The lower layer is that of Std or, where there is one, of a part of the packages.
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
	return b.compile(already, b.CompileCache(req.Main, req.Version), label, req, &step.Deps{Imports: importsFile, Dir: path.Join(step.Src, req.Dir), Args: flags},
		llb.AddMount(step.Src, modFiles, llb.Readonly), b.imports(imports), list)
}

// Std returns what a slice imports of the standard library and what that imports, compiled outside of any module: its key
// has nothing of a module, and all modules share what it keeps in a cache mount of its own, since nothing but the
// toolchain and a list of packages of the standard library goes into that. It is empty where the module has a say in how
// these are compiled, by a profile or as GOFIPS140.
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
	return b.compile(empty, b.cacheID("std/"+req.Version), label, req, &step.Deps{Imports: importsFile, Dir: "/", Args: req.Flags}, b.imports(list))
}

// importsFile is where imports mounts a list of import paths.
const importsFile = step.In + "/imports"

func (b Builder) imports(list []string) llb.RunOption {
	text := strings.Join(list, "\n") + "\n"
	return llb.AddMount(step.In, b.file("/imports", "[deps] list what is imported", []byte(text)), llb.Readonly)
}

// compile runs the step deps, to which it gives the modules of the request. The step compiles in a cache mount. What it
// compiles comes above what is compiled already.
func (b Builder) compile(already llb.State, cache, label string, req DepsRequest, s *step.Deps, mounts ...llb.RunOption) llb.State {
	var modules llb.RunOption
	s.Modules, modules = b.mountModules(req.Modules)
	s.Out = step.Out
	opts := append(mounts,
		llb.AddMount(step.GoCache, llb.Scratch(), llb.AsPersistentCacheDir(cache, llb.CacheMountShared)),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()))
	opts = append(opts, modules)
	opts = append(opts, goEnvironment(req.Target, append([]string{"GOWORK=" + workFile(req.Work)}, req.Env...)))
	return b.runOnto(already, req.Toolchain, label, s, opts...)
}

// CompileCache names the cache mount of steps that compile a main module and run none of its code: such steps alone write
// it. It has what a toolchain compiles for all platforms.
func (b Builder) CompileCache(main, version string) string {
	return b.cacheID("compile/" + main + "/" + version)
}

// LineCache returns the name of the cache mount that stands in a Dockerfile's text with a mark, which tells it from names
// of the user's: a name that no Dockerfile can have. It is "" where the mark isn't there.
func (b Builder) LineCache(id, mark string) string {
	prefix := b.Namespace + "/" + mark + "/" // as BuildKit's converter has it
	name, ok := strings.CutPrefix(id, prefix)
	if !ok {
		return ""
	}
	return b.cacheID(name)
}

// goEnvironment sets the environment of a go command for a target platform.
func goEnvironment(target Platform, more []string) llb.RunOption {
	var opts runOptions
	for _, kv := range append(GoEnv(target), more...) {
		k, v, _ := strings.Cut(kv, "=")
		opts = append(opts, llb.AddEnv(k, v))
	}
	return opts
}
