package llb

import (
	"path"

	"github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Platform is a target platform, normalized.
type Platform = ocispecs.Platform

// A BinaryRequest says what to compile.
type BinaryRequest struct {
	Name      string     // of the binary, in /usr/local/bin
	Package   string     // as the go command takes it: . or ./cmd/api
	Toolchain llb.State  // from Builder.Toolchain
	Version   string     // of the toolchain: part of the compile cache's name
	Source    llb.State  // the build context
	Dir       string     // the module's folder in Source
	Modules   *Modules   // from Builder.Modules; nil where the build needs none
	Deps      *llb.State // from Builder.Deps; nil for none
	Compiled  *llb.State // from Builder.Compile; nil for none
	Commit    string     // what is stamped, as the step go's git reads it; "" for nothing
	Main      string     // the main module's path: part of the compile cache's name
	Vendored  bool       // take packages from vendor/
	Work      string     // the go.work that counts, in Source, or ""
	Flags     []string   // of go build
	Env       []string   // more settings of the go command, as NAME=VALUE
	Target    Platform
	Label     string
}

// Binary returns a tree with one static binary, at BinaryPath, every time stamp of which is the same fixed one. The
// sources and the module cache are read-only there, and there is no network.
func (b Builder) Binary(req BinaryRequest) llb.State {
	args := []string{"in-build", "go", "--stamp", outDir, "--deps", depsDir}
	if req.Compiled != nil {
		args = append(args, "--deps", compiledDir)
	}
	if req.Commit != "" {
		args = append(args, "--git", gitDir)
	}
	var modules runOptions
	if req.Modules != nil {
		flags, mounts := b.mountModules(*req.Modules)
		args, modules = append(args, flags...), runOptions{mounts}
	}
	args = append(append(args, "--", "build"), req.Flags...)
	if req.Vendored {
		args = append(args, "-mod=vendor")
	}
	args = append(args, "-o", outDir+BinaryPath(req.Name, req.Target), req.Package)

	opts := []llb.RunOption{
		modules,
		llb.Dir(path.Join(Src, req.Dir)),
		llb.AddMount(Src, req.Source, llb.Readonly),
		llb.AddMount(GoCache, llb.Scratch(), llb.AsPersistentCacheDir(b.CompileCache(req.Main, req.Version), llb.CacheMountShared)),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
	}
	if req.Deps != nil {
		opts = append(opts, b.made(depsDir, *req.Deps))
	}
	if req.Compiled != nil {
		opts = append(opts, b.made(compiledDir, *req.Compiled))
	}
	if req.Commit != "" {
		opts = append(opts, llb.AddMount(path.Join(gitDir, "git"), b.Helper, llb.Readonly, llb.SourcePath(b.HelperPath)), llb.AddEnv(commitEnv, req.Commit))
	}
	opts = append(opts, goEnvironment(req.Target, append([]string{"GOWORK=" + workFile(req.Work)}, req.Env...)))
	return b.run(req.Toolchain, req.Label, args, opts...)
}

// BinaryPath returns where a binary is in the tree that holds it: where programs are in an image for Linux, and at its
// root for another system, as it is to be found in a folder.
func BinaryPath(name string, target Platform) string {
	switch target.OS {
	case "linux":
		return "/usr/local/bin/" + name
	case "windows":
		return "/" + name + ".exe"
	}
	return "/" + name
}

// workFile returns GOWORK for a go.work in the source, or none.
func workFile(work string) string {
	if work == "" {
		return "off"
	}
	return path.Join(Src, work)
}
