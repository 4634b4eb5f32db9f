package frontend

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/commit"
	"github.com/moby/buildkit/solver/pb"
)

// PlanOptions says what to plan, where there is no builder to ask.
type PlanOptions struct {
	Dockerfile    []byte
	Filename      string
	Ignore        []byte // the .dockerignore file
	Target        string
	Platforms     []string // target platforms; none means the builder's
	BuildPlatform string
	BuildArgs     map[string]string
	VCS           planner.VCS
	Commit        map[string]string // what is known of the commit: see commit.Parse
	Describe      bool              // plan all there is, so that no target has to be picked
	Contexts      map[string]string // named contexts, as --build-context gives them: NAME to FOLDER or URL

	// Folder opens a folder of this machine that is a named context.
	Folder func(path string) (fs.FS, error)

	Again func(folder string) string // the command, for another folder of the context; nil if it isn't known
}

// Hidden returns a function that reports whether .dockerignore leaves a file out of the build context.
func (o PlanOptions) Hidden() (func(name string) bool, error) { return ignored(o.Ignore) }

// LoadPlan plans a build from a context on disk, without a builder. The plan is the one that Build would make.
func LoadPlan(context fs.FS, opt PlanOptions) (*planner.Plan, error) {
	hidden, err := ignored(opt.Ignore)
	if err != nil {
		return nil, err
	}
	platforms := opt.Platforms
	if len(platforms) == 0 {
		platforms = []string{opt.BuildPlatform}
	}
	wants := syntaxOf(opt.Dockerfile, opt.BuildArgs)
	if err := wants.checkPlanned(opt.Filename); err != nil {
		return nil, err
	}
	if wants.kind == syntaxDocker {
		plan := planner.Untouched(opt.Filename, opt.Dockerfile, wants.ref, platforms, opt.BuildPlatform)
		plan.CA, err = planner.CALines(dockerfile.Parse(opt.Filename, opt.Dockerfile), opt.BuildArgs, nil)
		return plan, err
	}
	req := planner.Request{
		File: planner.ForTarget(dockerfile.Parse(opt.Filename, opt.Dockerfile), opt.Target), Tree: ignoringFS{context, hidden}, Hidden: hidden, Target: opt.Target,
		Platforms: platforms, BuildPlatform: opt.BuildPlatform, BuildArgs: opt.BuildArgs, VCS: opt.VCS, Contexts: map[string]bool{}, Again: opt.Again, Describe: opt.Describe,
	}
	folders := map[string]string{}
	for name, value := range opt.Contexts {
		req.Contexts[strings.ToLower(name)] = true
		folders[strings.ToLower(name)] = strings.TrimPrefix(value, "local:")
	}
	req.Context = func(name string) (fs.FS, error) {
		folder := folders[strings.ToLower(name)]
		tree, err := opt.Folder(folder)
		if err != nil {
			return nil, fmt.Errorf("%s is not a folder of this machine: a plan is made without a builder, which could look into it", folder)
		}
		return tree, nil
	}
	req.Folder = req.Context
	req.Toolchains = func(name, version string) bool {
		folder, err := req.Context(name)
		if err != nil {
			return false
		}
		for _, file := range planner.ToolchainPaths(version, opt.BuildPlatform) {
			if _, err := fs.Stat(folder, file); err == nil {
				return true
			}
		}
		return false
	}
	req.Commit = func() (commit.Commit, bool, error) {
		c, known := commit.Parse(opt.Commit)
		return c, known, nil
	}
	plan, err := planner.New(req)
	return plan, locate(err, &pb.SourceInfo{Data: opt.Dockerfile, Filename: opt.Filename, Language: "Dockerfile"})
}
