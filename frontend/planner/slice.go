package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/golang/goslice"
	"github.com/larder-build/larder/internal/golang/gotree"
)

// A SourceSlice is the part of the build context that a step compiles.
type SourceSlice struct {
	Context string `json:"context"` // the named context that holds it
	Files   int    `json:"files"`   // how many, for the first platform

	Whole      bool `json:"-"` // it is all of the build context, but for .git
	Repository bool `json:"-"` // the step stamps what is known of the commit: see stampLine

	Runs  bool     `json:"-"` // the step runs what it compiles: that is for the builder's platform
	flags []string // those of the step by which packages of other modules are compiled in another way

	// Of has the slice for each target platform.
	Of map[string]goslice.Slice `json:"-"`
}

func (s *SourceSlice) in() string {
	if s == nil {
		return ""
	}
	text := fmt.Sprintf(", given %d of the context's files", s.Files)
	if s.Whole {
		text = ""
	}
	if s.Repository {
		text += ", and the commit to stamp"
	}
	return text
}

// sliceable are the subcommands that get a slice: they read only files that they compile.
var sliceable = []string{"build", "install", "test", "vet"}

// sliceLine plans the slice of a GO line that compiles the build context. It returns nil if the line needs the whole
// context.
func (w *planner) sliceLine(s *scope, g *dockerfile.GoLine, mod gotree.Module) (*SourceSlice, error) {
	if g.From != "" || mod.Path == "" || !w.File.Slice || !slices.Contains(sliceable, g.Words[0]) {
		return nil, nil
	}
	args, why := dockerfile.ReadGoArgs(w.expandKnown(s, g.Words[1:]))
	if why == "" {
		why = w.flagsOf(s, &args)
	}
	if why != "" {
		w.note(g.Node, "it is given the whole build context: %s", why)
		return nil, nil
	}
	req := goslice.Request{
		Tree: w.plan.Wide.tree, Module: mod, Patterns: args.Patterns, Tags: args.Tags, Profile: args.Profile,
		Tests: g.Words[0] == "test" || g.Words[0] == "vet", Cgo: w.withCgo(s, g), Version: s.goVersion(),
	}
	runs := g.Words[0] == "test" && !args.Compiles
	slice, err := w.plan.slice(fmt.Sprintf("source-%d", g.Node.StartLine), req, runs)
	var whole *goslice.WholeError
	if errors.As(err, &whole) {
		w.note(g.Node, "it is given the whole build context: %s", w.plan.Wide.shown(whole.Why))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slice.flags = args.Flags
	return slice, w.checkEmbeds(s, g, slice)
}

// expandKnown expands variables to the values that the step will see. It leaves words whose variables differ by
// platform.
func (w *planner) expandKnown(s *scope, words []string) []string {
	out := slices.Clone(words)
	for i, word := range words {
		if !s.known || !strings.Contains(word, "$") {
			continue
		}
		result, err := w.lex.Word(word, s.env)
		if err != nil || len(result.Unmatched) > 0 {
			continue
		}
		perPlatform := false
		for name := range result.Matched {
			perPlatform = perPlatform || strings.HasPrefix(name, "TARGET") || strings.HasPrefix(name, "BUILD")
		}
		if !perPlatform {
			out[i] = result.Result
		}
	}
	return out
}

// slice adds a slice to the plan. If runs is set, the program is compiled for the builder's platform.
func (p *Plan) slice(name string, req goslice.Request, runs bool) (*SourceSlice, error) {
	s := &SourceSlice{Context: ContextPrefix + name, Runs: runs, Of: map[string]goslice.Slice{}}
	req.Cache = &p.read
	for i, platform := range p.Platforms {
		compiled := platform
		if runs {
			compiled = p.BuildPlatform
		}
		req.GOOS, req.GOARCH = splitPlatform(compiled)
		of, err := goslice.Of(req)
		if err != nil {
			return nil, err
		}
		s.Of[platform] = of
		if i == 0 {
			s.Files = len(of.Files)
		}
	}
	p.Slices = append(p.Slices, s)
	return s, nil
}

// flagsOf adds the environment's flags to the arguments of a go command. If they can't be known, why is the reason.
func (w *planner) flagsOf(s *scope, a *dockerfile.GoArgs) (why string) {
	if !s.known {
		return "what the base image's environment says isn't known"
	}
	for _, name := range []string{"GOOS", "GOARCH"} {
		if s.env[name] != "" || w.BuildArgs[name] != "" && slices.Contains(settings, name) {
			return name + " is set"
		}
	}
	for _, flags := range []string{s.env["GOFLAGS"], w.BuildArgs["GOFLAGS"]} {
		more, why := dockerfile.ReadGoFlags(flags)
		if why != "" {
			return why
		}
		a.Under(more)
	}
	return ""
}

// withCgo reports whether a GO line compiles with cgo.
func (w *planner) withCgo(s *scope, g *dockerfile.GoLine) bool {
	if g.Cgo != "" {
		return g.Cgo == "true"
	}
	if v, ok := w.BuildArgs["CGO_ENABLED"]; ok {
		return v == "1"
	}
	return s.env["CGO_ENABLED"] == "1"
}

// goVersion returns the Go release of the stage's toolchain, or "". golang images have it in their environment.
func (s *scope) goVersion() string {
	if s.toolchain != "" {
		return s.toolchain
	}
	if v := s.env["GOLANG_VERSION"]; v != "" {
		return "go" + v
	}
	return ""
}

// slicePackages plans the slice of each main package of a build without instructions. If built is set, a missing
// embedded file is an error.
func (p *Plan) slicePackages(req Request, mod gotree.Module, built bool) error {
	args, why := dockerfile.ReadGoFlags(req.BuildArgs["GOFLAGS"])
	if why != "" {
		p.Notes = append(p.Notes, Note{Line: 1, Text: "go build is given the whole build context: " + why})
		return nil
	}
	args.Under(dockerfile.GoArgs{Flags: slices.DeleteFunc(slices.Clone(p.Flags), func(f string) bool { return f != "-trimpath" })})
	for i, pkg := range p.Packages {
		slice, err := p.slice("source-"+pkg.Stage, goslice.Request{
			Tree: req.Tree, Module: mod, Patterns: []string{pkg.Dir},
			Version: p.Toolchains[0].Version, Tags: args.Tags, Profile: args.Profile,
		}, false)
		var whole *goslice.WholeError
		if errors.As(err, &whole) {
			p.Notes = append(p.Notes, Note{Line: 1, Text: fmt.Sprintf("go build %s is given the whole build context: %s", pkg.Dir, p.Wide.shown(whole.Why))})
			continue
		}
		if err != nil {
			return err
		}
		if err := slice.missing(p.Platforms, p.Wide.shown, "make it before the build, or write a Dockerfile with a stage that makes it, and GO --from=STAGE"); err != nil && built {
			return err
		}
		p.Packages[i].Slice = slice
		if !mod.Vendored {
			if p.Packages[i].Deps, err = p.addDeps(req, pkg.Stage, Deps{
				For: "go build " + pkg.Dir, Slice: slice, Toolchain: p.Toolchains[0].Version, Modules: p.Modules[0],
				Dir: mod.Dir, Work: mod.Work, Flags: args.Flags, Env: withoutFlags(p.Env), Module: mod.Path, Standard: !req.Travels,
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadsSources reports whether a plan of the file reads more of the build context than its module files.
func ReadsSources(f dockerfile.File) bool {
	if f.HeaderOnly() {
		return true
	}
	for _, g := range f.GoLines {
		if g.From == "" && len(g.Words) > 0 && slices.Contains(sliceable, g.Words[0]) {
			return true
		}
	}
	return false
}
