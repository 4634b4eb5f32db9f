package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/cli/bakefile"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"golang.org/x/sync/errgroup"
)

// A bakeTarget is one target of a bake file while it is built.
type bakeTarget struct {
	name   string
	about  string // its description
	linked bool   // it is there for another target alone
	req    *request.Request
	fe     *frontend.Frontend
	places *request.Places        // nil for none
	links  map[string]*bakeTarget // named contexts that are other targets

	users    sync.WaitGroup  // targets that have this one as a named context, and still run
	ready    chan struct{}   // closed once result is there
	result   *gateway.Result // the frontend's
	response map[string]string
}

// bakeTargets makes the request of each target. The requests take what they need from a bundle unless it is nil.
func (c *command) bakeTargets(def *bakefile.Definition, from *bundle.Bundle, f *bakeFlags) ([]*bakeTarget, error) {
	var targets []*bakeTarget
	byName := map[string]*bakeTarget{}
	h := c.host()
	h.Commits = &request.Commits{}
	for _, name := range def.Names() {
		t, err := c.bakeTarget(def, name, h, usedBundle{Bundle: from}, f)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", name, err)
		}
		targets, byName[name] = append(targets, t), t
	}
	for _, t := range targets {
		for context, name := range def.Links(t.name) {
			t.links[context] = byName[name]
			byName[name].users.Add(1)
		}
	}
	return targets, nil
}

func (c *command) bakeTarget(def *bakefile.Definition, name string, h request.Host, from usedBundle, f *bakeFlags) (*bakeTarget, error) {
	o, err := def.Options(name)
	if err != nil {
		return nil, err
	}
	if text := def.Inline(name); text != "" {
		h.Stdin = strings.NewReader(text)
	}
	if from.Bundle != nil {
		if err := from.serve(c, &o, f.bundle, &h); err != nil {
			return nil, err
		}
	}
	o.Again = again("larder build", o.Context)
	req, err := request.New(c.ctx, o, h)
	if err != nil {
		return nil, err
	}
	return &bakeTarget{
		name: name, about: def.Targets[name].Description, linked: def.Linked(name), req: req, fe: &frontend.Frontend{Again: o.Again, Folders: req.Folders()},
		links: map[string]*bakeTarget{}, ready: make(chan struct{}),
	}, nil
}

