package dialect

import (
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// CacheContext is the named context that warms compile caches, and the target that exports them for that.
const CacheContext = "larder-gocache"

// ExportContext is the named context that holds what the target exports.
const ExportContext = ContextPrefix + "gocache"

// exports reports whether the target asked for is the compile cache: no stage of the file has that name.
func (r Request) exports() bool {
	return r.Target == CacheContext && !slices.ContainsFunc(r.File.stages, func(st instructions.Stage) bool { return strings.EqualFold(st.Name, CacheContext) })
}

// addExport adds the stage of the compile cache, if that is the target, behind the user's.
func (p *Plan) addExport(req Request) {
	if !req.exports() || len(p.Deps) == 0 {
		return
	}
	p.Exports = true
	if !strings.HasSuffix(p.Dockerfile, "\n") {
		p.Dockerfile += "\n"
	}
	p.Dockerfile += "FROM " + ExportContext + " AS " + CacheContext + "\n"
}
