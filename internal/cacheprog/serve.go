package cacheprog

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is a build cache of several folders.
type Server struct {
	// Lower are looked at first, in this order, and never changed, not even times. They are folders of image layers,
	// which BuildKit has verified: only the sizes of their files are checked.
	Lower []Dir
	// Upper is looked at then, and written. Others may write it too, so its data are checked with each use. Where it
	// can't be written, a temporary folder takes what is put: a go command may fail if it can't put something.
	Upper Dir
	// Keep, if not "", gets every entry that is put, or got but from Lower, with fixed modes and times: equal builds fill
	// it equally, whatever Upper has.
	// Since that is what it is for, Serve fails, and so does the go command, if an entry can't be kept.
	Keep Dir
}

// epoch is the time of all that is kept.
var epoch = time.Unix(0, 0)

// Serve answers requests of a go command until it sends close, or its input ends. When Serve returns nil, all that was
// got or put is kept. If ctx ends, Serve returns at once, though a read from r may still be under way.
//
// An error ends the service: of r or w, a malformed request, or of Keep. Any other is only told to the go command.
func (s *Server) Serve(ctx context.Context, r io.Reader, w io.Writer) error {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ses := &session{
		ctx: inner, cancel: cancel, now: time.Now,
		in: bufio.NewReaderSize(r, maxLine), out: json.NewEncoder(w), busy: make(chan struct{}, 2*runtime.GOMAXPROCS(0)),
	}
	defer ses.removeScratch()
	if err := ses.setDirs(s); err != nil {
		return err
	}
	ses.claims = ses.upper.claims()
	defer ses.claims.close()
	done := make(chan error, 1)
	go func() { done <- ses.run() }()
	var err error
	select {
	case err = <-done:
	case <-inner.Done():
		err = context.Cause(inner)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// A session is what Serve does for one go command.
type session struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	now    func() time.Time
	in     *bufio.Reader
	lower  []Dir
	upper  Dir
	keep   Dir
	busy   chan struct{} // has an element for each request that is being answered, but for those that wait

	claims    *claims         // of upper
	waiting   context.Context // ends when requests needn't wait for others' claims any more
	impatient atomic.Bool     // it waited for a claim in vain

	outMu sync.Mutex
	out   *json.Encoder

	mu      sync.Mutex // for what follows
	scratch Dir
	ended   bool // no scratch is to be made any more
	keepErr error
}

// setDirs makes paths absolute, since the go command is told paths of files.
func (s *session) setDirs(server *Server) (err error) {
	abs := func(d Dir) Dir {
		path, aerr := filepath.Abs(string(d))
		err = errors.Join(err, aerr)
		return Dir(path)
	}
	for _, d := range server.Lower {
		s.lower = append(s.lower, abs(d))
	}
	if server.Upper != "" {
		s.upper = abs(server.Upper)
	}
	if server.Keep != "" {
		s.keep = abs(server.Keep)
	}
	return err
}

// run reads requests and has them answered by several goroutines. Bodies are read here, as they come between requests.
func (s *session) run() error {
	if err := s.answer(0, response{KnownCommands: []string{"get", "put", "close"}}); err != nil {
		return err
	}
	var work sync.WaitGroup
	var stopWaiting context.CancelFunc
	s.waiting, stopWaiting = context.WithCancel(s.ctx)
	closeID, closed, err := s.readAll(&work)
	stopWaiting() // the go command is done
	work.Wait()
	if err = cmp.Or(err, context.Cause(s.ctx)); err != nil {
		return err
	}
	if closed && s.upper != "" {
		s.upper.trim(s.now())
	}
	err = s.finishKeep()
	if closed {
		var res response
		if err != nil {
			res.Err = err.Error()
		}
		err = errors.Join(err, s.answer(closeID, res))
	}
	return err
}

// readAll starts answering requests until one is close, or there are no more.
func (s *session) readAll(work *sync.WaitGroup) (closeID int64, closed bool, err error) {
	for s.ctx.Err() == nil {
		req, err := readRequest(s.in)
		if err == io.EOF {
			return 0, false, nil
		}
		if err != nil {
			return 0, false, err
		}
		b := newBody(s.ctx, s.in, req.BodySize)
		finish := s.start(req, b)
		// A body that can't be read to its end has also failed start: there is nothing to finish then.
		if err := b.skip(); err != nil {
			return 0, false, err
		}
		if req.Command == "close" {
			return req.ID, true, nil
		}
		if req.Command == "get" {
			// Nearly all of a build's requests are of this kind. To pass one to a goroutine takes longer than to answer it.
			if e, ok := s.findLower(req.ActionID); ok {
				if err := s.answer(req.ID, e.response()); err != nil {
					return 0, false, err
				}
				continue
			}
		}
		s.busy <- struct{}{}
		work.Go(func() {
			defer func() { <-s.busy }()
			if err := s.answer(req.ID, finish()); err != nil {
				s.cancel(err)
			}
		})
	}
	return 0, false, context.Cause(s.ctx)
}

// start does what needs the body, and returns what else is to be done for the request.
func (s *session) start(req request, b *body) (finish func() response) {
	switch req.Command {
	case "get":
		return func() response { return s.get(req.ActionID) }
	case "put":
		return s.put(req, b.decode())
	}
	return func() response { return response{Err: fmt.Sprintf("unknown command %q", req.Command)} }
}

func (s *session) answer(id int64, res response) error {
	res.ID = id
	s.outMu.Lock()
	defer s.outMu.Unlock()
	if err := s.out.Encode(res); err != nil {
		return fmt.Errorf("answering the go command: %w", err)
	}
	return nil
}
