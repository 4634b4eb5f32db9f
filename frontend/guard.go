package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"sync"

	"github.com/larder-build/larder/internal/proof/offline"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/system"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// Names of build arguments, and of the option that sets the network of RUN lines without --network.
const (
	offlineArg = "LARDER_OFFLINE"
	allowArg   = "LARDER_OFFLINE_ALLOW"

	argOpt     = "build-arg:"
	networkOpt = "force-network-mode"
)

// A guard is a gateway client that refuses to use a network. All other clients of a build call it, so it sees every
// request to the builder. It checks every definition before it passes it on, and looks up only images that the policy
// allows. RUN lines without --network get no network.
type guard struct {
	gateway.Client
	opts  map[string]string
	allow offline.Policy

	mu      sync.Mutex
	unread  []string                             // images that were asked for and not looked up
	checked map[gateway.Reference]offline.Report // what each result was made from
}

// newGuard returns the guard of a build with LARDER_OFFLINE=1, or else nil. If the builder replays a recording, RUN
// lines keep their network, since it only leads to the recording.
func newGuard(c gateway.Client, replayed bool) (*guard, error) {
	opts := maps.Clone(c.BuildOpts().Opts)
	value, ok := opts[argOpt+offlineArg]
	if !ok || value == "" {
		return nil, nil
	}
	on, err := strconv.ParseBool(value)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: expected 1 or 0, true or false", offlineArg, value)
	}
	if !on {
		return nil, nil
	}
	allow, err := offline.ParsePolicy(opts[argOpt+allowArg])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", allowArg, err)
	}
	if mode := opts[networkOpt]; mode != "" && mode != "none" {
		return nil, refused("the build has --network=%s: leave it out", mode)
	}
	if allow.Replayed = replayed; !replayed {
		opts[networkOpt] = "none"
	}
	return &guard{Client: c, opts: opts, allow: allow, checked: map[gateway.Reference]offline.Report{}}, nil
}

// BuildOpts implements gateway.Client.
func (g *guard) BuildOpts() gateway.BuildOpts {
	opts := g.Client.BuildOpts()
	opts.Opts = maps.Clone(g.opts) // BuildKit's frontend writes to it
	return opts
}

// CurrentFrontend returns the definition of the frontend's image, or nil if the builder doesn't know it.
func (g *guard) CurrentFrontend() (*llb.State, error) {
	current, ok := g.Client.(interface{ CurrentFrontend() (*llb.State, error) })
	if !ok {
		return nil, nil
	}
	return current.CurrentFrontend()
}

// Solve implements gateway.Client.
func (g *guard) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if req.Frontend != "" {
		return nil, refused("the build is handed to another frontend, %s, whose build can't be looked into: leave out the syntax line or BUILDKIT_SYNTAX, or name the frontend there alone", req.FrontendOpt["source"])
	}
	for _, from := range req.CacheImports {
		if from.Type != "local" && !(from.Type == "registry" && g.allow.Image(from.Attrs["ref"])) {
			return nil, refused("--cache-from type=%s %s is fetched: use type=local, or allow its registry with --build-arg %s=HOST", from.Type, from.Attrs["ref"], allowArg)
		}
	}
	report := offline.Check(req.Definition, g.allow)
	if len(report.Violations) > 0 {
		return nil, g.refuse(report.Violations)
	}
	res, err := g.Client.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checked[res.Ref] = report
	for _, ref := range res.Refs {
		g.checked[ref] = report
	}
	return res, nil
}

// ResolveImageConfig implements gateway.Client. An image that isn't allowed gets an empty config, so that the build
// goes on until its definition is complete. The definition is then refused, with the lines of all such images. An image
// of a stage that the result doesn't need is looked up too, but never gets into the definition.
func (g *guard) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if opt.OCILayoutOpt != nil || g.allow.Image(ref) {
		return g.Client.ResolveImageConfig(ctx, ref, opt)
	}
	g.mu.Lock()
	g.unread = append(g.unread, ref)
	g.mu.Unlock()
	img := dockerspec.DockerOCIImage{Image: ocispecs.Image{Platform: ocispecs.Platform{OS: "linux"}}}
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		img.Platform = *opt.ImageOpt.Platform
	}
	img.Config.Env = []string{"PATH=" + system.DefaultPathEnv(img.OS)}
	img.RootFS = ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString(ref)}} // without one it would be scratch
	config, err := json.Marshal(img)
	return ref, "", config, err
}

// ResolveSourceMetadata implements gateway.Client.
func (g *guard) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	if v, bad := g.allow.Source(op); bad {
		return nil, g.refuse([]offline.Violation{v})
	}
	return g.Client.ResolveSourceMetadata(ctx, op, opt)
}

// finish returns the result of a build. It adds an attestation if the build makes any. A result that didn't come
// through Solve is refused.
func (g *guard) finish(ctx context.Context, res *gateway.Result, err error) (*gateway.Result, error) {
	if err != nil {
		return nil, g.explain(err)
	}
	if g.opts["requestid"] != "" {
		return res, nil // an answer about the file
	}
	if err := g.attest(ctx, res); err != nil {
		return nil, fmt.Errorf("attesting what was checked offline: %w", err)
	}
	return res, nil
}
