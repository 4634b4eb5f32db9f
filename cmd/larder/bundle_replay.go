package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/bundle"
	"github.com/larder-build/larder/internal/replay"
	"github.com/larder-build/larder/internal/stepproxy"
)

// replayServer holds the flags of 'larder bundle serve --replay'.
type replayServer struct {
	on     bool
	caFile string
}

// serveReplay serves the recordings of bundles to builders that aren't larder's own: as an HTTP proxy, and by URLs such
// as http://ADDRESS/https/HOST/PATH. It shows each request that has no recorded answer.
func (c *command) serveReplay(f replayServer, listen string, b servedBundles) (err error) {
	var list []*bundle.Bundle
	for _, dir := range b.dirs {
		opened, err := bundle.Open(c.ctx, dir, b.trust)
		if err != nil {
			return err
		}
		list = append(list, opened)
	}
	recorded, views, err := recordings(c.ctx, list)
	defer func() { err = errors.Join(err, views.Close()) }()
	if err != nil {
		return err
	}
	if recorded == nil {
		return errors.New("--replay: nothing was recorded in these bundles: make one with 'larder bundle create --record'")
	}
	p, err := replay.Open(recorded)
	if err != nil {
		return err
	}
	p.Missed = func(_ *http.Request, m replay.Miss) { c.shown.Note(m.String()) }
	proxy, err := stepproxy.New(p)
	if err != nil {
		return err
	}
	if f.caFile != "" {
		if err := atomicfile.Write(f.caFile, proxy.CA()); err != nil {
			return fmt.Errorf("--replay-ca: %w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(c.ctx, "tcp", listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", listen, err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		c.warn(fmt.Sprintf("who reaches %s reads what was recorded: listen at 127.0.0.1 unless builders are elsewhere", l.Addr()))
	}
	fmt.Fprintf(c.stdout, "replaying %d answers at http://%s\n", len(p.Index().Answers), l.Addr())
	return c.serveUntilDone(proxy.Server(c.ctx), replay.Files(p), l)
}

// serveUntilDone serves proxy requests by s and other requests by files, until the command is stopped.
func (c *command) serveUntilDone(s *http.Server, files http.Handler, l net.Listener) error {
	asProxy := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodConnect || r.URL.IsAbs() {
			asProxy.ServeHTTP(w, r)
			return
		}
		files.ServeHTTP(w, r)
	})
	defer context.AfterFunc(c.ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
