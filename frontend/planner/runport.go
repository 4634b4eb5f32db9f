package planner

import (
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/planner/shellgo"
)

// lintPort checks the platforms that a RUN's call of go compiles for, as far as they are known: what the line and its
// stage set, for each target platform. It is a warning, since a release of Go that Larder doesn't know may know more.
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

// portPart returns what GOOS or GOARCH is for a call, "" for the platform that it runs on, or false where that can't be
// known.
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
