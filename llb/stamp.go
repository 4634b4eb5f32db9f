package larder

import (
	"fmt"
	"path"
	"time"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// A CompileRequest says which packages of a module to compile before they are linked.
type CompileRequest struct {
	DepsRequest            // Source is all that is compiled, but what is imported from elsewhere
	Deps        *llb.State // from Builder.Deps
	Args        []string   // flags and packages of the go command
}

// Compile returns the compiled packages that Deps doesn't have, laid out as GOCACHE. A later step only links them. What
// the linker writes into the binary is in the key of that step alone.
func (b Builder) Compile(req CompileRequest) llb.State {
	s := &step.Deps{Deps: []string{step.DepsDir}, Dir: path.Join(step.Src, req.Dir), Args: append([]string{"-buildvcs=false"}, req.Args...)}
	label := fmt.Sprintf("[deps %s] compile what is linked", platforms.Format(req.Target))
	var layer *llb.State
	if req.Own != "" {
		layer = req.Deps
	}
	return b.compile(llb.Scratch().Platform(b.Platform), b.goCache(b.CompileCache(req.Main, req.Version, req.Own), layer), label, req.DepsRequest, s,
		llb.AddMount(step.Src, req.Source, llb.Readonly),
		b.made(step.DepsDir, *req.Deps))
}

// Repository returns a tree that the go command takes for the root of a git working tree. The go command only looks for
// a folder .git.
func (b Builder) Repository(tree llb.State) llb.State {
	return tree.File(llb.Mkdir("/.git", 0o755, llb.WithCreatedTime(time.Unix(0, 0))), llb.WithCustomName("[internal] mark the root of the working tree"))
}

// WithoutGit returns a tree without the .git in its root.
func (b Builder) WithoutGit(tree llb.State) llb.State {
	return llb.Scratch().Platform(b.Platform).File(llb.Copy(tree, "/", "/", &llb.CopyInfo{ExcludePatterns: []string{".git"}, CopyDirContentsOnly: true}),
		llb.WithCustomName("[internal] take the build context without .git"))
}
