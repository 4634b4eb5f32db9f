package llb

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/larder-build/larder/internal/gomod"
	"github.com/moby/buildkit/client/llb"
)

// A ModuleSource is where the zips of a module set come from.
type ModuleSource struct {
	Folders []llb.State // GOPROXY folders: those that GOPROXY names as ProxyFolder(i), or the only source if GOPROXY is empty
	GOPROXY string      // the list to fetch from; empty if the first folder is all there is
	Network bool        // more than folders is asked
	Label   string      // what the source is called in the progress display

	// Settings of the go command for what comes from version control.
	GOPRIVATE, GONOPROXY, GOINSECURE, GOVCS string
}

// ProxyFolder returns the file URL at which a fetch step sees folder i of its source.
func ProxyFolder(i int) string { return "file://" + path.Join(inDir, strconv.Itoa(i)) }

// Modules returns a module cache, as GOMODCACHE is laid out, that holds a set and no zips: what a read-only build needs.
// It is merged of a layer for each shard of the set, where the builder can merge, and each of these is fetched, checked
// and unpacked by itself. source says where a part of
// the set comes from.
func (b Builder) Modules(set gomod.Set, source func(gomod.Set) (ModuleSource, error)) (llb.State, error) {
	shards := []gomod.Set{set}
	if b.Merge {
		shards = set.Shards()
	}
	var layers []llb.State
	for i, shard := range shards {
		from, err := source(shard)
		if err != nil {
			return llb.State{}, err
		}
		part := ""
		if len(shards) > 1 {
			part = fmt.Sprintf(" %d/%d", i+1, len(shards))
		}
		layers = append(layers, b.moduleLayer(shard, from, part))
	}
	return llb.Merge(layers, llb.WithCustomName("[modules] merge")), nil
}

// moduleLayer returns a module cache of one layer, made by one step, which checks every file against the set while it unpacks
// it. The step has a network only if something is fetched. The set is given in canonical form, so that go.sum's order and
// unrelated files don't change the key.
func (b Builder) moduleLayer(set gomod.Set, from ModuleSource, part string) llb.State {
	what := fmt.Sprintf("unpack %d modules", len(set.Zips()))
	if len(set.Zips()) == 0 {
		what = fmt.Sprintf("check %d go.mod files", len(set.GoMods()))
	}
	args := []string{"modules", "--sums", "/sums/go.sum", "--out", outDir}
	opts := []llb.RunOption{llb.AddMount("/sums", b.file("/go.sum", "[modules"+part+"] list "+set.Key()[:12], set.Text()), llb.Readonly)}
	if from.GOPROXY == "" {
		opts = append(opts, llb.AddMount(inDir, from.Folders[0], llb.Readonly))
		return b.step("[modules"+part+"] check and "+what, append(args, "--from", inDir), opts...)
	}
	opts = append(opts, goSettings("GOPROXY", from.GOPROXY,
		"GOPRIVATE", from.GOPRIVATE, "GONOPROXY", from.GONOPROXY, "GOINSECURE", from.GOINSECURE, "GOVCS", from.GOVCS))
	for i, f := range from.Folders {
		opts = append(opts, llb.AddMount(path.Join(inDir, strconv.Itoa(i)), f, llb.Readonly))
	}
	if from.Network {
		args = append(args, "--kept", keptDir)
		opts = append(opts, b.network(), secrets(proxySecrets), secrets(gitSecrets), llb.AddSSHSocket(llb.SSHID("default"), llb.SSHOptional),
			llb.AddMount(keptDir, llb.Scratch(), llb.AsPersistentCacheDir(b.cacheID("zips"), llb.CacheMountShared)))
	}
	return b.step("[modules"+part+"] fetch and "+what+" from "+from.Label, args, opts...)
}

// ModuleFiles returns the paths, in a GOPROXY folder or a module cache, of all files that a set needs, sorted.
func ModuleFiles(set gomod.Set) ([]string, error) {
	var files []string
	for ext, sums := range map[string][]gomod.Sum{".zip": set.Zips(), ".mod": set.GoMods()} {
		for _, s := range sums {
			file, err := s.File(ext)
			if err != nil {
				return nil, err
			}
			files = append(files, file, path.Join("cache/download", file))
		}
	}
	slices.Sort(files)
	return files, nil
}

// ProxyRoot is the file URL at which a step sees the one folder that it is given.
const ProxyRoot = "file://" + inDir

// WithFIPS adds a frozen version of Go's cryptography, out of a toolchain, to a module cache: see GOFIPS140 in
// https://go.dev/doc/security/fips140. The go command itself checks and unpacks it.
func (b Builder) WithFIPS(modules, toolchain llb.State, version string) llb.State {
	frozen := b.run(toolchain, "[go] unpack GOFIPS140="+version, []string{"in-build", "go", "--stamp", outDir, "--", "list", "crypto/internal/fips140"},
		llb.Dir("/tmp"), goEnvironment(b.Platform, []string{"GOMODCACHE=" + outDir, "GOCACHE=/tmp", "GOFLAGS=-modcacherw", "GOFIPS140=" + version}))
	// Without its .ziphash the go command takes the tree for one that was not unpacked to its end.
	return take(modules, frozen, []string{"golang.org", "cache/download/golang.org/fips140/@v/*.ziphash"}, "[modules] add GOFIPS140="+version)
}
