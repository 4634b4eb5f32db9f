package frontend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"

	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

var checkDirective = regexp.MustCompile(`(?m)^[ \t]*#([ \t]*)check=`)

// states are the states that a plan's named contexts are made of.
type states struct {
	steps      larder.Builder
	context    llb.State                 // the build context
	source     llb.State                 // the same, with the folders outside of it that stand for modules
	toolchains map[string]llb.State      // by version
	modules    map[string]larder.Modules // by named context
}

// A namedContext is a state that BuildKit's frontend knows by a name.
type namedContext struct {
	name   string
	target *ocispecs.Platform // nil for all platforms
	state  llb.State
	image  *dockerspec.DockerOCIImage // the config of the image that it stands for; nil for none
}

// supply makes the states of a plan, and gives them with the rewritten file to BuildKit's frontend.
func (b *build) supply(ctx context.Context, plan *planner.Plan) error {
	if !plan.Go {
		return nil
	}
	s, err := b.states(ctx, plan)
	if err != nil {
		return err
	}
	compiled, err := b.compiledContexts(ctx, plan, s)
	if err != nil {
		return err
	}
	contexts := slices.Concat(b.baseContexts(plan, s), b.lineContexts(plan, s), moduleContexts(plan, s), compiled)
	for _, c := range contexts {
		if err := b.client.offer(c); err != nil {
			return err
		}
	}
	b.made = s
	b.client.steps = &stepEditor{caches: s.steps, mark: b.mark, trust: b.client.trust}
	if b.client.steps.ready, err = b.readyVertices(ctx, plan, contexts); err != nil {
		return err
	}
	if s.steps.ByVertex {
		if b.client.steps.vertices, err = b.keyed(ctx, plan, contexts); err != nil {
			return err
		}
	}
	if plan.Level == 0 && b.ui.Target != "" {
		b.client.opts["target"] = plan.Packages[len(plan.Packages)-1].Stage // the target may be a folder
	}
	if err := b.replaceFile(ctx, plan); err != nil {
		return err
	}
	b.client.keepContext(s.context)
	return nil
}

// states makes the states of a plan.
func (b *build) states(ctx context.Context, plan *planner.Plan) (s states, err error) {
	if s.steps, err = b.steps(); err != nil {
		return s, err
	}
	s.toolchains, s.modules = map[string]llb.State{}, map[string]larder.Modules{}
	for _, t := range plan.Toolchains {
		if s.toolchains[t.Version], err = b.toolchain(ctx, s.steps, t); err != nil {
			return s, err
		}
	}
	for _, m := range plan.Modules {
		if len(m.Sources) == 0 {
			continue
		}
		if s.modules[m.Context], err = b.modules(ctx, m, s.steps); err != nil {
			return s, err
		}
		if m.FIPS != nil {
			s.modules[m.Context] = s.steps.WithFIPS(s.modules[m.Context], s.toolchains[m.FIPS.Toolchain], m.FIPS.Version)
		}
	}
	source, err := b.ui.MainContext(ctx)
	if err != nil {
		return s, err
	}
	s.context = *source
	s.source, err = b.wide(ctx, plan, s.steps, s.context)
	return s, err
}

// baseContexts returns the named contexts of the toolchains and of the bases go and static.
func (b *build) baseContexts(plan *planner.Plan, s states) (contexts []namedContext) {
	for _, t := range plan.Toolchains {
		contexts = append(contexts, namedContext{name: planner.ToolchainRoot(t.Version), state: s.toolchains[t.Version]})
		for _, target := range b.targets() {
			image := larder.GoImage(s.steps.Platform, target)
			contexts = append(contexts, namedContext{name: planner.GoContext(t.Version, target), state: s.toolchains[t.Version], image: &image})
		}
	}
	for _, target := range b.targets() {
		if !plan.Static {
			break
		}
		// Time zones come from the first toolchain: any will do, and its file is what keys the step.
		static, image := s.steps.Static(s.toolchains[plan.Toolchains[0].Version]).Platform(target), larder.StaticImage(target)
		if plan.Level == 0 && target.OS != "linux" {
			static = llb.Scratch().Platform(target) // the program alone
		}
		contexts = append(contexts, namedContext{name: planner.StaticContext, target: &target, state: static, image: &image})
	}
	return contexts
}

