package planner

import (
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/commit"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// linking are the subcommands whose binaries may hold a commit.
var linking = []string{"build", "install"}

// stampLine returns the commit that a GO line writes into its binary, or nil if no -buildvcs asks for it.
func (w *planner) stampLine(s *scope, g *dockerfile.GoLine) (*commit.Commit, error) {
	if !slices.Contains(linking, g.Words[0]) || !w.wantsVCS(s, g) {
		return nil, nil
	}
	fail := func(text string) error {
		return w.File.ErrorAt(g.Node, "buildvcs", fmt.Sprintf("GO %s -buildvcs: %s, or leave -buildvcs out", g.Words[0], text))
	}
	if g.From != "" {
		return nil, fail("what is known of a commit is of the build context, and --from=" + g.From + " has other sources: set a variable with -ldflags=-X instead")
	}
	c, err := w.commit()
	if err != nil {
		return nil, parser.WithLocation(fmt.Errorf("GO %s -buildvcs: %w", g.Words[0], err), g.Node.Location())
	}
	if c == nil && !w.Describe {
		return nil, fail(unknownCommit)
	}
	return c, nil
}

const unknownCommit = "which commit is built isn't known: build a folder of a git working tree that has a commit, with git on PATH (and BUILDX_GIT_INFO not false), or a git URL"

// commit returns what is known of the built commit, or nil.
func (r Request) commit() (*commit.Commit, error) {
	if r.Commit == nil {
		return nil, nil
	}
	c, known, err := r.Commit()
	if err != nil || !known {
		return nil, err
	}
	if c.Time == 0 {
		c.SetTime(r.BuildArgs["SOURCE_DATE_EPOCH"])
	}
	return &c, nil
}

// wantsVCS reports whether a GO line, or GOFLAGS, has -buildvcs or -buildvcs=true. The go command's default is auto: it
// writes the commit if it finds a repository. Larder hides the repository, so that a commit which changes no file of a
// slice runs no step.
func (w *planner) wantsVCS(s *scope, g *dockerfile.GoLine) bool {
	return asksVCS(slices.Concat(strings.Fields(s.env["GOFLAGS"]), strings.Fields(w.BuildArgs["GOFLAGS"]), w.expandKnown(s, g.Words[1:])))
}

// asksVCS reports whether flags of the go command have -buildvcs or -buildvcs=true.
func asksVCS(words []string) bool { return vcsFlag(words) == "true" }

// vcsFlag returns the value of -buildvcs in flags of the go command: true, false or auto, which is go's default. The
// last flag counts.
func vcsFlag(words []string) string {
	flag := "auto"
	for _, word := range words {
		name, value, _ := strings.Cut(strings.TrimPrefix(word, "-"), "=")
		if name != "-buildvcs" && name != "buildvcs" || !strings.HasPrefix(word, "-") {
			continue
		}
		on, err := strconv.ParseBool(value)
		switch flag = strconv.FormatBool(on); {
		case value == "":
			flag = "true"
		case err != nil:
			flag = "auto"
		}
	}
	return flag
}

// repository marks a slice as the root of a repository, so that the go command takes it for one. A nil slice stands for
// the whole context. The slice gets the root's go.mod, which has the module path of the repository.
func (p *Plan) repository(tree fs.FS, slice *SourceSlice, name string) *SourceSlice {
	if slice == nil {
		slice = &SourceSlice{Context: ContextPrefix + name, Whole: true}
		p.Slices = append(p.Slices, slice)
	}
	slice.Repository = true
	for platform, of := range slice.Of {
		if exists(tree, "go.mod") && !slices.Contains(of.Files, "go.mod") {
			of.Files = append([]string{"go.mod"}, of.Files...)
			slice.Of[platform] = of
		}
	}
	return slice
}

// A Compile is a step that compiles what a GO line links, without the commit or the variables that it writes into the
// binary. Only the line's own key includes these.
type Compile struct {
	Context string `json:"context"` // the named context that holds what was compiled, laid out as GOCACHE
	For     string `json:"for"`     // the step that it is for

	Deps *Deps    `json:"-"` // what is compiled before
	Args []string `json:"-"` // flags and packages of the go command
	Env  []string `json:"-"` // NAME=VALUE, beside those of Deps
}

// compileLine plans such a step, if a line writes something into its binary by -buildvcs or by a variable in -ldflags.
func (w *planner) compileLine(s *scope, g *dockerfile.GoLine, deps *Deps, stamp bool) *Compile {
	if deps == nil || deps.Standard || !slices.Contains(linking, g.Words[0]) {
		return nil
	}
	if _, varies := dockerfile.CompileArgs(g.Words[1:]); !varies && !stamp {
		return nil
	}
	args, _ := dockerfile.CompileArgs(w.expandKnown(s, g.Words[1:]))
	if slices.ContainsFunc(args, func(a string) bool { return strings.ContainsRune(a, '$') }) {
		return nil
	}
	flags, _ := dockerfile.CompileArgs(slices.Concat(strings.Fields(s.env["GOFLAGS"]), strings.Fields(w.BuildArgs["GOFLAGS"])))
	c := &Compile{Context: fmt.Sprintf("%scompiled-%d", ContextPrefix, g.Node.StartLine), For: deps.For, Deps: deps, Args: args}
	if len(flags) > 0 {
		c.Env = []string{"GOFLAGS=-mod=readonly " + strings.Join(flags, " ")}
	}
	w.plan.Compiled = append(w.plan.Compiled, c)
	return c
}
