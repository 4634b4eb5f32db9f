// Package frontend turns a build request into a result. It plans, gives Larder's states to BuildKit as named contexts,
// and hands the rewritten file to BuildKit's own Dockerfile frontend, which does the rest. It runs the same way in a
// gateway container and on a client's machine.
package frontend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/larder-build/larder/internal/commit"
	"github.com/larder-build/larder/internal/golang/gorecipe"
	"github.com/larder-build/larder/llb"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// Build is a gateway build function. It builds the Go Dockerfile that the request of c names. Errors carry positions in
// that file where they have one.
func Build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	return new(Frontend).Build(ctx, c)
}

// A Frontend builds one request for a client that runs the frontend itself.
type Frontend struct {
	// Again writes the client's command for another folder of the build context. It may be nil: it isn't known.
	Again func(folder string) string
	// Folders are the folders that the client's session sends, by the names of their local sources. What the plan reads of
	// them is read from the disk. It may be nil: then the builder is asked.
	Folders map[string]string
	// Answered says that the builder's own proxy answers steps that have a network, while it records or from a recording:
	// see offline.Policy. Such steps trust the proxy's authority and need no secret ca.
	Answered bool
	// Recipe is what is made in the place of a build: a layer of compiled packages. It may be nil.
	Recipe *gorecipe.Recipe

	// Planned is told what is built, before any step of it runs. It is told again if something else is built in its place. It
	// may be nil.
	Planned func(Planned)

	// remedies says, for a vertex whose own error doesn't, what failed and what to do.
	remedies map[digest.Digest]string
	// plan is what is built, once that is known.
	plan *planner.Plan
	// ahead is what is read before it is known to be needed.
	ahead sync.WaitGroup
}

// Planned is what a Frontend builds.
type Planned struct {
	Filename   string
	Dockerfile []byte
	Ignore     []string      // the patterns of .dockerignore
	Plan       *planner.Plan // nil if the file is BuildKit's alone
}

// Build is a gateway build function, like the function Build.
func (f *Frontend) Build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer f.ahead.Wait()
	defer cancel() // what was read ahead and isn't needed
	f.remedies = map[digest.Digest]string{}
	g, err := newGuard(c, f.Answered)
	if err != nil {
		return nil, err
	}
	build := f.build
	if f.Recipe != nil {
		build = f.compile
	}
	if g == nil {
		return build(ctx, c)
	}
	res, err := build(ctx, g)
	return g.finish(ctx, res, err)
}

func (f *Frontend) build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	b, err := f.open(ctx, c)
	if err != nil {
		return nil, err
	}
	wants := b.syntax()
	if b.client.follows(b.src.Data, wants) {
		return builder.Build(ctx, c)
	}
	file := planner.ForTarget(dockerfile.Parse(b.src.Filename, b.src.Data), b.ui.Target)
	if wants.kind == syntaxDocker && b.client.opts[inbuildOpt] != "" {
		b.tell(ctx, nil)
		return builder.Build(ctx, b.client.untouched())
	}
	res, err := b.run(ctx, file)
	f.plan = b.plan
	var guess *guessError
	if !errors.As(err, &guess) || b.offline() {
		return res, err
	}
	// What Larder gives to RUN lines of its own accord can't be had: docker/dockerfile builds the file without it.
	if b, err = f.open(ctx, c); err != nil {
		return nil, err
	}
	b.client.follows(b.src.Data, wants)
	b.src.Warn(ctx, "Larder left all RUN lines as they are: "+guess.Error(), gateway.WarnOpts{Level: 1, SourceInfo: sourceInfo(b.src)})
	if asks, err := planner.Asks(file, b.request(file)); err == nil && !asks {
		f.plan = nil
		b.tell(ctx, nil)
		return builder.Build(ctx, b.client.untouched())
	}
	res, err = b.run(ctx, file.WithoutInjection())
	f.plan = b.plan
	return res, err
}

// open reads the Dockerfile of a request.
func (f *Frontend) open(ctx context.Context, c gateway.Client) (*build, error) {
	w := wrap(c)
	ui, err := dockerui.NewClient(w)
	if err != nil {
		return nil, err
	}
	ahead := w.ahead()
	f.ahead.Go(func() { ahead.readIgnoreFile(ctx) })
	src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return nil, err
	}
	if !f.Answered {
		if w.trust, err = newTrustGiver(ctx, ui.BuildArgs, larder.Builder{Platform: platforms.Normalize(ui.BuildPlatforms[0])}); err != nil {
			return nil, err
		}
	}
	return &build{client: w, ui: ui, src: src, remedies: f.remedies, again: f.Again, folders: f.Folders, planned: f.Planned, mark: planner.DefaultMark + "-" + rand.Text()}, nil
}

