package larder

import (
	"path"

	"github.com/moby/buildkit/client/llb"
)

// A Part is a tree, and its folder in a larger tree.
type Part struct {
	Dir  string
	Tree llb.State
}

// Wide returns a tree that is put together from others: the build context, and folders beside it.
func (b Builder) Wide(parts []Part) llb.State {
	st := llb.Scratch().Platform(b.Platform)
	for _, p := range parts {
		st = st.File(llb.Copy(p.Tree, "/", path.Join("/", p.Dir), &llb.CopyInfo{CopyDirContentsOnly: true, CreateDestPath: true}),
			llb.WithCustomName("[internal] put "+p.Dir+" beside the build context"))
	}
	return st
}
