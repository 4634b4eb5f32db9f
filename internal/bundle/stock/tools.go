package stock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/version"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/golang/gomod"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/golang/gotree"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// A toolBox holds the tools of a bundle. In a bundle each has a folder of its name, so no two may have the same name.
type toolBox []boxed

type boxed struct {
	bundle.Tool
	from  string // for messages: --tool SPEC, or the file and line
	named bool   // by --tool
}

// add adds a tool. Tools of --tool win over others, and must be added first. If tool lines name two versions of a tool,
// the newer stays. Two tools of one name are an error.
func (b *toolBox) add(t boxed) error {
	i := slices.IndexFunc(*b, func(have boxed) bool { return have.Name == t.Name })
	if i < 0 {
		*b = append(*b, t)
		return nil
	}
	have := (*b)[i]
	same := have.Package == t.Package
	switch {
	case t.named && !(same && have.Version == t.Version):
		return fmt.Errorf("the tool %s is %s@%s by %s and %s@%s by %s, and a bundle has one of a name: leave one out", t.Name, have.Package, have.Version, have.from, t.Package, t.Version, t.from)
	case have.named:
	case !same:
		return fmt.Errorf("the tool %s is %s by %s and %s by %s, and a bundle has one of a name: say which with --tool PACKAGE@VERSION", t.Name, have.Package, have.from, t.Package, t.from)
	case semver.Compare(t.Version, have.Version) > 0:
		(*b)[i] = t
	}
	return nil
}

// addTree adds the tools in the tool lines of a module. They are built as 'go tool' builds them there: with the
// versions in its go.mod and the hashes in its go.sum. A tool whose source is in the tree is none of the bundle's.
func (b *toolBox) addTree(dir string, m gotree.Module) error {
	name, mod := path.Join(m.Dir, "go.mod"), m.Members[0].Mod
	require := outside(mod, m.Set)
	for _, line := range mod.Tool {
		at := fmt.Sprintf("%s:%d", filepath.Join(dir, name), line.Syntax.Start.Line)
		t := boxed{Tool: bundle.Tool{Name: bundle.ToolName(line.Path), Package: line.Path, GoSum: m.Set.Text()}, from: at}
		if t.Version = gomod.ModuleOf(line.Path, require).Version; t.Version == "" {
			continue
		}
		var err error
		if t.GoMod, err = toolMod(mod, require, line.Path); err != nil {
			return err
		}
		if err := b.add(t); err != nil {
			return err
		}
	}
	return nil
}

// outside returns the requirements of a go.mod, sorted, without modules that come from the tree: those are not in
// go.sum.
func outside(mod *modfile.File, set gomod.Set) (list []module.Version) {
	listed := map[module.Version]bool{}
	for _, s := range set.GoMods() {
		listed[s.Module()] = true
	}
	var lines gomod.Replaces
	lines.AddMod("", mod.Replace)
	for _, r := range mod.Require {
		if listed[lines.Used(r.Mod)] {
			list = append(list, r.Mod)
		}
	}
	slices.SortFunc(list, func(a, b module.Version) int { return cmp.Compare(a.Path, b.Path) })
	return list
}

// toolMod returns a go.mod for one tool that selects the same versions as the go.mod from.
func toolMod(from *modfile.File, require []module.Version, pkg string) ([]byte, error) {
	var to modfile.File
	errs := []error{to.AddModuleStmt("tools"), to.AddTool(pkg)}
	if from.Go != nil {
		errs = append(errs, to.AddGoStmt(from.Go.Version))
	}
	for _, v := range require {
		to.AddNewRequire(v.Path, v.Version, false)
	}
	for _, x := range from.Exclude {
		errs = append(errs, to.AddExclude(x.Mod.Path, x.Mod.Version))
	}
	for _, r := range from.Replace {
		if r.New.Version != "" {
			errs = append(errs, to.AddReplace(r.Old.Path, r.Old.Version, r.New.Path, r.New.Version))
		}
	}
	data, err := to.Format()
	return data, errors.Join(append(errs, err)...)
}

