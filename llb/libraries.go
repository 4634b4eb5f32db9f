package larder

import (
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// CheckLibraries returns an empty state, the making of which fails if programs that Go made lack their loader or a shared
// library. image is the root file system that they run in, and paths are files or folders of it.
func (b Builder) CheckLibraries(image llb.State, paths []string, name string, opts ...llb.RunOption) llb.State {
	return b.step(name, &step.CheckLibs{Root: step.In, Paths: paths}, append(opts, llb.AddMount(step.In, image, llb.Readonly))...)
}
