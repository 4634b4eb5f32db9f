package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/console"
	"github.com/docker/cli/cli/config"
	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/util/progress/progressui"
)

// A result holds the exporters' response and the frontend's metadata.
type result struct {
	response map[string]string // the exporters'
	metadata map[string][]byte // the frontend's
	why      *explanation      // nil for none
}

// host gathers what a request needs from this machine.
func (c *command) host() request.Host {
	h := request.Host{Env: c.env, Stdin: c.stdin, CACerts: request.CACertificates(c.env["SSL_CERT_FILE"])}
	if _, err := console.ConsoleFromFile(c.stdout); err != nil {
		h.Stdout = c.stdout // an image isn't for a terminal
	}
	h.Docker = config.LoadDefaultConfigFile(c.stderr)
	h.Executable, _ = os.Executable() // an empty path is refused with the reason
	return h
}

// A watcher notes what happens in a build. Each part may be nil.
type watcher struct {
	places *request.Places // of steps
	memory *buildMemory
}

// solve runs a request on the builder that o finds, and shows the progress.
func (c *command) solve(fe *frontend.Frontend, req *request.Request, o builder.Options, mode progressui.DisplayMode, by watcher) (res *result, err error) {
	b, facts, err := c.connect(c.ctx, o)
	if err != nil {
		return nil, err
	}
	by.memory.begin(b)
	defer func() { err = errors.Join(err, b.Close()) }()
	defer func() { err = req.Finish(err) }()
	opt, warning, err := req.SolveOpt(facts)
	if err != nil {
		return nil, err
	}
	if warning != "" {
		fmt.Fprintf(c.stderr, "WARNING: %s\n", warning)
	}
	display, err := progressui.NewDisplay(c.stderr, mode)
	if err != nil {
		return nil, fmt.Errorf("--progress %s: %w", mode, err)
	}
	return c.run(fe, b.Client, opt, display, mode, by)
}

// run solves on a connected builder. The frontend runs in this process.
func (c *command) run(fe *frontend.Frontend, bk *client.Client, opt client.SolveOpt, display progressui.Display, mode progressui.DisplayMode, by watcher) (*result, error) {
	res := &result{}
	status := make(chan *client.SolveStatus)
	var steps request.StepLog
	shown := make(chan []client.VertexWarning)
	go func() {
		// The display ends with the status stream, not with the context, so that
		// it shows how a cancelled build ended.
		warnings, _ := display.UpdateFrom(context.WithoutCancel(c.ctx), watched(status, &steps, by.memory))
		shown <- warnings
	}()
	build := func(ctx context.Context, gw gateway.Client) (*gateway.Result, error) {
		r, err := fe.Build(ctx, by.memory.watch(by.places.Watch(gw)))
		if r != nil {
			res.metadata = r.Metadata
		}
		return r, err
	}
	resp, err := bk.Build(c.ctx, opt, "larder", build, status)
	warnings := <-shown
	if err != nil {
		return nil, fe.Explain(steps.Explain(err))
	}
	if mode != progressui.QuietMode && mode != progressui.RawJSONMode {
		printWarnings(c.stderr, warnings)
	}
	res.response = resp.ExporterResponse
	res.why = by.memory.explain()
	return res, nil
}

// watched passes on each status, after others have seen it.
func watched(status <-chan *client.SolveStatus, steps *request.StepLog, memory *buildMemory) chan *client.SolveStatus {
	out := make(chan *client.SolveStatus)
	go func() {
		defer close(out)
		for s := range status {
			steps.Watch(s)
			memory.saw(s)
			out <- s
		}
	}()
	return out
}

// printWarnings lists the warnings of a build as docker does.
func printWarnings(w io.Writer, warnings []client.VertexWarning) {
	switch len(warnings) {
	case 0:
		return
	case 1:
		fmt.Fprint(w, "\n 1 warning found (use --call=check to expand):\n")
	default:
		fmt.Fprintf(w, "\n %d warnings found (use --call=check to expand):\n", len(warnings))
	}
	for _, warning := range warnings {
		fmt.Fprintf(w, " - %s\n", warning.Short)
	}
	fmt.Fprintln(w)
}
