package llb

import (
	"path"
	"strconv"
	"time"

	"github.com/moby/buildkit/client/llb"
)

// Seeded is the folder in the state of Builder.Seed.
const Seeded = "/seeded"

// Seed warms a compile cache with one that another builder exported, if there is any, and returns a state that a step
// has to mount to come after it. The state is the same with a seed and without, so no key depends on one.
func (b Builder) Seed(cache string, seed *llb.State) llb.State {
	if seed == nil {
		return llb.Scratch().Platform(b.Platform).File(llb.Mkdir(Seeded, 0o755, llb.WithCreatedTime(time.Unix(0, 0))),
			llb.WithCustomName("[seed] none"))
	}
	return b.step("[seed] warm the compile cache", []string{"seed", "--from", inDir, "--upper", GoCache, "--out", outDir},
		llb.AddMount(inDir, *seed, llb.Readonly),
		llb.AddMount(GoCache, llb.Scratch(), llb.AsPersistentCacheDir(cache, llb.CacheMountShared)))
}

// ExportCache returns what compile caches hold, as one folder for Builder.Seed. It is made anew for each value of unique:
// BuildKit removes the cache mounts of a step that is told to ignore the cache.
func (b Builder) ExportCache(caches []string, unique string) llb.State {
	args := []string{"export-cache", "--out", outDir}
	opts := []llb.RunOption{llb.AddEnv("LARDER_BUILD", unique)}
	for i, cache := range caches {
		dir := path.Join(inDir, strconv.Itoa(i))
		args = append(args, "--from", dir)
		opts = append(opts, llb.AddMount(dir, llb.Scratch(), llb.AsPersistentCacheDir(cache, llb.CacheMountShared)))
	}
	return b.step("[seed] export the compile cache", args, opts...)
}

// seeded mounts what Seed returned.
func seeded(st *llb.State) llb.RunOption {
	if st == nil {
		return runOptions{}
	}
	return llb.AddMount("/seeded", *st, llb.Readonly, llb.SourcePath(Seeded))
}
