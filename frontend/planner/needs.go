package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/expand"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"golang.org/x/mod/modfile"
)

// Needs lists everything that the builds of a tree fetch.
type Needs struct {
	Modules    []gotree.Module         // of each go.mod, in the order of their folders
	Toolchains []gotoolchain.Toolchain // each once
	Images     []string                // base images and frontends, with their full names, each once, sorted
	Warnings   []string                // what was left out, and where
}

// ReadNeeds reads all go.mod, go.work and Dockerfiles of a tree. The result covers every build of them for the
// request's platforms and arguments. It skips folders that the go command leaves out of patterns (vendor, testdata,
// those whose names begin with a dot or an underscore, and those of ignore lines), and node_modules. A module that
// requires others and has no go.sum can't be built, and is an error. A Dockerfile that can't be read is an error too,
// with two exceptions, which are only left out: a file that may be something else, such as the template
// Dockerfile.tmpl, and any file if images aren't asked for.
func ReadNeeds(tree fs.FS, req Request, images bool) (Needs, error) {
	var n Needs
	var ignores gomod.Ignores
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (gomod.HoldsOthers(d.Name()) || ignores.Has(name)):
			return fs.SkipDir
		case d.IsDir():
			return addIgnores(&ignores, tree, name)
		case !d.Type().IsRegular():
			return nil
		case d.Name() == "go.mod" && (gotree.Tree{FS: tree}).Blank(name):
			return nil
		case d.Name() == "go.mod":
			return n.addModule(tree, path.Dir(name), req)
		case isDockerfile(d.Name()):
			data, err := fs.ReadFile(tree, name)
			if err != nil {
				return err
			}
			err = n.addDockerfile(name, data, req, images)
			if err != nil && (!images || strings.HasPrefix(d.Name(), "Dockerfile.") || strings.HasPrefix(d.Name(), "Containerfile.")) {
				n.Warnings, err = append(n.Warnings, fmt.Sprintf("left out: %v", err)), nil
			}
			return err
		}
		return nil
	})
	slices.Sort(n.Images)
	n.Images = slices.Compact(n.Images)
	return n, err
}

// addIgnores notes the ignore lines of a folder's go.mod, if it has one. If it can't be parsed, the error comes when
// the module is read.
func addIgnores(to *gomod.Ignores, tree fs.FS, dir string) error {
	name := path.Join(dir, "go.mod")
	data, err := fs.ReadFile(tree, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if mod, err := modfile.ParseLax(name, data, nil); err == nil {
		to.Add(dir, mod.Ignore)
	}
	return nil
}

// isDockerfile reports whether a file has a name that people and BuildKit use for Dockerfiles.
func isDockerfile(name string) bool {
	if strings.HasSuffix(name, ".dockerignore") {
		return false
	}
	base, _, _ := strings.Cut(name, ".")
	return base == "Dockerfile" || base == "Containerfile" || strings.HasSuffix(name, ".Dockerfile")
}

func (n *Needs) addModule(tree fs.FS, dir string, req Request) error {
	m, err := readModule(tree, dir, false)
	if err != nil {
		return err
	}
	n.Modules = append(n.Modules, m)
	return n.addToolchain(gotoolchain.Request{Env: req.BuildArgs["GOTOOLCHAIN"], Files: m.Versions})
}

func (n *Needs) addToolchain(req gotoolchain.Request) error {
	t, err := gotoolchain.Choose(req)
	if err == nil && !slices.ContainsFunc(n.Toolchains, func(have gotoolchain.Toolchain) bool { return have.Version == t.Version }) {
		n.Toolchains = append(n.Toolchains, t)
	}
	return err
}

func (n *Needs) addDockerfile(name string, data []byte, req Request, images bool) error {
	f := dockerfile.Parse(name, data)
	if f.Err != nil || f.Broken {
		return fmt.Errorf("%s can't be read as a Dockerfile: 'larder build --check' tells what is wrong with it", name)
	}
	bases, err := Bases(f, req)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, b := range bases {
		if b.Kind == baseGo && b.Version != "" {
			if err := n.addToolchain(gotoolchain.Request{From: b.Version}); err != nil {
				return fmt.Errorf("%s:%d: %w", name, b.Line, err)
			}
		}
	}
	if !images {
		return nil
	}
	if ref, _, _, ok := parser.DetectSyntax(data); ok {
		if err := n.addImage(ref); err != nil {
			return fmt.Errorf("%s: the syntax line: %w", name, err)
		}
	}
	for _, i := range imagesIn(f, req) {
		err := n.addImage(i.name)
		if err != nil && i.unset != "" {
			n.Warnings = append(n.Warnings, fmt.Sprintf("%s:%d: left out: an image whose name isn't known: %s: give one with --build-arg", name, i.line, i.unset))
		} else if err != nil {
			return fmt.Errorf("%s:%d: %w", name, i.line, err)
		}
	}
	return nil
}

func (n *Needs) addImage(name string) error {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return fmt.Errorf("%q is not the name of an image: %w", name, errors.Unwrap(err))
	}
	n.Images = append(n.Images, reference.TagNameOnly(ref).String())
	return nil
}

// An imageAt is an image's name, and where a file has it.
type imageAt struct {
	name  string // as a build has it; variables without a value are empty
	line  int
	unset string // why it may be no name
}

// imagesIn returns the images that a file names in FROM, COPY --from and RUN --mount=from.
func imagesIn(f dockerfile.File, req Request) (list []imageAt) {
	env := globalArgs(f, req)
	lex := expand.New(shell.NewLex(f.Escape))
	stages := map[string]bool{"scratch": true, baseStatic: true}
	add := func(name string, line int) {
		word, err := lex.Word(name, env)
		if err != nil {
			list = append(list, imageAt{name, line, err.Error()})
			return
		}
		why := ""
		if unset := slices.Sorted(maps.Keys(word.Unmatched)); len(unset) > 0 {
			why = unset[0] + " has no value"
		} else if word.Result == "" {
			why = "it is empty"
		}
		name = strings.ToLower(word.Result)
		_, number := strconv.Atoi(name)
		kind, _, _ := strings.Cut(name, ":")
		if !stages[name] && kind != baseGo && number != nil && !req.hasContext(word.Result) {
			list = append(list, imageAt{word.Result, line, why})
		}
	}
	for _, st := range f.Stages {
		add(st.BaseName, st.Location[0].Start.Line)
		if st.Name != "" {
			stages[strings.ToLower(st.Name)] = true
		}
	}
	for _, st := range f.Stages {
		for _, cmd := range st.Commands {
			line := 0
			if at := cmd.Location(); len(at) > 0 {
				line = at[0].Start.Line
			}
			switch c := cmd.(type) {
			case *instructions.CopyCommand:
				if c.From != "" {
					add(c.From, line)
				}
			case *instructions.RunCommand:
				for _, m := range instructions.GetMounts(c) {
					if m.From != "" {
						add(m.From, line)
					}
				}
			}
		}
	}
	return list
}
