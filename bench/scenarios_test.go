//go:build bench

package bench

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// runs is how often a scenario on a warm desk is measured, after once that doesn't count, and slowRuns that of a tree that
// takes long. One on a fresh builder, which nothing can warm up, is measured once.
const (
	runs     = 5
	slowRuns = 3
)

// A scenario is what changed before a build, and where it runs.
type scenario struct {
	name    string
	goal    float64  // the ratio to reach
	against []string // the peers, the best of which the ratio is to
	also    []string // more that is measured
	fresh   bool     // on a BuildKit of its own
	cached  bool     // with the registry's cache of the last build
	change  func()
	args    func(p peer) []string // more arguments of a build
	first   func(p peer) []string // arguments of a build before, on the same fresh builder, that isn't measured
	build   func(p peer)          // by default, the peer's own way
}

// cacheTo, and a reference, is where a build exports its cache.
const cacheTo = "type=registry,mode=max,compression=zstd,ref="

// cacheFrom, and a reference, is where it imports one from.
const cacheFrom = "type=registry,ref="

// measure runs all scenarios of an input, each by all peers in turns.
func (w *world) measure(in input, rep *report) {
	dir := w.t.TempDir()
	in.make(w.t, dir)
	w.write(dir, ".ko.yaml", "defaultLdflags: [-s, -w]\n")
	rep.add(in.name, w.run1(in, dir, scenario{name: "cold, modules from a proxy on loopback", goal: 1.05, fresh: true, against: []string{mounts, layers, koBuild}, also: []string{floor}})...)
	for _, s := range w.warm(in, dir) {
		rep.add(in.name, w.run1(in, dir, s)...)
	}
	exporting := []string{gateway, mounts}
	if !in.slow {
		exporting = append(exporting, layers, image)
	}
	for _, p := range w.peersOf(exporting) { // the caches that fresh runners take; one imports what one exports, as in CI
		p.build(w, in, dir, w.desk, []string{"--import-cache", cacheFrom + w.cacheRef(p, in), "--export-cache", cacheTo + w.cacheRef(p, in)})
	}
	for _, s := range w.runner(in, dir) {
		rep.add(in.name, w.run1(in, dir, s)...)
	}
	rep.weigh(in.name, w.pushed(in, dir))
	if in.bake {
		w.buildx("create", "--name", "bench", "--driver", "remote", w.desk)
		rep.add(in.name, w.run1(in, dir, scenario{name: bakeName, goal: 0.3, against: []string{mounts}, also: []string{larderBake}, change: w.editing(dir, in.main),
			build: func(p peer) { w.bake(p.name, in, dir) }})...)
		rep.add(in.name, w.run1(in, dir, scenario{name: "8 services by bake, nothing changed", goal: 0.5, against: []string{mounts}, also: []string{larderBake},
			build: func(p peer) { w.bake(p.name, in, dir) }})...)
	}
}

// platforms measures builds for two platforms, and the second one where the first was built.
func (w *world) platforms(in input, rep *report) {
	dir := w.t.TempDir()
	in.make(w.t, dir)
	in.name += ", two platforms"
	const both = "linux/amd64,linux/arm64"
	ko, docker := []string{koBuild}, []string{mounts}
	rep.add(in.name, w.run1(in, dir, scenario{name: "cold", goal: 1, fresh: true, against: ko, also: docker, args: onPlatforms(both)})...)
	rep.add(in.name, w.run1(in, dir, scenario{name: "linux/arm64 added to linux/amd64", goal: 1, fresh: true, against: ko, also: docker, first: onPlatforms("linux/amd64"), args: onPlatforms(both)})...)
	rep.add(in.name, w.run1(in, dir, scenario{name: "one line of main edited", goal: 1, change: w.editing(dir, in.main), against: ko, also: docker, args: onPlatforms(both)})...)
}

func (w *world) editing(dir, name string) func() { return func() { w.touch(filepath.Join(dir, name)) } }

// onPlatforms returns the arguments by which a peer builds for platforms.
func onPlatforms(list string) func(p peer) []string {
	return func(p peer) []string {
		if p.name == koBuild {
			return []string{"--platform", list}
		}
		return []string{"--opt", "platform=" + list}
	}
}

