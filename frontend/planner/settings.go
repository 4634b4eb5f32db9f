package planner

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/golang/gowords"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// settingRules check the values of the go command's variables, as far as the rules are the same in all releases. Each
// returns what is wrong with a value, or "".
var settingRules = map[string]func(value string) string{
	"GO386":     matches(`sse2|softfloat|387`, "sse2 or softfloat"),
	"GOAMD64":   matches(`v[1-4]`, "v1, v2, v3 or v4"),
	"GOARM":     matches(`[567](,(hard|soft)float)?`, "5, 6 or 7, with ,softfloat or ,hardfloat after it or not"),
	"GOARM64":   matches(`v[89]\.[0-9](,lse|,crypto)*`, "a version such as v8.0 or v9.0, with ,lse or ,crypto after it or not"),
	"GOFIPS140": matches(`off|latest|inprocess|certified|v[0-9]+\.[0-9]+\.[0-9]+(-.*)?`, "off, latest, inprocess, certified or a version such as v1.0.0"),
	"GOFLAGS":   refusedFlags,
	"GOMIPS":    matches(`hardfloat|softfloat`, "hardfloat or softfloat"),
	"GOMIPS64":  matches(`hardfloat|softfloat`, "hardfloat or softfloat"),
	"GOPPC64":   matches(`power[0-9]+`, "a name such as power8"),
	"GORISCV64": matches(`rva[0-9]+u64`, "a name such as rva20u64"),
	"GOWORK":    matches(`off|auto`, "off, or nothing for the nearest go.work, in the module's folder or above it"),
}

func refusedFlags(value string) string {
	if _, err := gowords.Flags(value); err != nil {
		return err.Error()
	}
	return ""
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

// checkArgs refuses build arguments that no go command accepts. That way nothing is fetched for them.
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

// checkStage refuses settings of a stage that the go command of a GO line doesn't accept. The error points at the
// instruction that has them.
func (w *planner) checkStage(s *scope, g *dockerfile.GoLine) error {
	for _, name := range slices.Sorted(maps.Keys(settingRules)) {
		value := s.env[name]
		// The flags of both count.
		if _, overridden := w.BuildArgs[name]; overridden && name != "GOFLAGS" || value == "" {
			continue
		}
		wrong := settingRules[name](value)
		switch at := s.set[name]; {
		case wrong != "" && at == nil:
			return parser.WithLocation(fmt.Errorf("GO %s: %s=%s, of the image %s: %s", g.Words[0], name, value, s.base, wrong), g.Node.Location())
		case wrong != "":
			return parser.WithLocation(fmt.Errorf("%s=%s: %s", name, value, wrong), at)
		}
	}
	return nil
}
