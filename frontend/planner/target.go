package planner

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// pick returns the packages that a build without instructions makes images of. The target is a program's name or
// folder, and its package comes last, since BuildKit builds a Dockerfile's last stage by default. A request that only
// describes the file gets all packages.
func (p programs) pick(target string, describe bool) ([]Package, error) {
	folder := target == "." || strings.Contains(target, "/")
	mains, err := p.candidates(target, folder, describe)
	if err != nil {
		return nil, err
	}
	picked := -1
	if folder {
		if mains, picked, err = p.pickFolder(mains, target); err != nil {
			return nil, err
		}
	}
	p.nameStages(mains)
	switch {
	case len(mains) == 0:
		return nil, p.noProgram()
	case target == "" && len(mains) > 1 && !describe:
		return nil, fmt.Errorf("there are several main packages: pick one with --target %s", p.names(mains))
	case target != "" && !folder:
		if picked, err = p.pickName(mains, target); err != nil {
			return nil, err
		}
	}
	switch {
	case picked < 0:
		return mains, nil
	case describe:
		one := mains[picked]
		return append(slices.Delete(mains, picked, picked+1), one), nil
	}
	return mains[picked : picked+1], nil
}

// candidates returns the packages that pick chooses from. It looks in modules other than the root's only if the target
// may be there, because that takes a while.
func (p programs) candidates(target string, folder, describe bool) ([]Package, error) {
	mains, err := p.root()
	called := func(q Package) bool { return strings.EqualFold(q.Name, target) }
	switch {
	case err != nil:
		return nil, err
	case describe:
	case folder, target == "" && len(mains) == 1, target != "" && slices.ContainsFunc(mains, called):
		return mains, nil
	case target != "":
		if others, err := p.others(false); err != nil || slices.ContainsFunc(others, called) {
			return append(mains, others...), err
		}
	}
	others, err := p.others(true)
	return append(mains, others...), err
}

// noProgram returns the error for a module without a main package. It names the other modules below it.
func (p programs) noProgram() error {
	err := errors.New("there is no main package in the module: Larder makes an image of the package main in the module's root, or of cmd/NAME; for a library, write a Dockerfile that says what to build")
	if others := OtherContexts(p.tree, p.again); others != "" && p.mod.Dir == "." {
		return fmt.Errorf("%w; or name the folder of another module as the context: %s", err, others)
	}
	return err
}

// pickFolder returns the index of the package in a folder. It adds the package if mains doesn't have it.
func (p programs) pickFolder(mains []Package, folder string) ([]Package, int, error) {
	pkg, err := p.at(folder)
	if err != nil {
		return nil, 0, err
	}
	if i := slices.IndexFunc(mains, func(q Package) bool { return q.Dir == pkg.Dir }); i >= 0 {
		return mains, i, nil
	}
	pkg.target = pkg.Dir // its name may be another's, of those that weren't looked for
	return append(mains, pkg), len(mains), nil
}

// pickName returns the index of the package with a name. Other packages may share a name.
func (p programs) pickName(mains []Package, name string) (int, error) {
	var called []Package
	for i, pkg := range mains {
		if pkg.Stage == strings.ToLower(name) {
			return i, nil
		}
		if strings.EqualFold(pkg.Name, name) {
			called = append(called, pkg)
		}
	}
	if len(called) == 0 {
		return 0, fmt.Errorf("no main package is called %q: the targets are %s; a folder such as ./cmd/api may be one, too", name, p.names(mains))
	}
	if len(called) == 1 {
		return slices.IndexFunc(mains, func(q Package) bool { return q.Dir == called[0].Dir }), nil
	}
	var dirs []string
	for _, pkg := range called {
		dirs = append(dirs, pkg.Dir)
	}
	return 0, fmt.Errorf("several main packages are called %s: name the folder: --target %s", name, strings.Join(dirs, ", or --target "))
}

// nameStages gives each package a stage, named like the package. If several packages share a name, the one that beats
// the others gets it. The stages of the others are named after their folders. So is the stage of a package whose name
// isn't allowed for a stage.
func (p programs) nameStages(mains []Package) {
	used := map[string]bool{}
	for i := range mains {
		pkg, name := &mains[i], strings.ToLower(mains[i].Name)
		rival := func(q Package) bool {
			return q.Dir != pkg.Dir && strings.ToLower(q.Name) == name && !p.beats(*pkg, q)
		}
		if stageName.MatchString(name) && !slices.ContainsFunc(mains, rival) {
			pkg.Stage = name
			used[name] = true
		}
	}
	for i := range mains {
		if pkg := &mains[i]; pkg.Stage == "" {
			stage := folderStage(*pkg)
			for used[stage] {
				stage += "-image"
			}
			pkg.Stage = stage
			used[stage] = true
		}
		if pkg := &mains[i]; pkg.target == "" {
			pkg.target = pkg.Dir
			if pkg.Stage == strings.ToLower(pkg.Name) {
				pkg.target = pkg.Stage
			}
		}
	}
}

// beats reports whether a package wins over another of the same name. The module at the root of the tree wins over
// other modules, and cmd/NAME wins over other folders of its module.
func (p programs) beats(pkg, other Package) bool {
	root := func(q Package) bool { return q.module == p.mod.Dir }
	if root(pkg) != root(other) {
		return root(pkg)
	}
	cmd := func(q Package) bool { return path.Join(p.mod.Dir, q.Dir) == path.Join(q.module, "cmd", q.Name) }
	return pkg.module == other.module && cmd(pkg) && !cmd(other)
}

var (
	stageName    = regexp.MustCompile(`^[a-z][a-z0-9-_.]*$`)
	noStageRunes = regexp.MustCompile(`[^a-z0-9_.]+`)
)

// folderStage returns a stage name that is made from a package's folder.
func folderStage(pkg Package) string {
	dir := strings.TrimPrefix(pkg.Dir, "./")
	if dir == "." {
		dir = pkg.Name + "-root"
	}
	stage := noStageRunes.ReplaceAllString(strings.ToLower(dir), "-")
	if stage = strings.TrimLeft(stage, "-_.0123456789"); stage == "" {
		return "app"
	}
	return stage
}

// names lists the allowed values of --target.
func (p programs) names(mains []Package) string {
	var list []string
	for _, pkg := range mains {
		list = append(list, pkg.target)
	}
	return strings.Join(list, ", ")
}
