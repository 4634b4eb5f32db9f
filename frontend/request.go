package frontend

import (
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

const contextOpt = "context:"

// imagesOpt is an option of a client that runs the frontend itself and exports an image.
const imagesOpt = "larder-images"

// request makes the planner's request from the build's options.
func (b *build) request(file dockerfile.File) planner.Request {
	req := planner.Request{
		File:          file,
		Target:        b.ui.Target,
		BuildPlatform: platforms.Format(b.buildPlatform()),
		BuildArgs:     b.ui.BuildArgs,
		Contexts:      map[string]bool{},
		Describe:      b.client.opts["requestid"] != "",
		Lint:          b.ui.LinterConfig,
		Images:        b.client.opts[imagesOpt] != "",
		Travels:       b.travels(),
		Mark:          b.mark,
		VCS: planner.VCS{
			Source:   b.client.opts["vcs:source"],
			Revision: b.client.opts["vcs:revision"],
			Version:  b.client.opts["vcs:version"],
		},
	}
	for _, p := range b.targets() {
		req.Platforms = append(req.Platforms, platforms.Format(p))
	}
	for opt := range b.client.opts {
		if name, ok := strings.CutPrefix(opt, contextOpt); ok {
			name, _, _ = strings.Cut(name, "::")
			req.Contexts[strings.ToLower(name)] = true
		}
	}
	return req
}

// layersArg is the build argument that turns layers of compiled packages on or off.
const layersArg = "LARDER_LAYERS"

// exportsOpt is an option of a client that runs the frontend itself and exports the build's cache. Other frontends
// aren't told of exports.
const exportsOpt = "larder-cache-exports"

// travels reports whether other builders get layers of the build, as far as a frontend can know. It is told of caches
// that are imported.
func (b *build) travels() bool {
	if asked, err := strconv.ParseBool(b.ui.BuildArgs[layersArg]); err == nil {
		return asked
	}
	imports := b.client.opts["cache-imports"]
	return b.client.opts[exportsOpt] != "" || b.client.opts["cache-from"] != "" || imports != "" && imports != "[]" && imports != "null"
}

func (b *build) buildPlatform() ocispecs.Platform {
	return platforms.Normalize(b.ui.BuildPlatforms[0])
}

// targets returns the platforms asked for, as BuildKit's frontend will understand them.
func (b *build) targets() []ocispecs.Platform {
	if len(b.ui.TargetPlatforms) == 0 {
		return []ocispecs.Platform{b.buildPlatform()}
	}
	var out []ocispecs.Platform
	for _, p := range b.ui.TargetPlatforms {
		out = append(out, platforms.Normalize(p))
	}
	return out
}
