package llb

import (
	"path"

	"github.com/larder-build/larder/internal/goslice"
	"github.com/moby/buildkit/client/llb"
)

// Slice returns the part of a tree that a slice names. A file is copied by its name, so that BuildKit keys the copy by
// its content alone: an edit of any other file of the tree changes nothing that comes after. The tree may be large, and so
// may the slice: one pattern for each file would be matched against each.
func (b Builder) Slice(tree llb.State, s goslice.Slice, label string) llb.State {
	var action *llb.FileAction
	add := func(src, dest string, info *llb.CopyInfo) {
		if action == nil {
			action = llb.Copy(tree, src, dest, info)
		} else {
			action = action.Copy(tree, src, dest, info)
		}
	}
	for _, file := range s.Files {
		name := path.Join("/", file)
		add(name, name, &llb.CopyInfo{CreateDestPath: true})
	}
	if len(s.Globs) > 0 {
		add("/", "/", &llb.CopyInfo{IncludePatterns: s.Globs, CopyDirContentsOnly: true})
	}
	if action == nil {
		return llb.Scratch().Platform(b.Platform)
	}
	return llb.Scratch().Platform(b.Platform).File(action, llb.WithCustomName(label))
}
