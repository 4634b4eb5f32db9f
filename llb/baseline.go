package larder

import (
	"path"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// A Baseline says what to compile in the place of what a slice imports, so that a build can have the very layer that
// another one made.
type Baseline struct {
	Needs gomod.Needs
	List  llb.State // from Builder.Baseline
}

// BaselineFile is the file that Baseline makes.
const BaselineFile = "needs"

// Baseline returns a file, BaselineFile, of what the first build with a key needed, where its cache is at hand, or else of
// what this one needs. What this one needs is not in the key of the step: BuildKit leaves proxy settings out of that, and so
// they are what tells the step.
func (b Builder) Baseline(key string, needs gomod.Needs) llb.State {
	return b.step("[deps] list what is compiled first", &step.Baseline{Key: key, Out: path.Join(step.Out, BaselineFile)},
		llb.WithProxy(llb.ProxyEnv{FTPProxy: needs.Text()}))
}

// needs returns a tree of the module files of needs.
func (b Builder) needs(n gomod.Needs, dir string) llb.State {
	dir = path.Join("/", dir)
	st := llb.Scratch().Platform(b.Platform)
	if dir != "/" {
		st = st.File(llb.Mkdir(dir, 0o755, llb.WithParents(true)))
	}
	return st.File(llb.Mkfile(path.Join(dir, "go.mod"), 0o644, n.GoMod).Mkfile(path.Join(dir, "go.sum"), 0o644, n.Set.Text()),
		llb.WithCustomName("[internal] write go.mod and go.sum"))
}
