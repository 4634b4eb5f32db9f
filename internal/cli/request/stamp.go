package request

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/cli/gitfs"
	"github.com/larder-build/larder/internal/commit"
	"github.com/moby/buildkit/client"
	"golang.org/x/mod/semver"
)

// stamps reports whether a build may stamp the facts of the commit: see
// mayStamp.
func stamps(so client.SolveOpt) bool {
	goflags := so.FrontendAttrs["build-arg:GOFLAGS"]
	dir, ok := so.LocalMounts["dockerfile"]
	if !ok {
		return strings.Contains(goflags, buildVCS)
	}
	f, err := dir.Open(so.FrontendAttrs["filename"])
	if err != nil {
		return strings.Contains(goflags, buildVCS) // the builder says what is wrong with it
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDockerfile))
	return err == nil && mayStamp(goflags, string(text))
}

const buildVCS = "buildvcs"

// mayStamp reports whether a build may stamp a commit: if not, git needn't be
// asked, which takes a while. It may if the Dockerfile or GOFLAGS has
// -buildvcs, or if the file has no instructions, because then it stamps as go
// build does.
func mayStamp(goflags, file string) bool {
	return strings.Contains(goflags, buildVCS) || strings.Contains(file, buildVCS) || dockerfile.Parse("", []byte(file)).HeaderOnly()
}

// stampFacts returns the facts that package commit reads about the git working
// tree of dir, besides its revision.
func stampFacts(ctx context.Context, dir string) map[string]string {
	return atOnce(map[string]func() string{
		commit.FactFolder:   func() string { return cmp.Or(git(ctx, dir, "rev-parse", "--show-prefix"), ".") },
		commit.FactTime:     func() string { return git(ctx, dir, "-c", "log.showSignature=false", "log", "-1", "--format=%ct") },
		commit.FactModified: func() string { return strconv.FormatBool(modified(ctx, dir)) },
		commit.FactTags:     func() string { return strings.Join(tags(ctx, dir, "--points-at=HEAD"), " ") },
		commit.FactBases:    func() string { return strings.Join(newest(tags(ctx, dir, "--merged=HEAD")), " ") },
	})
}

// modified reports whether the working tree differs from its commit, as the go
// command asks it. Only the commit of a submodule counts, because git would run
// itself inside it. If git fails, the tree counts as modified.
func modified(ctx context.Context, dir string) bool {
	out, err := gitfs.Unfiltered(ctx, dir, "status", "--porcelain", "--ignore-submodules=dirty").Output()
	return err != nil || len(out) > 0
}

// tags returns the names of the tags that match a filter of git for-each-ref.
func tags(ctx context.Context, dir, filter string) []string {
	return strings.Fields(git(ctx, dir, "for-each-ref", "--format=%(refname:strip=2)", filter, "refs/tags"))
}

// newest returns the newest version of each major version of each module;
// a tag names the subfolder of its module before the version. The go command
// derives the next version only from these.
func newest(tags []string) []string {
	best := map[string]string{}
	for _, tag := range tags {
		version := tag[strings.LastIndexByte(tag, '/')+1:]
		if semver.Canonical(version) != version {
			continue
		}
		key := strings.TrimSuffix(tag, version) + semver.Major(version)
		if old, ok := best[key]; !ok || semver.Compare(version, old[strings.LastIndexByte(old, '/')+1:]) > 0 {
			best[key] = tag
		}
	}
	return slices.Sorted(maps.Values(best))
}
