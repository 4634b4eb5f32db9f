package dialect

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// settingRules are what variables of the go command may be, as far as that is sure of any release: each rule returns what
// is wrong with a value, or "".
var settingRules = map[string]func(value string) string{
	"GOWORK": matches(`off|auto`, "off, or nothing for the nearest go.work, in the module's folder or above it"),
}

func matches(expr, expected string) func(string) string {
	re := regexp.MustCompile(`^(` + expr + `)$`)
	return func(value string) string {
		if re.MatchString(value) {
			return ""
		}
		return "expected " + expected
	}
}

// checkArgs refuses build arguments that no go command takes, before anything is fetched for it.
func checkArgs(args map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(settingRules)) {
		if value := args[name]; value != "" {
			if wrong := settingRules[name](value); wrong != "" {
				return fmt.Errorf("the build argument %s=%s: %s", name, value, wrong)
			}
		}
	}
	return nil
}

// checkStage refuses settings of a stage that the go command of a GO line doesn't take, at the line that has them.
func (w *planner) checkStage(s *scope, g *goLine) error {
	for _, name := range slices.Sorted(maps.Keys(settingRules)) {
		value := s.env[name]
		if _, overridden := w.BuildArgs[name]; overridden || value == "" {
			continue
		}
		wrong := settingRules[name](value)
		switch at := s.set[name]; {
		case wrong != "" && at == nil:
			return parser.WithLocation(fmt.Errorf("GO %s: %s=%s, of the image %s: %s", g.words[0], name, value, s.base, wrong), g.node.Location())
		case wrong != "":
			return parser.WithLocation(fmt.Errorf("%s=%s: %s", name, value, wrong), at)
		}
	}
	return nil
}
