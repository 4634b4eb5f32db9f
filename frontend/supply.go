package frontend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/dialect"
	"github.com/larder-build/larder/internal/gomod"
	larder "github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/pb"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

var checkDirective = regexp.MustCompile(`(?m)^[ \t]*#([ \t]*)check=`)

// supplied is what of Larder's own a build was given.
type supplied struct {
	steps   larder.Builder
	modules map[string]larder.Modules // by named context
}

// supply makes the states of a plan and offers them to BuildKit's frontend as named contexts.
func (b *build) supply(ctx context.Context, plan *dialect.Plan) error {
	if !plan.Go {
		return nil
	}
	steps, err := b.steps()
	if err != nil {
		return err
	}
	toolchains, modules := map[string]llb.State{}, map[string]larder.Modules{}
	for _, t := range plan.Toolchains {
		if toolchains[t.Version], err = b.toolchain(ctx, steps, t); err != nil {
			return err
		}
		if err := b.offer(dialect.ToolchainRoot(t.Version), nil, toolchains[t.Version], dockerspec.DockerOCIImage{}); err != nil {
			return err
		}
	}
	for _, target := range b.targets() {
		for _, t := range plan.Toolchains {
			if err := b.offer(dialect.GoContext(t.Version, target), nil, toolchains[t.Version], larder.GoImage(steps.Platform, target)); err != nil {
				return err
			}
		}
		if plan.Static {
			// Time zones come from the first toolchain: any will do, and its file is what keys the step.
			static := steps.Static(toolchains[plan.Toolchains[0].Version]).Platform(target)
			if plan.Level == 0 && target.OS != "linux" {
				static = llb.Scratch().Platform(target) // the program alone
			}
			if err := b.offer(dialect.StaticContext, &target, static, larder.StaticImage(target)); err != nil {
				return err
			}
		}
		if plan.GoLines {
			if err := b.offer(dialect.TargetContext, &target, larder.TargetFile(dialect.TargetFile, target), dockerspec.DockerOCIImage{}); err != nil {
				return err
			}
		}
	}
	if plan.GoLines {
		if err := b.offer(dialect.StepContext, nil, steps.At(dialect.StepFile), dockerspec.DockerOCIImage{}); err != nil {
			return err
		}
	}
	for _, m := range plan.Modules {
		if len(m.Sources) == 0 {
			continue
		}
		if modules[m.Context], err = b.modules(ctx, m, steps); err != nil {
			return err
		}
		if m.FIPS != nil {
			modules[m.Context] = steps.WithFIPS(modules[m.Context], toolchains[m.FIPS.Toolchain], m.FIPS.Version)
		}
		if err := b.offer(m.Context, nil, modules[m.Context].Merged(), dockerspec.DockerOCIImage{}); err != nil {
			return err
		}
	}
	b.made = supplied{steps: steps, modules: modules}
	source, err := b.ui.MainContext(ctx)
	if err != nil {
		return err
	}
	whole, err := b.wide(ctx, plan, steps, *source)
	if err != nil {
		return err
	}
	if err := b.supplyCompiled(ctx, plan, steps, whole, toolchains, modules); err != nil {
		return err
	}
	b.client.steps = &stepEditor{caches: steps, mark: b.mark}
	if steps.ByVertex {
		if b.client.steps.vertices, err = b.keyed(ctx, plan); err != nil {
			return err
		}
	}
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
	if b.client.original, err = b.src.Definition.Head(); err != nil {
		return err
	}
	b.client.rewrites = plan.Rewrites
	b.client.keepContext(*source)
	return nil
}

// offer makes a state a named context, for one platform or, if that is nil, for all.
func (b *build) offer(name string, target *ocispecs.Platform, st llb.State, img dockerspec.DockerOCIImage) error {
	if target != nil {
		name += "::" + platforms.FormatAll(platforms.Normalize(*target))
	}
	b.client.opts[contextOpt+name] = "input:" + name
	b.client.states[name] = st
	if img.OS == "" {
		return nil
	}
	config, err := json.Marshal(img)
	if err != nil {
		return err
	}
	meta, err := json.Marshal(map[string][]byte{exptypes.ExporterImageConfigKey: config})
	if err != nil {
		return err
	}
	b.client.opts["input-metadata:"+name] = string(meta)
	return nil
}