// buildAll builds targets at the same time on one builder, and shows them in one display. The first error stops all.
func (c *command) buildAll(targets []*bakeTarget, o builder.Options, mode progressui.DisplayMode) (err error) {
	b, facts, err := c.connect(c.ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	display, err := progressui.NewDisplay(c.stderr, mode)
	if err != nil {
		return fmt.Errorf("--progress %s: %w", mode, err)
	}
	status := make(chan *client.SolveStatus)
	shown := make(chan []client.VertexWarning)
	go func() {
		// It ends with the stream, not with the context, so that it shows how cancelled builds ended.
		warnings, _ := display.UpdateFrom(context.WithoutCancel(c.ctx), status)
		shown <- warnings
	}()
	group, ctx := errgroup.WithContext(c.ctx)
	for _, t := range targets {
		group.Go(func() error {
			if err := t.build(ctx, b.Client, facts, status, len(targets) > 1, c.warn); err != nil {
				return fmt.Errorf("target %s: %w", t.name, err)
			}
			return nil
		})
	}
	err = group.Wait()
	close(status)
	if warnings := <-shown; err == nil && mode != progressui.QuietMode && mode != progressui.RawJSONMode {
		printWarnings(c.stderr, warnings)
	}
	return err
}

// build builds the target, and sends the status of its steps to all. If named is set, each step's name begins with the
// target's.
func (t *bakeTarget) build(ctx context.Context, bk *client.Client, facts request.Builder, all chan<- *client.SolveStatus, named bool, warn func(string)) (err error) {
	defer func() {
		for _, other := range t.links {
			other.users.Done()
		}
	}()
	defer func() { err = t.req.Finish(err) }()
	opt, warning, err := t.req.SolveOpt(facts)
	if err != nil {
		return err
	}
	if warning != "" && !t.linked {
		warn(warning)
	}
	var steps request.StepLog
	status, passed := make(chan *client.SolveStatus), make(chan struct{})
	go func() {
		defer close(passed)
		for s := range status {
			steps.Watch(s)
			if named {
				nameSteps(s, t.name)
			}
			all <- s
		}
	}()
	resp, err := bk.Build(ctx, opt, "larder", t.solve, status)
	<-passed
	if err != nil {
		return t.fe.Explain(steps.Explain(err))
	}
	t.response = resp.ExporterResponse
	return nil
}

// solve is the target's gateway build function. If other targets have this one as a named context, solve returns only
// when they are done: they need its session.
func (t *bakeTarget) solve(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
	if len(t.links) > 0 {
		linked, err := t.link(ctx, gw)
		if err != nil {
			return nil, err
		}
		gw = linked
	}
	res, err := t.fe.Build(ctx, t.places.Watch(gw))
	if err != nil {
		return nil, err
	}
	t.result = res
	close(t.ready)
	done := make(chan struct{})
	go func() {
		t.users.Wait()
		close(done)
	}()
	select {
	case <-done:
		return res, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// nameSteps puts a target's name before the names of steps, as bake does.
func nameSteps(s *client.SolveStatus, target string) {
	name := func(step string) string {
		if rest, ok := strings.CutPrefix(step, "["); ok {
			return "[" + target + " " + rest
		}
		return "[" + target + "] " + step
	}
	for _, v := range s.Vertexes {
		v.Name = name(v.Name)
		if v.ProgressGroup != nil {
			v.ProgressGroup.Name = name(v.ProgressGroup.Name)
		}
	}
}

// A linkedClient is a gateway client whose named contexts include other targets.
type linkedClient struct {
	gateway.Client
	opts   map[string]string
	states map[string]llb.State
}

// BuildOpts implements gateway.Client.
func (l *linkedClient) BuildOpts() gateway.BuildOpts {
	opts := l.Client.BuildOpts()
	opts.Opts = l.opts
	return opts
}

// Inputs implements gateway.Client.
func (l *linkedClient) Inputs(ctx context.Context) (map[string]llb.State, error) {
	all, err := l.Client.Inputs(ctx)
	if err != nil {
		return nil, err
	}
	states := map[string]llb.State{}
	for name, st := range all {
		states[name] = st
	}
	for name, st := range l.states {
		states[name] = st
	}
	return states, nil
}

// link waits for the targets that are named contexts of this one, and returns a client that has their results.
func (t *bakeTarget) link(ctx context.Context, gw gateway.Client) (*linkedClient, error) {
	l := &linkedClient{Client: gw, opts: map[string]string{}, states: map[string]llb.State{}}
	for k, v := range gw.BuildOpts().Opts {
		l.opts[k] = v
	}
	for name, target := range t.links {
		select {
		case <-target.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if err := l.add(name, target.result); err != nil {
			return nil, fmt.Errorf("the named context %s, which is the target %s: %w", name, target.name, err)
		}
	}
	return l, nil
}

// add makes a target's result a named context: one for all platforms, or one for each.
func (l *linkedClient) add(name string, res *gateway.Result) error {
	one := func(name, suffix string, ref gateway.Reference) error {
		st := llb.Scratch()
		if ref != nil {
			var err error
			if st, err = ref.ToState(); err != nil {
				return err
			}
		}
		l.states[name], l.opts["context:"+name] = st, "input:"+name
		config, ok := res.Metadata[exptypes.ExporterImageConfigKey+suffix]
		if !ok {
			return nil
		}
		meta, err := json.Marshal(map[string][]byte{exptypes.ExporterImageConfigKey: config})
		l.opts["input-metadata:"+name] = string(meta)
		return err
	}
	if len(res.Refs) == 0 {
		return one(name, "", res.Ref)
	}
	for platform, ref := range res.Refs {
		if err := one(name+"::"+platform, "/"+platform, ref); err != nil {
			return err
		}
	}
	return nil
}

// answers prints the frontend's answers to --call, in the order of the targets' names.
func (c *command) answers(targets []*bakeTarget) error {
	status := 0
	for i, t := range targets {
		if t.req.Call == nil || t.result == nil {
			continue
		}
		if i > 0 {
			fmt.Fprintln(c.stdout)
		}
		fmt.Fprintln(c.stdout, t.name)
		if t.about != "" {
			fmt.Fprintln(c.stdout, t.about)
		}
		fmt.Fprintln(c.stdout)
		code, err := t.req.Call.Print(c.stdout, t.result.Metadata)
		if err != nil {
			return err
		}
		status = max(status, code)
	}
	if status != 0 {
		return exitStatus(status)
	}
	return nil
}

// writeBakeMetadata writes --metadata-file: the exporters' responses, by target.
func writeBakeMetadata(name string, targets []*bakeTarget) error {
	all := map[string]any{}
	for _, t := range targets {
		all[t.name] = request.Metadata(t.response)
	}
	return request.WriteMetadata(name, all)
}
