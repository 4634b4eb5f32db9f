package changes

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/patternmatcher"
	"golang.org/x/mod/semver"
)

// A Build is what decides which steps a build runs: its Dockerfile, and what Larder planned for that. It is small, and can be
// kept as JSON.
type Build struct {
	Filename   string            `json:"filename"`
	Dockerfile string            `json:"dockerfile"` // its text
	Target     string            `json:"target,omitempty"`
	Stages     []int             `json:"stages,omitempty"`     // indexes of those that the target is made of
	Platforms  []string          `json:"platforms,omitempty"`  // target platforms
	Toolchains []string          `json:"toolchains,omitempty"` // such as go1.26.8
	Modules    map[string]string `json:"modules,omitempty"`    // versions of the modules that may be compiled; several have ", " between
	Program    string            `json:"program,omitempty"`    // the main package that a build without instructions compiles
	Settings   string            `json:"settings,omitempty"`   // of that
	Slices     []Slice           `json:"slices,omitempty"`
	Given      []int             `json:"given,omitempty"` // lines that run, and that Larder gives modules to
}

// A Slice is the part of the build context that one step compiles, on any of the platforms.
type Slice struct {
	Name  string   `json:"name"` // of the named context that holds it
	Files []string `json:"files"`
	Globs []string `json:"globs,omitempty"` // patterns of more files, as in .dockerignore
	Whole bool     `json:"whole,omitempty"` // it is all of the build context, but for .git
}

// NewBuild returns the Build of a Dockerfile and its plan. The plan is nil for a file that is BuildKit's alone.
func NewBuild(filename string, text []byte, target string, plan *planner.Plan) Build {
	return Side{planner.ForTarget(dockerfile.Parse(filename, text), target), plan, target}.build()
}

func (s Side) build() Build {
	plan := s.Plan
	b := Build{Filename: s.File.Name, Dockerfile: string(s.File.Data), Target: s.Target, Stages: s.Stages()}
	if plan == nil {
		return b
	}
	b.Platforms, b.Modules = plan.Platforms, moduleVersions(plan)
	for _, t := range plan.Toolchains {
		b.Toolchains = append(b.Toolchains, t.Version)
	}
	if len(plan.Packages) > 0 {
		built := plan.Packages[len(plan.Packages)-1]
		b.Program, b.Settings = built.Dir, strings.Join(slices.Concat(plan.Flags, plan.Env), " ")
		if built.Slice != nil {
			b.Slices = []Slice{newSlice(built.Slice, plan.Wide)}
		}
		return b
	}
	for _, s := range plan.Slices {
		b.Slices = append(b.Slices, newSlice(s, plan.Wide))
	}
	for _, r := range plan.Rewrites {
		if r.Runs {
			b.Given = append(b.Given, r.Line)
		}
	}
	return b
}

// newSlice leaves out what comes from outside of the build context.
func newSlice(s *planner.SourceSlice, wide planner.Wide) Slice {
	files, globs := map[string]bool{}, map[string]bool{}
	for _, of := range s.Of {
		for to, from := range map[*map[string]bool][]string{&files: of.Files, &globs: of.Globs} {
			for _, name := range from {
				if wide.Base != "" && wide.Base != "." {
					below, ok := strings.CutPrefix(name, wide.Base+"/")
					if !ok {
						continue
					}
					name = below
				}
				(*to)[name] = true
			}
		}
	}
	return Slice{s.Context, slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(globs)), s.Whole}
}

// moduleVersions returns the versions of each module that a plan has the source of.
func moduleVersions(p *planner.Plan) map[string]string {
	all := map[string][]string{}
	for _, m := range p.Modules {
		for _, sum := range m.Set.Zips() {
			all[sum.Path] = append(all[sum.Path], sum.Version)
		}
	}
	versions := map[string]string{}
	for name, list := range all {
		slices.SortFunc(list, semver.Compare)
		versions[name] = strings.Join(slices.Compact(list), ", ")
	}
	return versions
}