// lineContexts returns the named contexts that all GO lines mount.
func (b *build) lineContexts(plan *planner.Plan, s states) (contexts []namedContext) {
	if len(plan.Wide.Outside) > 0 {
		contexts = append(contexts, namedContext{name: planner.SourceContext, state: s.source})
	}
	if !plan.GoLines {
		return contexts
	}
	contexts = append(contexts, namedContext{name: planner.StepContext, state: s.steps.At(planner.StepFile)})
	for _, target := range b.targets() {
		contexts = append(contexts, namedContext{name: planner.TargetContext, target: &target, state: larder.TargetFile(planner.TargetFile, target)})
	}
	return contexts
}

// moduleContexts returns a named context for each module set, with its shards merged.
func moduleContexts(plan *planner.Plan, s states) (contexts []namedContext) {
	for _, m := range plan.Modules {
		if modules, ok := s.modules[m.Context]; ok {
			contexts = append(contexts, namedContext{name: m.Context, state: modules.Merged()})
		}
	}
	return contexts
}

// replaceFile makes BuildKit's frontend read the plan's Dockerfile, and show the user's.
func (b *build) replaceFile(ctx context.Context, plan *planner.Plan) (err error) {
	shown := sourceInfo(b.src)
	if plan.Level == 0 {
		shown = nil // there is no line of the user's to show
	}
	ignore, err := b.ignoreFile(ctx)
	if err != nil {
		return err
	}
	text := []byte(plan.Dockerfile)
	if b.client.opts["requestid"] == targets.RequestTargets {
		// BuildKit v0.34.2 panics when it lists the targets of a file that has a check directive for one instruction.
		text = checkDirective.ReplaceAll(text, []byte("#$1"))
	}
	b.client.replaceFile(b.src.Filename, text, ignore, shown)
	b.client.rewrites = plan.Rewrites
	b.client.original, err = b.src.Definition.Head()
	return err
}

// inbuildOpt is an option of a client that runs the frontend itself. It names Larder's binary in the local folder that
// is called like the option.
const inbuildOpt = "larder-inbuild"

// steps returns the builder of Larder's states, with the binary that its steps run. In a gateway, the binary is in the
// frontend's own image. Otherwise the client sends it as the local folder larder-inbuild.
func (b *build) steps() (larder.Builder, error) {
	steps := larder.Builder{Platform: b.buildPlatform(), NoCache: b.ui.IsNoCache(""), Proxy: proxyEnv(b.ui.BuildArgs),
		Namespace: b.ui.CacheIDNamespace}
	caps := b.client.BuildOpts().LLBCaps
	steps.Merge = caps.Supports(pb.CapMergeOp) == nil
	steps.ByVertex = caps.Supports(pb.CapExecMountContentCache) == nil
	if name := b.client.opts[inbuildOpt]; name != "" {
		local := llb.Local("larder-inbuild", llb.SessionID(b.client.BuildOpts().SessionID), llb.SharedKeyHint("larder-inbuild"),
			llb.IncludePatterns([]string{name}), llb.WithCustomName("[internal] load Larder's own steps"))
		// One name, whatever the file is called at the client's, since the name is in the key of every step.
		steps.Helper = llb.Scratch().Platform(steps.Platform).File(llb.Copy(local, path.Join("/", name), "/larder-frontend"),
			llb.WithCustomName("[internal] copy Larder's own steps"))
		steps.HelperPath = "/larder-frontend"
		return steps, nil
	}
	tooOld := errors.New("this builder doesn't tell a frontend about its own image: Larder needs BuildKit 0.10 or later, or Docker 23 or later; the command larder builds with older ones")
	current, ok := b.client.Client.(interface{ CurrentFrontend() (*llb.State, error) })
	if !ok {
		return steps, tooOld
	}
	st, err := current.CurrentFrontend()
	if err != nil {
		return steps, fmt.Errorf("reading the definition of the frontend's image: %w", err)
	}
	if st == nil {
		return steps, tooOld
	}
	steps.Helper = *st
	steps.HelperPath, err = os.Executable()
	return steps, err
}
