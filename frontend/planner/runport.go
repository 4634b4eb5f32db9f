package planner

import (
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/planner/shellgo"
)

// lintPort warns if a RUN's call of go compiles for a platform that the go command doesn't know. The platform comes
// from the line and its stage, for each target platform, as far as that is known. It is a warning and no error, since a
// release of Go that Larder doesn't know may know more platforms.
func (w *planner) lintPort(s *scope, r *runLine, c *shellgo.Call) {
	if len(c.Args) == 0 || !slices.Contains([]string{"build", "install", "run", "test", "vet"}, c.Args[0].Text) {
		return
	}
	var told []string
	for _, platform := range w.Platforms {
		goos, knownOS := w.portPart(s, c, "GOOS", platform)
		goarch, known := w.portPart(s, c, "GOARCH", platform)
		if goos == "" {
			goos = "linux" // which all builders are
		}
		if !knownOS || !known || goarch == "" && ports[goos] != "" || slices.Contains(strings.Fields(otherPorts[goos]), goarch) {
			continue
		}
		port := strings.TrimSuffix(goos+"/"+goarch, "/")
		if why := noPort(goos, goarch); why != "" && !slices.Contains(told, port) {
			told = append(told, port)
			w.lintAt(isUnknownPlatform(words(*c), port, why), r.node, r.cmd.Comments())
		}
	}
}

// portPart returns the value of GOOS or GOARCH for a call. It is "" for the platform that the call runs on. The bool is
// false if the value isn't known.
func (w *planner) portPart(s *scope, c *shellgo.Call, name, platform string) (string, bool) {
	target := func(name, platform string) string {
		goos, goarch := splitPlatform(platform)
		if strings.HasSuffix(name, "OS") {
			return goos
		}
		return goarch
	}
	if from := c.From[name]; c.Unknown[name] {
		value, known := s.env[from]
		if predefined := from == "TARGETOS" || from == "TARGETARCH"; predefined && value == target(from, w.Platforms[0]) {
			value = target(from, platform)
		}
		return value, known
	}
	if value, set, known := s.value(c, name); set || !known {
		return value, known
	}
	if _, emptied := s.env[name]; s.virtual == baseGo && !emptied {
		return target(name, platform), true // a go stage is for the target platform
	}
	return "", true
}
