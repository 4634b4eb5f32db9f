package frontend

import (
	"io/fs"
	"os"
	"strings"

	"github.com/larder-build/larder/frontend/dialect"
)

// PlanOptions is what a plan is made from where there is no builder to ask.
type PlanOptions struct {
	Dockerfile    []byte
	Filename      string
	Target        string
	Platforms     []string // target platforms; none means the builder's
	BuildPlatform string
	BuildArgs     map[string]string
	VCS           dialect.VCS
	Contexts      map[string]string // named contexts, as --build-context gives them: NAME to FOLDER or URL
}

// LoadPlan makes the plan of a build from a context on disk, without a builder: what Build would do.
func LoadPlan(context fs.FS, opt PlanOptions) (*dialect.Plan, error) {
	req := dialect.Request{
		File: dialect.Parse(opt.Filename, opt.Dockerfile), Tree: context, Target: opt.Target,
		Platforms: opt.Platforms, BuildPlatform: opt.BuildPlatform, BuildArgs: opt.BuildArgs, VCS: opt.VCS, Contexts: map[string]bool{},
	}
	if len(req.Platforms) == 0 {
		req.Platforms = []string{opt.BuildPlatform}
	}
	for name := range opt.Contexts {
		req.Contexts[strings.ToLower(name)] = true
	}
	req.Toolchains = func(name, version string) bool {
		folder := os.DirFS(strings.TrimPrefix(opt.Contexts[name], "local:"))
		for _, file := range dialect.ToolchainPaths(version, opt.BuildPlatform) {
			if _, err := fs.Stat(folder, file); err == nil {
				return true
			}
		}
		return false
	}
	return dialect.New(req)
}