// warm returns the scenarios of a desk where the same was built before.
func (w *world) warm(in input, dir string) []scenario {
	docker, more := []string{mounts, image}, []string{inClient, koBuild, floor}
	edited := scenario{name: "one line of main edited", goal: 1, against: docker, also: more, change: w.editing(dir, in.main)}
	if in.deep != "" {
		return []scenario{edited, {name: "one line of a package that all share edited", goal: 1, against: docker, also: more, change: w.editing(dir, in.deep)}}
	}
	return []scenario{
		{name: "nothing changed", goal: 1, against: docker, also: more, change: func() {}},
		{name: "README edited", goal: 0.2, against: docker, also: more, change: w.editing(dir, "README.md")},
		edited,
		{name: "one dependency added", goal: 1.1, against: docker, also: more, change: func() { w.require(dir, in.main) }},
	}
}

// runner returns the scenarios of a builder that has nothing but a cache in a registry.
func (w *world) runner(in input, dir string) []scenario {
	all := []string{mounts, layers}
	edited := scenario{name: "fresh runner with a registry cache, one line of main edited", goal: 0.25, fresh: true, cached: true, against: all,
		change: w.editing(dir, in.main)}
	if in.slow {
		return []scenario{edited}
	}
	return []scenario{
		{name: "fresh runner with a registry cache, nothing edited", goal: 1, fresh: true, cached: true, against: all, also: []string{image}, change: func() {}},
		edited,
		{name: "fresh runner with a registry cache, one dependency added", goal: 0.4, fresh: true, cached: true, against: all,
			change: func() { w.require(dir, in.main) }},
	}
}

// run1 measures one scenario by all peers in turns.
func (w *world) run1(in input, dir string, s scenario) (out []result) {
	warmup, count := 1, runs
	if in.slow {
		count = slowRuns
	}
	if s.fresh {
		warmup, count = 0, 1
	}
	names := in.without(append(append([]string{gateway}, s.against...), s.also...))
	took := map[string][]time.Duration{}
	for i := range warmup + count {
		for _, p := range w.peersOf(names) {
			if s.change != nil {
				s.change()
			}
			if d := w.once(p, in, dir, s); i >= warmup {
				took[p.name] = append(took[p.name], d)
			}
		}
	}
	for _, name := range names {
		r := result{s.name, name, s.goal, slices.Contains(s.against, name), median(took[name]).Seconds()}
		fmt.Printf("%s | %s | %s | %.3f s\n", in.name, r.Scenario, r.Peer, r.Seconds)
		out = append(out, r)
	}
	return out
}

func (w *world) once(p peer, in input, dir string, s scenario) time.Duration {
	var args []string
	if s.cached {
		args = append(args, "--import-cache", cacheFrom+w.cacheRef(p, in))
	}
	if s.args != nil {
		args = append(args, s.args(p)...)
	}
	switch {
	case s.build != nil:
		return w.time(func() { s.build(p) })
	case s.first != nil:
		return w.fresh(p, in, dir, s.first(p), args)
	case s.fresh:
		return w.fresh(p, in, dir, nil, args)
	}
	return w.time(func() { p.build(w, in, dir, w.desk, args) })
}

func (w *world) cacheRef(p peer, in input) string {
	return w.registry + "/cache/" + in.repository() + ":" + strings.NewReplacer(" ", "-", "/", "-", ":", "-", ",", "").Replace(p.name)
}

// without returns the names of peers that an input isn't too slow for.
func (in input) without(names []string) []string {
	if in.slow {
		names = slices.DeleteFunc(names, func(n string) bool { return n == layers })
	}
	return names
}

// growth is what each size of a generated tree is built with.
var growth = []int{10, 100, 1000}

// grow measures how long builds take as modules, or packages of the tree, grow in number: once cold, then after edits.
func (w *world) grow(rep *report) {
	for _, kind := range []string{"modules", "packages"} {
		for _, n := range growth {
			in := grown(w, kind, n)
			dir := w.t.TempDir()
			in.make(w.t, dir)
			rep.add(in.name, w.run1(in, dir, scenario{name: "cold", fresh: true, against: []string{mounts}})...)
			rep.add(in.name, w.run1(in, dir, scenario{name: "one line of main edited", against: []string{mounts}, change: w.editing(dir, in.main)})...)
		}
	}
}
