package larder

import (
	"path"

	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Platform is a target platform in normalized form.
type Platform = ocispecs.Platform

// A BinaryRequest says which main package to compile, and how.
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
	Own       string     // names a compile cache which begins with Deps; "" for that which all builds of the module share
	Vendored  bool       // take packages from vendor/
	Work      string     // the go.work that counts, in Source, or ""
	Flags     []string   // of go build
	Env       []string   // more settings of the go command, as NAME=VALUE
	Target    Platform
	Label     string
}

// Binary returns a tree with one static binary, at BinaryPath. All its time stamps have the same fixed value. The step
// that compiles it sees the sources and the module cache read-only, and has no network.
func (b Builder) Binary(req BinaryRequest) llb.State {
	parts, modules := b.mountModules(req.Modules)
	s := &step.GoCommand{Stamp: step.Out, Deps: []string{step.DepsDir}, Modules: parts, Args: append([]string{"build"}, req.Flags...)}
	if req.Vendored {
		s.Args = append(s.Args, "-mod=vendor")
	}
	s.Args = append(s.Args, "-o", step.Out+BinaryPath(req.Name, req.Target), req.Package)
	opts := []llb.RunOption{
		modules,
		llb.Dir(path.Join(step.Src, req.Dir)),
		llb.AddMount(step.Src, req.Source, llb.Readonly),
		llb.AddMount("/tmp", llb.Scratch(), llb.Tmpfs()),
	}
	var layer *llb.State
	if req.Own != "" {
		layer = req.Deps
	} else if req.Deps != nil {
		opts = append(opts, b.made(step.DepsDir, *req.Deps))
	}
	opts = append(opts, b.goCache(b.CompileCache(req.Main, req.Version, req.Own), layer))
	if req.Compiled != nil {
		s.Deps = append(s.Deps, step.Compiled)
		opts = append(opts, b.made(step.Compiled, *req.Compiled))
	}
	if req.Commit != "" {
		s.Git = step.GitDir
		opts = append(opts, llb.AddMount(path.Join(step.GitDir, "git"), b.Helper, llb.Readonly, llb.SourcePath(b.HelperPath)), llb.AddEnv(step.CommitEnv, req.Commit))
	}
	opts = append(opts, goEnvironment(req.Target, append([]string{"GOWORK=" + workFile(req.Work)}, req.Env...)))
	return b.run(req.Toolchain, req.Label, s, opts...)
}

// BinaryPath returns the path of a binary in its tree. For Linux it is where an image has its programs. For another
// system it is the root of the tree, since users export that into a folder.
func BinaryPath(name string, target Platform) string {
	switch target.OS {
	case "linux":
		return "/usr/local/bin/" + name
	case "windows":
		return "/" + name + ".exe"
	}
	return "/" + name
}

// workFile returns the value of GOWORK for a go.work in the source. It is off for none.
func workFile(work string) string {
	if work == "" {
		return "off"
	}
	return path.Join(step.Src, work)
}
