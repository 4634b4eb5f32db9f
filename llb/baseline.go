package larder

import (
	"maps"
	"path"
	"slices"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// A Baseline replaces the imports of a slice by the needs of an earlier build, so that two builds can have exactly the
// same layer.
type Baseline struct {
	Needs gomod.Needs
	List  llb.State // from Builder.Baseline
}

// BaselineFile is the name of the file that Builder.Baseline makes.
const BaselineFile = "needs"

// Baseline returns a state with one file, BaselineFile. It lists the needs of the first build with the key if the cache
// has that, and else this build's needs. This build's needs must not be in the step's key. So the step gets them as a
// proxy setting, which BuildKit leaves out of the key.
func (b Builder) Baseline(key string, needs gomod.Needs) llb.State {
	return b.step("[deps] list what is compiled first", &step.Baseline{Key: key, Out: path.Join(step.Out, BaselineFile)},
		llb.WithProxy(llb.ProxyEnv{FTPProxy: needs.Text()}))
}

// needs returns a tree with the go.mod and go.sum of some needs.
func (b Builder) needs(n gomod.Needs, dir string) llb.State {
	return b.Written(map[string]string{path.Join(dir, "go.mod"): string(n.GoMod), path.Join(dir, "go.sum"): string(n.Set.Text())})
}

// Written returns a tree of files, which are given by their paths.
func (b Builder) Written(files map[string]string) llb.State {
	st := llb.Scratch().Platform(b.Platform)
	var write *llb.FileAction
	made := map[string]bool{"/": true}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		name, text := path.Join("/", name), []byte(files[name])
		if dir := path.Dir(name); !made[dir] {
			made[dir] = true
			st = st.File(llb.Mkdir(dir, 0o755, llb.WithParents(true)))
		}
		if write == nil {
			write = llb.Mkfile(name, 0o644, text)
		} else {
			write = write.Mkfile(name, 0o644, text)
		}
	}
	if write == nil {
		return st
	}
	return st.File(write, llb.WithCustomName("[internal] write go.mod and go.sum"))
}