// toolchains returns the toolchains that tools need beside those that are chosen already.
func (b toolBox) toolchains(chosen []gotoolchain.Toolchain) (more []gotoolchain.Toolchain, err error) {
	for _, t := range b {
		name := "the go.mod of " + t.Package
		mod, err := modfile.ParseLax(name, t.GoMod, nil)
		if err != nil {
			return nil, err
		}
		need := gotoolchain.ModVersions(name, mod)
		if slices.ContainsFunc(slices.Concat(chosen, more), func(c gotoolchain.Toolchain) bool { return version.Compare(c.Version, "go"+need.Go) >= 0 }) {
			continue
		}
		c, err := gotoolchain.Choose(gotoolchain.Request{Files: []gotoolchain.VersionFile{need}})
		if err != nil {
			return nil, err
		}
		more = append(more, c)
	}
	return more, nil
}

// tools returns the tools of --tool, and their go.sum files.
func (s *Stocker) tools(ctx context.Context, specs []string) (box toolBox, sums []gomod.File, err error) {
	if len(specs) > 0 {
		s.Progress.Begin("find out what tools need", len(specs), 0)
	}
	for _, spec := range specs {
		s.Progress.At(spec, 0, 0)
		t, err := s.tool(ctx, spec)
		s.Progress.Done(spec, 0)
		if err == nil {
			err = box.add(boxed{t, "--tool " + spec, true})
		}
		if err != nil {
			return nil, nil, fmt.Errorf("--tool %s: %w", spec, err)
		}
		sums = append(sums, gomod.File{Name: "the go.sum of " + spec, Data: t.GoSum})
	}
	return box, sums, nil
}

// tool finds out which modules a tool is built from. To do so it makes a module that requires only the tool.
func (s *Stocker) tool(ctx context.Context, spec string) (bundle.Tool, error) {
	pkg, query, ok := strings.Cut(spec, "@")
	if !ok || pkg == "" || query == "" {
		return bundle.Tool{}, errors.New("expected PACKAGE@VERSION, such as golang.org/x/tools/cmd/stringer@v0.49.0")
	}
	if err := module.CheckImportPath(pkg); err != nil {
		return bundle.Tool{}, err
	}
	for _, b := range s.Bundles {
		tools, err := b.Tools(ctx)
		if err != nil {
			return bundle.Tool{}, err
		}
		if i := slices.IndexFunc(tools, func(t bundle.Tool) bool { return t.Package == pkg && t.Version == query }); i >= 0 {
			return tools[i], nil
		}
	}
	if s.Command == "" {
		return bundle.Tool{}, errors.New("there is no go command on this machine to find out what it needs: install Go")
	}
	dir, err := os.MkdirTemp("", "larder-tool-*")
	if err != nil {
		return bundle.Tool{}, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module tools\n\ngo 1.24\n"), 0o644); err != nil {
		return bundle.Tool{}, err
	}
	settings := []string{"GOWORK=off", "GOFLAGS=-mod=mod", "GOTOOLCHAIN=local"}
	for _, args := range [][]string{{"get", "-tool", spec}, {"mod", "tidy"}} {
		if _, err := s.run(ctx, dir, settings, args...); err != nil {
			return bundle.Tool{}, err
		}
	}
	out, err := s.run(ctx, dir, settings, "list", "-f", "{{.Module.Version}}", pkg)
	if err != nil {
		return bundle.Tool{}, err
	}
	t := bundle.Tool{Name: bundle.ToolName(pkg), Package: pkg, Version: strings.TrimSpace(string(out))}
	if t.GoMod, err = os.ReadFile(filepath.Join(dir, "go.mod")); err != nil {
		return t, err
	}
	t.GoSum, err = os.ReadFile(filepath.Join(dir, "go.sum"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it needs nothing but itself, and that is in go.sum too; but for a tool of the standard library
	}
	return t, err
}
