package frontend

import (
	"context"
	"maps"
	"path"
	"sync"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// client is a gateway client that BuildKit's Dockerfile frontend is run on: it has Larder's states among its inputs and
// options, gives the rewritten file in place of the user's, and shows the user's file wherever a file is shown.
type client struct {
	gateway.Client
	opts   map[string]string
	states map[string]llb.State // inputs of our own, by name

	rewritten []byte         // the text that BuildKit's frontend sees
	shown     *pb.SourceInfo // what to show in its place; nil leaves the rewritten text

	once   sync.Once
	inputs map[string]llb.State
	err    error
}

func wrap(c gateway.Client) *client {
	opts := maps.Clone(c.BuildOpts().Opts)
	if opts == nil {
		opts = map[string]string{}
	}
	// The syntax line has done its work once this code runs: BuildKit's frontend mustn't follow it again.
	if _, ok := opts["cmdline"]; !ok {
		opts["cmdline"] = opts["source"]
	}
	return &client{Client: c, opts: opts, states: map[string]llb.State{}}
}

// replaceFile makes BuildKit's frontend read a file of our own, with the user's ignore file beside it.
func (c *client) replaceFile(name string, data, ignore []byte, shown *pb.SourceInfo) {
	dir := path.Dir(path.Join("/", name))
	st := llb.Scratch()
	if dir != "/" {
		st = st.File(llb.Mkdir(dir, 0o755, llb.WithParents(true)))
	}
	file := llb.Mkfile(path.Join("/", name), 0o644, data)
	if ignore != nil {
		file = file.Mkfile(path.Join("/", name+".dockerignore"), 0o644, ignore)
	}
	c.states["dockerfile"] = st.File(file, llb.WithCustomName("[internal] rewrite "+name))
	c.rewritten, c.shown = data, shown
	c.opts["filename"] = name
	delete(c.opts, "dockerfilekey") // it would force the file on the user's disk
}

// keepContext makes a remote build context, such as a git repository, an input. BuildKit's frontend would otherwise
// read the file from there, not the one of replaceFile.
func (c *client) keepContext(context llb.State) {
	key := c.opts["contextkey"]
	if key == "" {
		key = dockerui.DefaultLocalNameContext
	}
	if c.opts[key] == "" {
		return
	}
	c.states[dockerui.DefaultLocalNameContext] = context
	delete(c.opts, key)
	delete(c.opts, "contextsubdir") // the state is of that folder already
}

// BuildOpts implements gateway.Client.
func (c *client) BuildOpts() gateway.BuildOpts {
	opts := c.Client.BuildOpts()
	opts.Opts = c.opts
	return opts
}

// Inputs implements gateway.Client.
func (c *client) Inputs(ctx context.Context) (map[string]llb.State, error) {
	c.once.Do(func() {
		caps := c.Client.BuildOpts().Caps
		if caps.Supports(gwpb.CapFrontendInputs) == nil {
			c.inputs, c.err = c.Client.Inputs(ctx)
		}
	})
	if c.err != nil {
		return nil, c.err
	}
	all := maps.Clone(c.states)
	for name, st := range c.inputs {
		if _, ours := all[name]; !ours {
			all[name] = st
		}
	}
	return all, nil
}

// Solve implements gateway.Client.
func (c *client) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if c.shown != nil && req.Definition.GetSource() != nil {
		for i, info := range req.Definition.Source.Infos {
			if c.isRewritten(info) {
				req.Definition.Source.Infos[i] = c.shown
			}
		}
	}
	return c.Client.Solve(ctx, req)
}

// Warn implements gateway.Client.
func (c *client) Warn(ctx context.Context, dgst digest.Digest, msg string, opts gateway.WarnOpts) error {
	if c.shown != nil && c.isRewritten(opts.SourceInfo) {
		opts.SourceInfo = c.shown
	}
	return c.Client.Warn(ctx, dgst, msg, opts)
}

func (c *client) isRewritten(info *pb.SourceInfo) bool {
	return info != nil && string(info.Data) == string(c.rewritten)
}
