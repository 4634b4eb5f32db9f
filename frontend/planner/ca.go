package planner

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// caArg is the build argument by which RUN lines get the secret ca.
const caArg = "LARDER_CA"

// GivesCA reports whether the build arguments ask for the secret ca in RUN lines.
func GivesCA(args map[string]string) (bool, error) {
	value := args[caArg]
	if value == "" {
		return false, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return false, fmt.Errorf("%s=%s: expected 1 or 0, true or false", caArg, value)
	}
	return on, nil
}

// CALines returns the lines that get the secret ca: each RUN and GO that has a network. A rewritten line has the network
// that its rewrite says.
func CALines(f dockerfile.File, args map[string]string, rewrites []Rewrite) (lines []int, err error) {
	on, err := GivesCA(args)
	if !on || err != nil || f.Broken || (&planner{Request: Request{BuildArgs: args}}).offline() {
		return nil, err
	}
	for _, st := range f.Stages {
		for _, cmd := range st.Commands {
			run, ok := cmd.(*instructions.RunCommand)
			if !ok {
				continue
			}
			line := run.Location()[0].Start.Line
			network := instructions.GetNetwork(run) != instructions.NetworkNone
			if i := slices.IndexFunc(rewrites, func(r Rewrite) bool { return r.Line == line }); i >= 0 {
				network = rewrites[i].Runs && rewrites[i].Network
			}
			if network {
				lines = append(lines, line)
			}
		}
	}
	return lines, nil
}
