package larder

import (
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// CheckLibraries returns an empty state. To make it fails if a program that Go made lacks its loader or a shared
// library. image is the root file system of the programs, and paths are files or folders in it.
func (b Builder) CheckLibraries(image llb.State, paths []string, name string, opts ...llb.RunOption) llb.State {
	return b.step(name, &step.CheckLibs{Root: step.In, Paths: paths}, append(opts, llb.AddMount(step.In, image, llb.Readonly))...)
}