// inbuildOpt names, in a build by a client that runs the frontend itself, the file in its local folder of that name that
// is Larder's own binary.
const inbuildOpt = "larder-inbuild"

// steps returns the builder of Larder's states, with the binary that its steps run: out of the frontend's own image in
// a gateway, else sent by the client as the local folder larder-inbuild.
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

func (b *build) toolchain(ctx context.Context, steps larder.Builder, t dialect.Toolchain) (llb.State, error) {
	from := larder.ToolchainSource{GOPROXY: t.Source.URL, GOSUMDB: b.ui.BuildArgs["GOSUMDB"]}
	files := dialect.ToolchainPaths(t.Version, platforms.Format(steps.Platform))
	if name := t.Source.Image; name != "" {
		folder := larder.Files(llb.Image(name), files[:1], "[internal] take "+t.Version+" from "+name)
		from.Folder, from.Path, from.GOPROXY = &folder, files[0], larder.ProxyRoot
	}
	if name := t.Source.Context; name != "" {
		folder, err := b.folder(ctx, name, files)
		if err != nil {
			return llb.State{}, err
		}
		from.Folder, from.Path = &folder, b.holdsAny(ctx, name, files)
		from.GOPROXY = larder.ProxyRoot
	}
	chosen := gomod.Toolchain{Version: t.Version, Why: t.Why}
	if t.Pinned && t.Source.Public() {
		from.Proxy = t.Source.URL
		def, err := steps.Download(chosen, t.Source.URL).Marshal(ctx)
		if err != nil {
			return llb.State{}, err
		}
		head, err := def.Head()
		if err != nil {
			return llb.State{}, err
		}
		b.remedies[head] = fmt.Sprintf("the Go toolchain %s can't be had from %s: use another GOPROXY, or pass a folder that holds golang.org/toolchain with --build-context %s=FOLDER", t.Version, t.Source, dialect.ToolchainContext)
	}
	return steps.Toolchain(chosen, from), nil
}

func (b *build) modules(ctx context.Context, m *dialect.Modules, steps larder.Builder) (larder.Modules, error) {
	return steps.Modules(m.Set, func(part gomod.Set) (larder.ModuleSource, error) { return b.moduleSource(ctx, m, part) })
}

// moduleSource says where a part of a module set comes from.
func (b *build) moduleSource(ctx context.Context, m *dialect.Modules, part gomod.Set) (larder.ModuleSource, error) {
	from := larder.ModuleSource{
		Network:   m.Network(),
		GOPRIVATE: m.VCS.GOPRIVATE, GONOPROXY: m.VCS.GONOPROXY, GOINSECURE: m.VCS.GOINSECURE, GOVCS: m.VCS.GOVCS,
	}
	files, err := larder.ModuleFiles(part)
	if err != nil {
		return from, err
	}
	for i, s := range m.Sources {
		entry := s.Keyword + s.URL
		if s.Context != "" || s.Image != "" {
			folder, err := b.sourceFolder(ctx, s, files)
			if err != nil {
				return from, err
			}
			entry = larder.ProxyFolder(len(from.Folders))
			from.Folders = append(from.Folders, folder)
		}
		if i > 0 {
			from.GOPROXY += separator(m.Sources[i-1])
			from.Label += ", "
		}
		from.GOPROXY += entry
		from.Label += s.String()
	}
	if !dialect.FetchNeeded(m.Sources) {
		from.GOPROXY = ""
	}
	return from, nil
}

// sourceFolder returns a source that is a GOPROXY folder, of which only some files are needed.
func (b *build) sourceFolder(ctx context.Context, s dialect.Source, files []string) (llb.State, error) {
	if s.Image != "" {
		return larder.Files(llb.Image(s.Image), files, "[internal] take modules from "+s.Image), nil
	}
	return b.folder(ctx, s.Context, files)
}

func separator(s dialect.Source) string {
	if s.AnyErr {
		return "|"
	}
	return ","
}
