package frontend

import (
	"context"
	"encoding/json"
	"maps"
	"path"
	"sync"

	"github.com/containerd/platforms"
	"github.com/larder-build/larder/frontend/planner"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// A client is a gateway client that Larder gives to BuildKit's Dockerfile frontend. It adds Larder's states to the
// inputs and options, gives the rewritten file instead of the user's, and shows the user's file wherever a file is
// shown.
type client struct {
	gateway.Client
	opts   map[string]string
	states map[string]llb.State // inputs of our own, by name

	rewritten []byte            // the text that BuildKit's frontend sees
	made      madeRef           // it, and the ignore file
	original  digest.Digest     // the vertex of the user's file, which is what warnings are of
	shown     *pb.SourceInfo    // what to show in its place; nil leaves the rewritten text
	rewrites  []planner.Rewrite // of instructions, whose steps are shown as the user wrote them

	steps *stepEditor // of what is solved; nil for none
	trust *trustGiver // gives steps the secret ca, also in files that have nothing of Go's; nil gives nothing

	configs sync.Map // of images, by what was asked
	reads   *readCache
	planned bool // BuildKit's frontend has taken over: what is solved may be a result, not just for reading

	once   sync.Once
	inputs map[string]llb.State
	err    error
}

func wrap(c gateway.Client) *client {
	opts := maps.Clone(c.BuildOpts().Opts)
	if opts == nil {
		opts = map[string]string{}
	}
	return &client{Client: c, opts: opts, states: map[string]llb.State{}, reads: &readCache{}}
}

// follows reports whether another frontend is to build the file. In a client that runs the frontend itself, that is so
// for any frontend but Larder and docker/dockerfile, because it can convert the files of these two. In a gateway, a
// syntax line has done its work if BuildKit started this frontend because of it. Otherwise the client named the
// frontend in its request. Then docker/dockerfile follows the syntax line, and Larder does the same.
func (c *client) follows(file []byte, wants syntax) bool {
	if _, ok := c.opts["cmdline"]; ok {
		return false
	}
	if c.opts[inbuildOpt] != "" {
		if wants.kind == syntaxOther {
			return true
		}
		// BuildKit's frontend mustn't follow it either.
		c.opts["cmdline"] = c.opts["source"]
		return false
	}
	_, arg := c.opts[argOpt+syntaxArg]
	_, _, _, line := parser.DetectSyntax(file)
	return arg || line
}

// untouched returns the client for a build that Larder leaves to BuildKit.
func (c *client) untouched() gateway.Client {
	if c.trust != nil {
		c.steps, c.planned = &stepEditor{trust: c.trust}, true
		return c
	}
	if c.opts[inbuildOpt] != "" {
		return c // for its cmdline
	}
	return c.Client
}

// offer gives BuildKit's frontend a named context.
func (c *client) offer(nc namedContext) error {
	name := nc.name
	if nc.target != nil {
		name += "::" + platforms.FormatAll(platforms.Normalize(*nc.target))
	}
	c.opts[contextOpt+name] = "input:" + name
	c.states[name] = nc.state
	if nc.image == nil {
		return nil
	}
	config, err := json.Marshal(nc.image)
	if err != nil {
		return err
	}
	meta, err := json.Marshal(map[string][]byte{exptypes.ExporterImageConfigKey: config})
	if err != nil {
		return err
	}
	c.opts["input-metadata:"+name] = string(meta)
	return nil
}

// replaceFile makes BuildKit's frontend read Larder's file, with the user's ignore file beside it.
func (c *client) replaceFile(name string, data, ignore []byte, shown *pb.SourceInfo) {
	c.made = madeRef{files: map[string][]byte{path.Join("/", name): data}}
	dir := path.Dir(path.Join("/", name))
	st := llb.Scratch()
	if dir != "/" {
		st = st.File(llb.Mkdir(dir, 0o755, llb.WithParents(true)))
	}
	file := llb.Mkfile(path.Join("/", name), 0o644, data)
	if ignore != nil {
		file = file.Mkfile(path.Join("/", name+".dockerignore"), 0o644, ignore)
		c.made.files[path.Join("/", name+".dockerignore")] = ignore
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

// ResolveImageConfig implements gateway.Client. It remembers the answers, since the plan and BuildKit's frontend ask
// for the same images.
func (c *client) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	type answer struct {
		ref    string
		digest digest.Digest
		config []byte
	}
	key := ref
	if image := opt.ImageOpt; image != nil {
		key += " " + image.ResolveMode
		if image.Platform != nil {
			key += " " + platforms.FormatAll(*image.Platform)
		}
	} else {
		return c.Client.ResolveImageConfig(ctx, ref, opt)
	}
	if a, ok := c.configs.Load(key); ok {
		return a.(answer).ref, a.(answer).digest, a.(answer).config, nil
	}
	ref, dgst, config, err := c.Client.ResolveImageConfig(ctx, ref, opt)
	if err == nil {
		c.configs.Store(key, answer{ref, dgst, config})
	}
	return ref, dgst, config, err
}

// Solve implements gateway.Client.
func (c *client) Solve(ctx context.Context, req gateway.SolveRequest) (*gateway.Result, error) {
	if c.rewritten != nil && makes(req.Definition, c.rewritten) {
		res := gateway.NewResult()
		res.SetRef(c.made)
		return res, nil
	}
	if key, ok := readKey(req); ok && !c.planned {
		return c.reads.get(ctx, key, func(ctx context.Context) (*gateway.Result, error) { return c.Client.Solve(ctx, req) })
	} else if res, known := c.reads.known.Load(key); ok && known {
		return res.(*gateway.Result), nil
	}
	if c.steps != nil && req.Definition != nil {
		if err := c.steps.apply(req.Definition); err != nil {
			return nil, err
		}
	}
	if c.shown != nil && req.Definition.GetSource() != nil {
		for i, info := range req.Definition.Source.Infos {
			if c.isRewritten(info) {
				req.Definition.Source.Infos[i] = c.shown
				c.rename(req.Definition, int32(i))
			}
		}
	}
	return c.Client.Solve(ctx, req)
}

// Warn implements gateway.Client.
func (c *client) Warn(ctx context.Context, dgst digest.Digest, msg string, opts gateway.WarnOpts) error {
	if c.isRewritten(opts.SourceInfo) {
		dgst = c.original // no step writes the rewritten file
		if c.shown != nil {
			opts.SourceInfo = c.shown
		}
	}
	return c.Client.Warn(ctx, dgst, msg, opts)
}

func (c *client) isRewritten(info *pb.SourceInfo) bool {
	return info != nil && string(info.Data) == string(c.rewritten)
}
