package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (c *command) version() *cobra.Command {
	return &cobra.Command{
		Use:                   "version",
		Short:                 "Show the versions of larder and of the BuildKit in it",
		Args:                  exactly(0),
		DisableFlagsInUseLine: true,
		Run: func(*cobra.Command, []string) {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				info = &debug.BuildInfo{}
			}
			fmt.Fprintf(c.stdout, "larder %s", orUnknown(info.Main.Version))
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					fmt.Fprintf(c.stdout, " %s", s.Value)
				}
			}
			fmt.Fprintf(c.stdout, "\nbuildkit %s\n%s %s/%s\n", buildkitVersion(info), runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}

func buildkitVersion(info *debug.BuildInfo) string {
	for _, dep := range info.Deps {
		if dep.Path == "github.com/moby/buildkit" {
			if dep.Replace != nil {
				dep = dep.Replace
			}
			return dep.Version
		}
	}
	return orUnknown("")
}

func orUnknown(v string) string {
	if v == "" {
		return "unknown"
	}
	return v
}

// larderVersion returns the version of this build of Larder.
func larderVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return orUnknown("")
	}
	return orUnknown(info.Main.Version)
}
