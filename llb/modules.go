package larder

import (
	"fmt"
	"path"
	"slices"
	"strconv"

	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/client/llb"
)

// A ModuleSource says where the zips of a module set come from.
type ModuleSource struct {
	Folders []llb.State // GOPROXY folders: those that GOPROXY names as ProxyFolder(i), or the only source if GOPROXY is empty
	GOPROXY string      // the list to fetch from; empty if the first folder is all there is
	Network bool        // more than folders is asked
	Label   string      // what the source is called in the progress display

	// Settings of the go command for what comes from version control.
	GOPRIVATE, GONOPROXY, GOINSECURE, GOVCS string
}

// ProxyFolder returns the file URL of folder i of the source, as a fetch step sees it.
func ProxyFolder(i int) string { return "file://" + path.Join(step.In, strconv.Itoa(i)) }

// Modules are the modules of a set, in parts. Each part is fetched, checked and unpacked by its own step.
type Modules struct {
	parts []llb.State // each laid out as GOMODCACHE is
}

// Merged returns one module cache of all parts. It is for steps that aren't Larder's own, since a merge takes as long
// as to unpack the modules.
func (m Modules) Merged() llb.State {
	return llb.Merge(m.parts, llb.WithCustomName("[modules] merge"))
}

// mountModules mounts modules at step.ModCache, if there are any. A single part is mounted directly. For several, it
// returns the parts, and the step makes a folder of links to them.
func (b Builder) mountModules(m *Modules) (parts step.Folders, opt llb.RunOption) {
	if m == nil {
		return parts, runOptions{}
	}
	if len(m.parts) == 1 {
		return parts, b.made(step.ModCache, m.parts[0])
	}
	opts := runOptions{llb.AddMount(step.ModCache, llb.Scratch(), llb.Tmpfs())}
	parts = step.Folders{Prefix: step.Parts, Count: len(m.parts)}
	for i, name := range parts.Names() {
		opts = append(opts, b.made(name, m.parts[i]))
	}
	return parts, opts
}

// Modules returns the unpacked modules of a set, laid out as GOMODCACHE without zips, which is what a read-only build
// needs. There is a part for each shard of the set if the builder can merge, and else one. The function source returns
// where a part of the set comes from.
func (b Builder) Modules(set gomod.Set, source func(gomod.Set) (ModuleSource, error)) (Modules, error) {
	shards := []gomod.Set{set}
	if b.Merge {
		shards = set.Shards()
	}
	var modules Modules
	for i, shard := range shards {
		from, err := source(shard)
		if err != nil {
			return Modules{}, err
		}
		part := ""
		if len(shards) > 1 {
			part = fmt.Sprintf(" %d/%d", i+1, len(shards))
		}
		modules.parts = append(modules.parts, b.moduleLayer(shard, from, part, nil))
	}
	return modules, nil
}

// CompiledModules returns the modules of a set for a build that has compiled packages of them, from Deps. All is checked,
// and only the files are unpacked that those packages were compiled of: the go command reads no others. They are one part,
// since writing them is little work.
func (b Builder) CompiledModules(set gomod.Set, source func(gomod.Set) (ModuleSource, error), deps llb.State) (Modules, error) {
	from, err := source(set)
	if err != nil {
		return Modules{}, err
	}
	return Modules{[]llb.State{b.moduleLayer(set, from, "", &deps)}}, nil
}

// moduleLayer returns a module cache of one layer. One step makes it, and checks every file against the set while it
// unpacks it. The step has a network only if something is fetched. It gets the set in canonical form, so that go.sum's
// order and unrelated files don't change the key. With deps, it unpacks what these are compiled of.
func (b Builder) moduleLayer(set gomod.Set, from ModuleSource, part string, deps *llb.State) llb.State {
	what := fmt.Sprintf("unpack %d modules", len(set.Zips()))
	if len(set.Zips()) == 0 {
		what = fmt.Sprintf("check %d go.mod files", len(set.GoMods()))
	}
	s := &step.Modules{Sums: "/sums/go.sum", Out: step.Out}
	opts := []llb.RunOption{llb.AddMount("/sums", b.file("/go.sum", "[modules"+part+"] list "+set.Key()[:12], set.Text()), llb.Readonly)}
	if deps != nil {
		what, s.Only = fmt.Sprintf("unpack what is compiled of %d modules", len(set.Zips())), step.Sources
		opts = append(opts, llb.AddMount(step.Sources, *deps, llb.Readonly, llb.SourcePath(step.Sources)))
	}
	if from.GOPROXY == "" {
		opts = append(opts, llb.AddMount(step.In, from.Folders[0], llb.Readonly))
		s.From = []string{step.In}
		return b.step("[modules"+part+"] check and "+what, s, opts...)
	}
	opts = append(opts, goSettings("GOPROXY", from.GOPROXY,
		"GOPRIVATE", from.GOPRIVATE, "GONOPROXY", from.GONOPROXY, "GOINSECURE", from.GOINSECURE, "GOVCS", from.GOVCS))
	for i, f := range from.Folders {
		opts = append(opts, llb.AddMount(path.Join(step.In, strconv.Itoa(i)), f, llb.Readonly))
	}
	run := b.step
	if from.Network {
		run, s.Kept = b.fetch, step.Kept
		opts = append(opts, secrets(proxySecrets), secrets(gitSecrets), llb.AddSSHSocket(llb.SSHID("default"), llb.SSHOptional),
			llb.AddMount(step.Kept, llb.Scratch(), llb.AsPersistentCacheDir(b.cacheID("zips"), llb.CacheMountShared)))
	}
	return run("[modules"+part+"] fetch and "+what+" from "+from.Label, s, opts...)
}

// ModuleFiles returns the paths of all files that a set needs, sorted. Each file has two: in a GOPROXY folder, and in a
// module cache.
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

// ProxyRoot is the file URL of a step's only folder, as the step sees it.
const ProxyRoot = "file://" + step.In

// WithFIPS adds a frozen version of Go's cryptography to a module cache. It takes it from a toolchain. See GOFIPS140 in
// https://go.dev/doc/security/fips140. The go command itself checks and unpacks it.
func (b Builder) WithFIPS(modules Modules, toolchain llb.State, version string) Modules {
	frozen := b.run(toolchain, "[go] unpack GOFIPS140="+version, &step.GoCommand{Stamp: step.Out, Args: []string{"list", "crypto/internal/fips140"}},
		llb.Dir("/tmp"), goEnvironment(b.Platform, []string{"GOMODCACHE=" + step.Out, "GOCACHE=/tmp", "GOFLAGS=-modcacherw", "GOFIPS140=" + version}))
	// Without its .ziphash the go command takes the tree for one that was not unpacked to its end.
	files := []string{"golang.org", "cache/download/golang.org/fips140/@v/*.ziphash"}
	return Modules{[]llb.State{take(modules.Merged(), frozen, files, "[modules] add GOFIPS140="+version)}}
}
