package planpage

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
)

// A builder adds the instructions of a file to a graph.
type builder struct {
	Page
	*graph
	given    dockerfile.File // the rewritten file
	networks map[int]bool    // of the lines that Larder changes
	contexts map[string]bool // the build's named contexts, as BuildKit looks for them
	stages   map[int]*step   // the last steps of stages
	images   map[string]*step
}

// image adds the instructions that the target is made of, and returns the step that stands for the image.
func (b *builder) image() *step {
	b.stages, b.images = map[int]*step{}, map[string]*step{}
	reached := b.targetStages()
	image := &step{Name: "the image", Platform: strings.Join(b.Plan.Platforms, ", ")}
	for _, i := range reached {
		b.stages[i], b.graph.reached[i] = b.stage(i), true
	}
	if len(reached) > 0 {
		last := reached[len(reached)-1]
		image.need(b.stages[last])
		if name := b.given.Stages[last].Name; name != "" {
			image.Name = "the image of the stage " + name
		}
	}
	for _, s := range b.Plan.Steps {
		if s.Context == "" && s.Line == 0 {
			(&step{Name: s.Name, Network: s.Network}).need(image)
		}
	}
	return image
}

// targetStages returns the indexes of the stages of the rewritten file that the target is made of. The last one is the
// target.
func (b *builder) targetStages() []int {
	side := changes.Side{File: b.File, Plan: b.Plan, Target: b.Target}
	if b.Plan.Level == 0 {
		side.Target = "" // it is the last one, whatever the target names it by
	}
	list := side.Stages()
	for _, i := range b.given.Reached(side.Target) {
		if i >= len(b.File.Stages) { // one that Larder adds
			list = append(list, i)
		}
	}
	used := map[int]bool{} // of those that may be needed, those that are: names may have variables, whose values are known here
	for at, i := range slices.Backward(list) {
		if at < len(list)-1 && !used[i] {
			continue
		}
		used[i] = true
		for _, name := range b.given.StageSources(i) {
			if from := b.given.StageIndex(b.expanded(name), i); from >= 0 {
				used[from] = true
			}
		}
	}
	return slices.DeleteFunc(list, func(i int) bool { return !used[i] })
}

// stage adds the steps of a stage, and returns the last one. It returns nil if there is none.
func (b *builder) stage(i int) (last *step) {
	st := b.given.Stages[i]
	base := b.source(st.BaseName, i)
	chain := func(s *step, needs steps) {
		s.need(last)
		if last == nil {
			s.need(base...)
		}
		s.need(needs...)
		last = s
	}
	if len(base) == 1 {
		last = base[0]
	}
	var rest *step // of a stage with more instructions than a page shows
	for _, cmd := range st.Commands {
		line := cmd.Location()[0].Start.Line
		s := b.instruction(cmd, line)
		if s == nil {
			continue
		}
		var needs []*step
		for _, name := range b.given.Sources(cmd) {
			if name != "" {
				needs = append(needs, b.source(name, i)...)
			}
		}
		switch b.count++; {
		case b.count <= maxOwn:
			chain(s, needs)
		case rest == nil:
			rest = &step{Name: "the rest of the stage " + st.Name, Network: s.Network}
			chain(rest, needs)
		default:
			rest.Network = rest.Network || s.Network
			rest.need(needs...)
		}
		b.byLine[line] = last
	}
	if last == nil && len(base) > 0 {
		last = &step{Name: "the base of the stage " + st.Name}
		last.need(base...)
	}
	return last
}

// source returns the steps that make what a name means in stage i: an earlier stage, a named context or an image.
func (b *builder) source(name string, i int) steps {
	name = b.expanded(name)
	if at := b.given.StageIndex(name, i); at >= 0 {
		if s := b.stages[at]; s != nil {
			return steps{s}
		}
		return nil
	}
	if own, ok := strings.CutPrefix(name, planner.ContextPrefix); ok {
		if version, ok := strings.CutPrefix(own, "go:"); ok {
			version, _, _ = strings.Cut(version, "-")
			name = planner.ToolchainRoot("go" + version)
		}
		return b.ends(name) // none for Larder's binary, and for what is taken of the build context
	}
	if name == "scratch" || name == "" {
		return nil
	}
	s := b.images[name]
	if s == nil {
		s = &step{Name: "take the image " + name, Network: true, Why: "The builder asks the image's registry for what it doesn't have"}
		if b.contexts[planner.ContextName(name)] {
			s.Name, s.Network, s.Why = "take the named context "+name, false, "It is given to the build"
		}
		b.images[name] = s
	}
	return steps{s}
}

// expanded returns a name with its variables expanded, if it is the same for all platforms.
func (b *builder) expanded(name string) string {
	if !strings.Contains(name, "$") || strings.HasPrefix(name, planner.ContextPrefix) {
		return name
	}
	all := map[string]bool{}
	for _, platform := range b.Plan.Platforms {
		req := planner.Request{Platforms: []string{platform}, BuildPlatform: b.Plan.BuildPlatform, BuildArgs: b.BuildArgs}
		all[planner.ExpandName(b.File, req, name)] = true
	}
	for one := range all {
		if len(all) == 1 && one != "" {
			return one
		}
	}
	return name
}

// instruction returns the step of an instruction, or nil if it isn't one that runs or copies something.
func (b *builder) instruction(cmd instructions.Command, line int) *step {
	s := &step{Name: b.name(line)}
	if b.File.Nodes[line] != nil {
		s.Line = line // else Larder adds it
	}
	switch c := cmd.(type) {
	case *instructions.RunCommand:
		network, rewritten := b.networks[line]
		if !rewritten {
			network = !slices.ContainsFunc(b.given.Nodes[line].Flags, func(f string) bool { return f == "--network=none" })
		}
		s.Network = network
		isGo := b.File.GoLines[line] != nil
		switch {
		case isGo && network:
			s.Why = "The line asks for one"
		case isGo:
			s.Why = "A GO line has none, unless it asks for one"
		case network:
			s.Why = "A RUN has one, unless it says --network=none"
		default:
			s.Why = "The file takes it away"
		}
	case *instructions.CopyCommand:
	case *instructions.AddCommand:
		if s.Network = slices.ContainsFunc(c.SourcePaths, remote); s.Network {
			s.Why = "ADD fetches what it names"
		}
	default:
		return nil
	}
	return s
}

func remote(source string) bool {
	return strings.Contains(source, "://") || strings.HasPrefix(source, "git@")
}

var mountFlag = regexp.MustCompile(`--mount=\S+`)

// name returns an instruction as the user wrote it, or, for one that Larder adds, as it is. Its mounts are left out, which
// may be longer than all else.
func (b *builder) name(line int) string {
	n := b.File.Nodes[line]
	if n == nil {
		if n = b.given.Nodes[line]; n == nil {
			return fmt.Sprintf("line %d", line)
		}
	}
	return shorten(strings.Join(strings.Fields(mountFlag.ReplaceAllString(n.Original, "")), " "), 160)
}
