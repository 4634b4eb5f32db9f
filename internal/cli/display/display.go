// Package display shows how far a command is: to people on a terminal by a few lines that change, in a log by a line now and
// then, and to programs by JSON. What it shows are names of modules, images and files, which others have chosen: no control
// character of theirs gets to a terminal.
package display

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/containerd/console"
)

// A Clock tells the time, and when something is to be shown again.
type Clock interface {
	Now() time.Time
	// Ticks returns a channel that gets the time again and again, until stop is called.
	Ticks(every time.Duration) (ticks <-chan time.Time, stop func())
}

// System is the clock of this machine.
type System struct{}

// Now implements Clock.
func (System) Now() time.Time { return time.Now() }

// Ticks implements Clock.
func (System) Ticks(every time.Duration) (<-chan time.Time, func()) {
	t := time.NewTicker(every)
	return t.C, t.Stop
}

// A Display shows the steps of a command, one after the other. Several goroutines may call its methods at the same time.
type Display struct {
	clock  Clock
	closed chan struct{}
	ended  chan struct{} // when nothing is shown by itself any more

	mu   sync.Mutex
	view view
	step *step // nil between steps
	said map[string]bool
}

// A view is how progress is shown.
type view interface {
	begin(s *step)
	tick(s *step, now time.Time) // is called from time to time
	end(s *step, now time.Time)
	say(k kind, text string, now time.Time)
}

// A kind is what a text is about.
type kind string

const (
	warning kind = "warning"
	note    kind = "note"
	miss    kind = "miss" // something that was asked for and isn't there
)

// New returns a display that writes to f. The modes are docker's: "plain", "tty" and "json" for a line now and then, lines that
// change, and JSON; "quiet" and "none" for warnings alone; "auto" for tty where f is a terminal, and plain elsewhere. No
// escape code is written if TERM is dumb, or NO_COLOR is set in env. The caller closes the display.
func New(f *os.File, mode string, env map[string]string, clock Clock) (*Display, error) {
	d := &Display{clock: clock, closed: make(chan struct{}), ended: make(chan struct{}), said: map[string]bool{}}
	screen, err := console.ConsoleFromFile(f)
	changes := err == nil && env["TERM"] != "dumb" && env["NO_COLOR"] == ""
	every := time.Second
	switch {
	case mode == "tty" && err != nil:
		return nil, errors.New("--progress tty: standard error is no terminal: leave the flag out, or say plain")
	case changes && (mode == "tty" || mode == "auto"):
		d.view, every = &terminal{w: f, size: screen.Size}, 100*time.Millisecond
	case mode == "tty" || mode == "auto" || mode == "plain":
		d.view = &plain{w: f}
	case mode == "json":
		d.view = newLines(f)
	case mode == "quiet" || mode == "none":
		d.view = &plain{w: f, quiet: true}
	default:
		return nil, fmt.Errorf("--progress %q: one of auto, json, none, plain, quiet, tty", mode)
	}
	ticks, stop := clock.Ticks(every)
	go func() {
		defer close(d.ended)
		defer stop()
		for {
			select {
			case <-d.closed:
				return
			case <-ticks:
				d.tick()
			}
		}
	}()
	return d, nil
}

func (d *Display) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.step != nil {
		d.view.tick(d.step, d.clock.Now())
	}
}

// Begin says that a step begins, and how many items and bytes it has; 0 if nobody knows. It ends the step before.
func (d *Display) Begin(name string, items int, bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endStep()
	d.step = &step{name: name, began: d.clock.Now(), total: items, totalBytes: bytes}
	d.view.begin(d.step)
}

// End says that the step is over: nothing of it is shown until another begins.
func (d *Display) End() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endStep()
}

func (d *Display) endStep() {
	if d.step != nil {
		d.view.end(d.step, d.clock.Now())
		d.step = nil
	}
}

// Close ends the step, and removes what can't stay on a terminal.
func (d *Display) Close() {
	d.End()
	close(d.closed)
	<-d.ended
}

// At says how many bytes of an item are done, of how many; 0 if nobody knows.
func (d *Display) At(item string, bytes, of int64) {
	d.update(func(s *step) { s.at(item, bytes, of) })
}

// Done says that nothing is left to do of an item, and how many bytes it had.
func (d *Display) Done(item string, bytes int64) {
	d.update(func(s *step) { s.finish(item, bytes) })
}

// maxMisses bounds how many items are told that aren't there. Who asks may ask for anything.
const maxMisses = 1000

// Miss says that an item isn't there. The first time it is told, too, if there are not too many.
func (d *Display) Miss(item string) {
	d.update(func(s *step) { s.missed++ })
	d.mu.Lock()
	defer d.mu.Unlock()
	if n := len(d.said); d.said[item] || n > maxMisses {
		return
	} else if n == maxMisses {
		item = "others, which are counted from now on"
	}
	d.said[item] = true
	d.view.say(miss, printable(item), d.clock.Now())
}

func (d *Display) update(change func(*step)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.step != nil {
		d.step.changed = true
		change(d.step)
	}
}

// Warn shows a warning, which stays.
func (d *Display) Warn(text string) { d.say(warning, text) }

// Note shows a text, which stays.
func (d *Display) Note(text string) { d.say(note, text) }

// Write shows a text as a note, in one line: what a client sends may be in it. A logger may write to the display.
func (d *Display) Write(p []byte) (int, error) {
	d.say(note, string(p))
	return len(p), nil
}

func (d *Display) say(k kind, text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.view.say(k, printable(text), d.clock.Now())
}

// A step is what a command does at the moment.
type step struct {
	name       string
	began      time.Time
	items      int // that are done
	total      int // 0 if nobody knows
	bytes      int64
	totalBytes int64 // 0 if nobody knows
	missed     int
	inHand     []inHand // those of which something is done, the one that has taken longest first
	last       string   // the item that was done last
	changed    bool     // since the view has shown it; the view resets it
}

// inHand is an item of which something is done.
type inHand struct {
	item      string
	bytes, of int64
}

func (s *step) find(item string) int {
	return slices.IndexFunc(s.inHand, func(h inHand) bool { return h.item == item })
}

func (s *step) at(item string, bytes, of int64) {
	if i := s.find(item); i >= 0 {
		s.inHand[i] = inHand{item, bytes, of}
		return
	}
	s.inHand = append(s.inHand, inHand{item, bytes, of})
}

func (s *step) finish(item string, bytes int64) {
	if i := s.find(item); i >= 0 {
		s.inHand = slices.Delete(s.inHand, i, i+1)
	}
	s.items++
	s.bytes += bytes
	s.last = item
}

// allBytes are the bytes of what is done, and what is done of the rest.
func (s *step) allBytes() int64 {
	n := s.bytes
	for _, h := range s.inHand {
		n += h.bytes
	}
	return n
}
