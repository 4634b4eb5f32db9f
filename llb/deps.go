package llb

import (
	"path"
	"slices"
	"strings"

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
	Target    Platform   // that they are compiled for
	Label     string
}

// Deps returns packages of other modules and of the standard library, those that a slice imports and what these import,
// compiled, as GOCACHE is laid out. Their sources are not in its key, nor are those of the module: the list of imports is.
func (b Builder) Deps(req DepsRequest) llb.State {
	files, flags := req.Slice.ModFiles(), req.Flags
	if req.Slice.Profile != "" {
		files, flags = append(files, req.Slice.Profile), append(slices.Clone(flags), "-pgo="+path.Join(Src, req.Slice.Profile))
	}
	modFiles := b.Slice(req.Source, goslice.Slice{Files: files}, "[internal] take go.mod and go.sum")
	list := b.file("/imports", "[deps] list what is imported", []byte(strings.Join(req.Slice.Imports, "\n")+"\n"))
	return b.compile(req, []string{"--imports", inDir + "/imports"}, flags,
		llb.AddMount(Src, modFiles, llb.Readonly),
		llb.AddMount(inDir, list, llb.Readonly))
}

// compile runs the step deps, with flags beside those that the request stands for, and arguments of the go command.
func (b Builder) compile(req DepsRequest, flags, goArgs []string, mounts ...llb.RunOption) llb.State {
	args := slices.Concat([]string{"in-build", "deps"}, flags, []string{"--dir", path.Join(Src, req.Dir), "--out", outDir, "--"}, goArgs)
	opts := append(mounts,
		llb.AddMount(GoCache, llb.Scratch(), llb.AsPersistentCacheDir(req.Cache, llb.CacheMountShared)),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
		seeded(req.Seeded))
	if req.Modules != nil {
		opts = append(opts, llb.AddMount(ModCache, *req.Modules, llb.Readonly))
	}
	opts = append(opts, goEnvironment(req.Target, append([]string{"GOWORK=" + workFile(req.Work)}, req.Env...)))
	return b.run(req.Toolchain, req.Label, args, opts...)
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
