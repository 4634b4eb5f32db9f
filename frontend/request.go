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

// imagesOpt is set by a client that runs the frontend itself and writes what is built as an image.
const imagesOpt = "larder-images"

// request reads what a plan is made from out of the build's options.
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

// layersArg is the build argument that asks for layers of compiled packages, or forbids them.
const layersArg = "LARDER_LAYERS"

// exportsOpt is set by a client that runs the frontend itself and exports the build's cache: no other frontend is told.
const exportsOpt = "larder-cache-exports"

// travels reports whether layers of the build go to other builders, as far as a frontend can see: it is told of caches
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