func (b Build) parse() dockerfile.File {
	return planner.ForTarget(dockerfile.Parse(b.Filename, []byte(b.Dockerfile)), b.Target)
}

// slice returns the slice of a name, or nil: the step is given the whole build context.
func (b Build) slice(name string) *Slice {
	i := slices.IndexFunc(b.Slices, func(s Slice) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return &b.Slices[i]
}

// compiled returns the slice of a build without instructions, or nil: it is given the whole build context.
func (b Build) compiled() *Slice {
	if len(b.Slices) == 0 {
		return nil
	}
	return &b.Slices[0]
}

// has returns a function that reports whether a file of the build context is part of a slice, which is nil for all of that.
func (s *Slice) has() func(name string) bool {
	if s == nil {
		return func(string) bool { return true }
	}
	if s.Whole {
		return func(name string) bool { return name != ".git" && !strings.HasPrefix(name, ".git/") }
	}
	files, matches := map[string]bool{}, matcher(s.Globs)
	for _, name := range s.Files {
		files[name] = true
	}
	return func(name string) bool { return files[name] || matches(name) }
}

// Reads says what of the build context a build reads.
type Reads struct {
	Files []string // by their names
	// Folders are the folders that have to be looked through for the rest: "." is the build context itself. Of tells which of
	// their files are read.
	Folders []string
	Of      func(file string) bool
}

// Reads returns what the build's target reads.
func (b Build) Reads() Reads {
	file := b.parse()
	var sources, globs []string
	var r Reads
	whole := file.HeaderOnly() && b.compiled() == nil
	for _, s := range b.Slices {
		r.Files, globs, whole = append(r.Files, s.Files...), append(globs, s.Globs...), whole || s.Whole
	}
	for _, st := range readLines(file, b.Stages) {
		for _, l := range st.lines {
			sources = append(sources, l.sources(file)...)
			g := file.GoLines[l.number]
			whole = whole || g != nil && g.From == "" && b.slice(sourceOf(l.number)) == nil
		}
	}
	if whole {
		sources = append(sources, ".")
	}
	slices.Sort(r.Files)
	r.Files = slices.Compact(r.Files)
	matches, named := matcher(globs), copied(sources)
	r.Of = func(name string) bool { return matches(name) || named(name) }
	for _, source := range slices.Concat(sources, globs) {
		r.Folders = append(r.Folders, literal(source))
	}
	slices.Sort(r.Folders)
	r.Folders = slices.Compact(r.Folders)
	return r
}

// Package returns the folder of the package that a file is compiled into, or embedded in. ok is false if no step compiles it.
func (b Build) Package(file string) (dir string, ok bool) {
	switch path.Base(file) {
	case "go.mod", "go.sum", "go.work", "go.work.sum", "modules.txt":
		return "", false
	}
	for _, s := range b.Slices {
		_, named := slices.BinarySearch(s.Files, file)
		if s.Whole || !named && !matcher(s.Globs)(file) {
			continue
		}
		for dir := path.Dir(file); ; dir = path.Dir(dir) {
			if slices.ContainsFunc(s.Files, func(f string) bool { return path.Dir(f) == dir && path.Ext(f) == ".go" }) {
				return dir, true
			}
			if dir == "." {
				break
			}
		}
	}
	return "", false
}

// matcher returns a function that reports whether patterns match a file, or a folder that it is in.
func matcher(globs []string) func(name string) bool {
	if len(globs) == 0 {
		return func(string) bool { return false }
	}
	m, err := patternmatcher.New(globs)
	return func(name string) bool {
		if err != nil {
			return true
		}
		hit, err := m.MatchesOrParentMatches(name)
		return hit || err != nil
	}
}

// literal returns the deepest folder, or the file, that has all that a pattern may match.
func literal(pattern string) string {
	parts := strings.Split(path.Join("/", pattern)[1:], "/")
	for i, part := range parts {
		if strings.ContainsAny(part, `*?[\$!`) {
			parts = parts[:i]
			break
		}
	}
	return path.Join(".", path.Join(parts...))
}
