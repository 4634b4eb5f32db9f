package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/larder-build/larder/frontend"
	"github.com/larder-build/larder/internal/builder"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/cli/request"
	"github.com/larder-build/larder/internal/replay"
)

// A network is what a build has in the place of one: a handler that answers all that steps and ADD lines ask for.
type network struct {
	answers http.Handler
	places  *request.Places
	address string // of the files; empty until served
}

// step says which step a request is of, or which ADD line.
func (n *network) step(r *http.Request) string {
	if args := builder.StepArgs(r.Context()); args != nil {
		return n.places.Of(args)
	}
	return n.places.OfSource(r.URL.String())
}

// serve serves files to the builder in this process, until stop.
func (n *network) serve(ctx context.Context) (stop func() error, err error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("answering ADD lines: %w", err)
	}
	s := &http.Server{Handler: replay.Files(n.answers), ReadHeaderTimeout: grace}
	n.address = l.Addr().String()
	go func() { _ = s.Serve(l) }()
	return s.Close, nil
}

// A replayed build is answered from what was recorded. A nil one has a network.
type replayed struct {
	network
	replayer *replay.Replayer
	view     *bundle.View
	stop     func() error
	again    string // the command that records what is missing
}

// replayFrom has builds take what their steps fetch from a bundle, if something was recorded there: then they run on the
// embedded builder, unless another was named, for which there is a warning. It is nil if nothing is replayed.
func (c *command) replayFrom(b *bundle.Bundle, o *builder.Options, again string) (_ *replayed, err error) {
	if b == nil {
		return nil, nil
	}
	view, err := b.Recorded(c.ctx)
	if err != nil || view == nil {
		return nil, err
	}
	if o.Address == "" {
		o.Address = c.env["BUILDKIT_HOST"]
	}
	if o.Address != "" && o.Address != builder.Embedded {
		c.warn("the bundle has what was recorded of the network, and only the embedded builder takes it from there: use --builder embedded, or 'larder bundle serve --replay'")
		return nil, view.Close()
	}
	p, err := replay.Open(view)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("--bundle: %w", err), view.Close())
	}
	o.Address, o.Answers = builder.Embedded, p
	r := &replayed{network: network{answers: p, places: &request.Places{}}, replayer: p, view: view, again: again}
	p.Step = r.step
	p.Answered = func(r *http.Request, a replay.Answer) {
		if a.Digest != "" {
			builder.AddMaterial(r.Context(), a.URL, a.Digest)
		}
	}
	p.Missed = func(r *http.Request, m replay.Miss) { builder.AddRefusal(r.Context(), m.Method, m.URL) }
	if r.stop, err = r.serve(c.ctx); err != nil {
		return nil, errors.Join(err, view.Close())
	}
	return r, nil
}

// answer has a build replayed, and returns what takes note of its steps.
func (r *replayed) answer(req *request.Request, fe *frontend.Frontend) *request.Places {
	if r == nil {
		return nil
	}
	req.AnswerBy(r.address)
	fe.Replayed = true
	return r.places
}

// finish tells what was missing, with the error of the builds if they have failed.
func (r *replayed) finish(c *command, err error) error {
	if r == nil {
		return err
	}
	err = errors.Join(err, r.stop(), r.view.Close())
	missing := r.replayer.Missing()
	if len(missing) == 0 {
		return err
	}
	text := "what steps asked for is not in the bundle's recording:"
	for _, m := range missing {
		text += "\n  " + m.String()
	}
	text += "\nrecord it where there is a network: " + r.again
	if err != nil {
		return fmt.Errorf("%w\n%s", err, text)
	}
	c.warn(text)
	return nil
}

// recordAgain is the command that records the builds of a folder into a bundle.
func recordAgain(bundle, folder string) string {
	return strings.Join([]string{"larder bundle create --record -o", shellWord(bundle), shellWord(folder)}, " ")
}
