package planner

import (
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/expand"
	"github.com/larder-build/larder/internal/golang/gowords"
	"github.com/larder-build/larder/internal/step"
)

// A lineCache says who else writes the compile cache of a GO line. Code of the tree that runs may write anything there,
// and every line that reads the cache links it.
type lineCache int

const (
	// runsCache is for lines that run code of the tree: tests, generators, tools. No line that only compiles reads it.
	runsCache lineCache = iota
	// ownCache is for lines that only compile, with a toolchain of Larder's that is mounted anew, and nothing of the stage.
	ownCache
	// imageCache is for lines that only compile, with what the stage's image and its RUN lines have brought.
	imageCache
)

// DefaultMark is the mark before the names of caches in a plan that isn't built: see Request.Mark.
const DefaultMark = "larder-caches"

// lineCache chooses the compile cache of a GO line.
func (w *planner) lineCache(s *scope, g *dockerfile.GoLine) lineCache {
	compiles := gowords.OnlyCompiles(append([]string{g.Words[0]}, w.expandKnown(s, g.Words[1:])...)) == "" &&
		gowords.FlagsOnlyCompile(s.env["GOFLAGS"]) == "" && gowords.FlagsOnlyCompile(w.BuildArgs["GOFLAGS"]) == ""
	switch {
	case !compiles || len(g.Mounts) > 0:
		return runsCache
	case s.virtual == baseGo && !s.goRoot && !w.withCgo(s, g):
		return ownCache
	case !s.ran && s.known:
		return imageCache
	}
	return runsCache
}

// kind returns the value of the step's flag --compile.
func (c lineCache) kind() string {
	switch c {
	case ownCache:
		return "own"
	case imageCache:
		return "image"
	}
	return ""
}

// mount returns the mount of a compile cache. If only compiling lines may have the cache, its name starts with the
// mark, which no other line can have.
func (c lineCache) mount(mark, module string, s *scope) string {
	switch c {
	case ownCache:
		return cacheMount(s, step.LineCache, mark+"/compile/"+module+"/"+s.toolchain)
	case imageCache:
		return cacheMount(s, step.LineCache, mark+"/image/"+module+"/"+s.base)
	}
	return cacheMount(s, step.LineCache, cacheName("larder-go", module, s))
}

// noteTools notes that a RUN may have changed the stage's toolchain, and whether it may have run code of the tree.
func (s *scope) noteTools(r *runLine) {
	s.goRoot = true
	binds := slices.ContainsFunc(r.mounts, func(m dockerfile.Mount) bool { return m.Kind == dockerfile.KindBind })
	s.ran = s.ran || s.adds || binds
}

// noteGoRoot notes that an instruction may have replaced the toolchain.
func (s *scope) noteGoRoot(lex *expand.Lex, dest string) {
	dest = s.expand(lex, dest)
	_, inside := below(step.GoRoot, s.abs(dest))
	_, above := below(s.abs(dest), step.GoRoot)
	s.goRoot = s.goRoot || inside || above || strings.Contains(dest, "$")
}

// ToolchainRoot returns the name of the context that holds a toolchain, for lines that don't use the stage's own.
func ToolchainRoot(version string) string { return ContextPrefix + "toolchain-" + version }

// toolchainMount returns the mount that puts a toolchain over the stage's own.
func toolchainMount(version string) string {
	return "--mount=type=bind,from=" + ToolchainRoot(version) + ",source=" + step.GoRoot + ",target=" + step.GoRoot
}

func (r Request) mark() string {
	if r.Mark == "" {
		return DefaultMark
	}
	return r.Mark
}
