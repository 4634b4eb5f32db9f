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

// A network stands for the network of a build: its handler answers the requests of steps and of ADD lines.
type network struct {
	answers http.Handler
	places  *request.Places
	address string // of the files; empty until served
}

// step names the step or the ADD line that a request comes from.
func (n *network) step(r *http.Request) string {
	if args := builder.StepArgs(r.Context()); args != nil {
		return n.places.Of(args)
	}
	return n.places.OfSource(r.URL.String())
}

// serve serves files to the builder in this process, until stop is called.
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

// A replayed is a build's network that answers from a recording. A nil one stands for the real network.
type replayed struct {
	network
	replayer *replay.Replayer
	view     *bundle.View
	stop     func() error
	again    string // the command that records what is missing
}

// replayFrom makes builds take what their steps fetch from a bundle, if the bundle has a recording. The builds then run
// on the embedded builder. If another builder was named, it warns and replays nothing. It returns nil if nothing is
// replayed.
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

// answer makes a build take its answers from the recording, and returns the places that its steps are noted in.
func (r *replayed) answer(req *request.Request, fe *frontend.Frontend) *request.Places {
	if r == nil {
		return nil
	}
	req.AnswerBy(r.address)
	fe.Answered = true
	return r.places
}

// finish reports requests that the recording didn't answer: with the error if the builds have failed, and else as a
// warning.
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

// recordAgain returns the command that records a build into a bundle.
func recordAgain(bundle string, o request.Options) string {
	words := []string{"larder bundle create --record -o", shellWord(bundle)}
	if o.File != "" {
		words = append(words, "-f", shellWord(o.File))
	}
	if o.Target != "" {
		words = append(words, "--target", shellWord(o.Target))
	}
	return strings.Join(append(words, shellWord(o.Context)), " ")
}
