package cacheprog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// get answers for what lower folders don't have.
func (s *session) get(action []byte) response {
	if len(action) != idSize {
		return response{Err: fmt.Sprintf("the action ID has %d bytes: expected %d", len(action), idSize)}
	}
	e, ok := s.find(action)
	if !ok {
		e, ok = s.await(action)
	}
	if !ok {
		return response{Miss: true}
	}
	return e.response()
}

func (e Entry) response() response {
	return response{OutputID: e.OutputID, Size: e.Size, Time: &e.Time, DiskPath: e.Path}
}

// await claims an action that isn't found. While another session has it claimed, this one waits for its entry, but if it
// once did so in vain, never again: then it may be that others claim what nobody ever puts.
func (s *session) await(action []byte) (Entry, bool) {
	for end := s.now().Add(patience); ; {
		if s.claims.take(action) {
			// Another session may have put it, and released its claim, since it was looked for.
			e, ok := s.find(action)
			if ok {
				s.claims.release(action)
			}
			return e, ok
		}
		if s.impatient.Load() || s.now().After(end) {
			s.impatient.Store(true)
			return Entry{}, false
		}
		if !s.pause(5 * time.Millisecond) {
			return Entry{}, false
		}
	}
}

// pause lets other requests be answered for a while. It returns false if the service is about to end.
func (s *session) pause(d time.Duration) bool {
	<-s.busy
	defer func() { s.busy <- struct{}{} }()
	select {
	case <-s.waiting.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// findLower returns the first entry of an action that lower folders have.
func (s *session) findLower(action []byte) (Entry, bool) {
	for _, d := range s.lower {
		if e, ok := d.Get(action, false); ok {
			return e, true
		}
	}
	return Entry{}, false
}

// find returns the first entry of an action that isn't a lower folder's and is right, and keeps it.
func (s *session) find(action []byte) (Entry, bool) {
	if s.upper != "" {
		if e, ok := s.upper.Get(action, true); ok && s.keepEntry(action, e) {
			used(s.now(), s.upper.file(action, "a"), e.Path)
			return e, true
		}
	}
	if d, ok := s.hasScratch(); ok {
		if e, ok := d.Get(action, false); ok && s.keepEntry(action, e) {
			return e, true
		}
	}
	return Entry{}, false
}

// put takes the body now and returns what is to be done with it.
func (s *session) put(req request, body io.Reader) (finish func() response) {
	t, err := s.receive(req, body)
	if err != nil {
		return func() response { return response{Err: err.Error()} }
	}
	return func() response {
		path, err := s.store(req, t)
		if err != nil {
			return response{Err: err.Error()}
		}
		return response{DiskPath: path}
	}
}

// receive writes the body to a file that is still to be committed.
func (s *session) receive(req request, body io.Reader) (*temp, error) {
	if err := checkIDs(req.ActionID, req.OutputID, req.BodySize); err != nil {
		return nil, err
	}
	t, err := s.newTemp(req.OutputID)
	if err != nil {
		return nil, fmt.Errorf("storing output %x: %w", req.OutputID, err)
	}
	if err := t.fill(req.OutputID, req.BodySize, body); err != nil {
		t.discard()
		return nil, fmt.Errorf("storing output %x: %w", req.OutputID, err)
	}
	return t, nil
}

// newTemp makes a file in the upper folder, or where that can't be written, now or later, in the scratch folder.
func (s *session) newTemp(output []byte) (*temp, error) {
	spare := func() (*temp, error) { return s.newScratchTemp(output) }
	if s.upper != "" {
		if t, err := s.upper.newTemp(output, "d"); err == nil {
			t.spare = spare
			return t, nil
		}
	}
	return spare()
}

// store gives what was received its place. The output is what the go command asks for: without the entry it is just
// not found the next time, so a failure to write that isn't told, as the go command may stop at it.
func (s *session) store(req request, t *temp) (path string, err error) {
	defer t.discard()
	defer s.claims.release(req.ActionID)
	if err := t.commit(time.Time{}); err != nil {
		return "", fmt.Errorf("storing output %x: %w", req.OutputID, err)
	}
	t.dir.writeEntry(req.ActionID, req.OutputID, req.BodySize, time.Time{})
	e := Entry{OutputID: req.OutputID, Size: req.BodySize, Path: t.name}
	if !s.keepEntry(req.ActionID, e) {
		return "", fmt.Errorf("storing output %x: %w", req.OutputID, errMismatch)
	}
	return t.name, nil
}

// keepEntry keeps an entry and returns whether it is right. Any other reason not to keep it ends up in finishKeep.
func (s *session) keepEntry(action []byte, e Entry) bool {
	if s.keep == "" {
		return true
	}
	if old, ok := s.keep.Get(action, false); ok && bytes.Equal(old.OutputID, e.OutputID) && old.Time.Equal(epoch) {
		return true
	}
	err := s.keep.copyEntry(action, e, epoch)
	if err == nil || errors.Is(err, errMismatch) {
		return err == nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keepErr == nil {
		s.keepErr = fmt.Errorf("keeping a build cache entry: %w", err)
	}
	return true
}

func (s *session) finishKeep() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keep == "" || s.keepErr != nil {
		return s.keepErr
	}
	if err := s.keep.seal(epoch); err != nil {
		return fmt.Errorf("finishing the kept build cache: %w", err)
	}
	return nil
}

// newScratchTemp makes a file in a folder of this session, which it makes when it is needed.
func (s *session) newScratchTemp(id []byte) (*temp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, errors.New("the service has ended")
	}
	if s.scratch == "" {
		dir, err := os.MkdirTemp("", "larder-gocache-")
		if err != nil {
			return nil, fmt.Errorf("making a folder in place of the build cache: %w", err)
		}
		s.scratch = Dir(dir)
	}
	return s.scratch.newTemp(id, "d")
}

func (s *session) hasScratch() (Dir, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.scratch, s.scratch != ""
}

func (s *session) removeScratch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.scratch != "" {
		os.RemoveAll(string(s.scratch))
	}
}
