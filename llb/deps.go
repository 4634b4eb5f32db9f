package llb

import (
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/larder-build/larder/internal/goslice"
	"github.com/moby/buildkit/client/llb"
)

// A DepsRequest says which packages to compile before a module.
type DepsRequest struct {
	Toolchain llb.State // from Builder.Toolchain
	Source    llb.State // the build context, of which the files that say which modules there are are used
	Slice     goslice.Slice
	Modules   *llb.State // from Builder.Modules; nil where there are none
	Dir, Work string     // the module's folder and the go.work that counts, in Source; Work may be ""
	Flags     []string   // of the go command
	Env       []string   // NAME=VALUE
	Cache     string     // the name of the compile cache
	Seeded    *llb.State // from Builder.Seed; nil for none
	Part      *llb.State // from Deps: a part of them that is compiled already, in the same way; nil for none
	Target    Platform   // that they are compiled for
	Label     string
	StdLabel  string // of the step for packages of the standard library alone; "" for no such step
}

// Deps returns packages of other modules and of the standard library, those that a slice imports and what these import,
// compiled, as GOCACHE is laid out. Their sources are not in its key, nor are those of the module: the list of imports is.
// It has two layers, where there are modules. What is imported of the standard library is in the lower one, whose key
// has nothing of the modules: to add one doesn't compile that anew, and it needn't wait for them. What a part of the
// packages has is below them instead, where there is one.
func (b Builder) Deps(req DepsRequest) llb.State {
	files, flags := req.Slice.ModFiles(), req.Flags
	if req.Slice.Profile != "" {
		files, flags = append(files, req.Slice.Profile), append(slices.Clone(flags), "-pgo="+path.Join(Src, req.Slice.Profile))
	}
	modFiles := b.Slice(req.Source, goslice.Slice{Files: files}, "[internal] take go.mod and go.sum")
	already := b.std(req)
	if req.Part != nil {
		already = *req.Part
	}
	return b.compile(already, req, []string{"--imports", importsFile, "--dir", path.Join(Src, req.Dir)}, flags,
		llb.AddMount(Src, modFiles, llb.Readonly), b.imports(req.Slice.Imports))
}

// std returns what a slice imports of the standard library and what that imports, compiled, outside of any module. It is
// empty where the module has a say in how these are compiled, by a profile or as GOFIPS140, and where there are no modules.
func (b Builder) std(req DepsRequest) llb.State {
	empty := llb.Scratch().Platform(b.Platform)
	elsewhere := func(importPath string) bool { return !gomod.IsStandard(importPath) }
	list := slices.DeleteFunc(slices.Clone(req.Slice.Imports), elsewhere)
	fips := slices.ContainsFunc(req.Env, func(kv string) bool { return strings.HasPrefix(kv, "GOFIPS140=") })
	if req.StdLabel == "" || len(list) == 0 || req.Modules == nil || req.Slice.Profile != "" || fips {
		return empty
	}
	req.Label, req.Modules, req.Work = req.StdLabel, nil, ""
	// BuildKit's keys leave out which cache mount a step has. Without it in the environment this step would be shared by
	// modules whose caches are kept apart: the others have go.mod in their keys.
	req.Env = append(slices.Clone(req.Env), "LARDER_CACHE="+req.Cache)
	return b.compile(empty, req, []string{"--imports", importsFile, "--dir", "/"}, req.Flags, b.imports(list))
}

// importsFile is where imports mounts a list of import paths.
const importsFile = inDir + "/imports"

func (b Builder) imports(list []string) llb.RunOption {
	text := strings.Join(list, "\n") + "\n"
	return llb.AddMount(inDir, b.file("/imports", "[deps] list what is imported", []byte(text)), llb.Readonly)
}

// compile runs the step deps, with flags beside those that the request stands for, and arguments of the go command. What
// it compiles comes above what is compiled already.
func (b Builder) compile(already llb.State, req DepsRequest, flags, goArgs []string, mounts ...llb.RunOption) llb.State {
	args := slices.Concat([]string{"in-build", "deps"}, flags, []string{"--out", outDir, "--"}, goArgs)
	opts := append(mounts,
		llb.AddMount(GoCache, llb.Scratch(), llb.AsPersistentCacheDir(req.Cache, llb.CacheMountShared)),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
		seeded(req.Seeded))
	if req.Modules != nil {
		opts = append(opts, b.made(ModCache, *req.Modules))
	}
	opts = append(opts, goEnvironment(req.Target, append([]string{"GOWORK=" + workFile(req.Work)}, req.Env...)))
	return b.runOnto(already, req.Toolchain, req.Label, args, opts...)
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