// run plans and builds a file. The error is a guessError if its cause is something that the file didn't ask for.
func (b *build) run(ctx context.Context, file dockerfile.File) (*gateway.Result, error) {
	plan, err := b.serve(ctx, file)
	if err != nil {
		return b.fail(b.blameGuess(ctx, file, err))
	}
	b.plan = plan
	b.tell(ctx, plan)
	proofs, err := b.proofs(plan)
	if err != nil {
		return nil, err
	}
	if !plan.Go && len(plan.Warnings) == 0 {
		return builder.Build(ctx, b.client.untouched())
	}
	b.warn(ctx, plan)
	b.client.planned = true
	res, err := builder.Build(ctx, b.client)
	if err = lintError(err, plan); err != nil {
		return nil, err
	}
	if err := b.tryInjected(ctx, res, plan); err != nil {
		return nil, err
	}
	if err := b.checkLibraries(ctx, res, plan); err != nil {
		return nil, err
	}
	if err := b.answer(res, plan); err != nil {
		return nil, err
	}
	return res, b.prove(ctx, res, plan, proofs)
}

// tell tells the client what is built.
func (b *build) tell(ctx context.Context, plan *planner.Plan) {
	if b.planned == nil {
		return
	}
	ignore, err := b.ui.DockerIgnorePatterns(ctx)
	if err != nil {
		return // the build fails of it, where it matters
	}
	b.planned(Planned{Filename: b.src.Filename, Dockerfile: b.src.Data, Ignore: ignore, Plan: plan})
}

// Explain adds advice to the error of a finished build, where the step's own error has none. Steps may run after Build,
// when the result is exported. And when Build fails, the builder returns its own error, without what Build added.
func (f *Frontend) Explain(err error) error {
	var vertex *errdefs.VertexError
	if errors.As(err, &vertex) {
		if text := f.remedies[digest.Digest(vertex.Digest)]; text != "" {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	if f.plan != nil {
		return hintInjected(err, f.plan)
	}
	return err
}

// A build is one request while it is planned and built.
type build struct {
	client *client
	ui     *dockerui.Client
	src    *dockerui.Source

	remedies map[digest.Digest]string   // see Frontend
	again    func(folder string) string // see Frontend
	folders  map[string]string          // see Frontend
	planned  func(Planned)              // see Frontend
	plan     *planner.Plan              // see Frontend
	made     states
	mark     string // see planner.Request
}

// serve plans the build. If the plan has anything of Go's, it gives the client the states that the plan needs.
func (b *build) serve(ctx context.Context, file dockerfile.File) (*planner.Plan, error) {
	req := b.request(file)
	if !file.HeaderOnly() {
		// Most Dockerfiles ask nothing of Larder: then they cost nothing but this.
		if uses, err := planner.Uses(file, req); err != nil || !uses {
			return &planner.Plan{}, err
		}
	}
	if err := b.supported(); err != nil {
		return nil, err
	}
	tree, err := b.context(ctx, file)
	if err != nil {
		return nil, err
	}
	req.Tree, req.Again = tree, b.again
	req.Toolchains = func(name, version string) bool {
		return b.holdsAny(ctx, name, planner.ToolchainPaths(version, req.BuildPlatform)) != ""
	}
	req.Context = func(name string) (fs.FS, error) { return b.moduleFiles(ctx, name) }
	req.Commit = func() (commit.Commit, bool, error) { return b.commit(ctx) }
	req.Folder = func(name string) (fs.FS, error) {
		st, err := b.outside(ctx, name)
		if err != nil {
			return nil, err
		}
		return b.tree(ctx, st)
	}
	req.Hidden = b.hidden(ctx)
	req.ModuleImage = func(ref string) (bool, error) { return b.moduleImage(ctx, ref) }
	if b.converts() {
		req.Image = func(name, platform string) (planner.ImageConfig, bool) { return b.image(ctx, name, platform) }
	}
	plan, err := planner.New(req)
	if err != nil {
		return nil, err
	}
	return plan, b.supply(ctx, plan)
}

// supported fails if the builder doesn't support named contexts from a frontend.
func (b *build) supported() error {
	caps := b.client.BuildOpts().Caps
	if err := caps.Supports(gwpb.CapFrontendInputs); err != nil {
		return fmt.Errorf("this builder is too old for Larder's own bases: it needs BuildKit 0.8 or later, or Docker 23 or later: %w", err)
	}
	return nil
}

// locate adds the text of the user's file to an error that has a position in it.
func locate(err error, file *pb.SourceInfo) error {
	var at *parser.LocationError
	if !errors.As(err, &at) {
		return err
	}
	for _, ranges := range at.Locations {
		err = errdefs.WithSource(err, &errdefs.Source{Info: file, Ranges: pbRanges(ranges)})
	}
	return err
}

func sourceInfo(src *dockerui.Source) *pb.SourceInfo {
	return &pb.SourceInfo{Data: src.Data, Filename: src.Filename, Language: src.Language, Definition: src.Definition.ToPB()}
}
