package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/console"
	"github.com/docker/go-units"
)

// A tally shows how many items and bytes are done. On a terminal it changes one line; elsewhere it prints a line from
// time to time.
type tally struct {
	w    io.Writer
	verb string
	tty  bool
	none bool

	mu    sync.Mutex
	items int
	bytes int64
	last  time.Time
}

// plainEvery is the time between two lines where there is no terminal.
const plainEvery = 5 * time.Second

// tally returns a tally in the mode that --progress names.
func (c *command) tally(mode, verb string) (*tally, error) {
	t := &tally{w: c.stderr, verb: verb, last: time.Now()}
	_, err := console.ConsoleFromFile(c.stderr)
	switch mode {
	case "auto":
		t.tty = err == nil
	case "tty":
		t.tty = true
	case "none":
		t.none = true
	case "plain":
	default:
		return nil, fmt.Errorf(`--progress %q: one of auto, none, plain, tty`, mode)
	}
	return t, nil
}

// add counts an item. Several goroutines may call it.
func (t *tally) add(what string, bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items++
	t.bytes += bytes
	now := time.Now()
	switch {
	case t.none:
	case t.tty && now.Sub(t.last) > 100*time.Millisecond:
		fmt.Fprintf(t.w, "\r\x1b[K%s", t.text(what))
		t.last = now
	case !t.tty && now.Sub(t.last) > plainEvery:
		fmt.Fprintln(t.w, t.text(what))
		t.last = now
	}
}

func (t *tally) text(what string) string {
	return fmt.Sprintf("%s %d items, %s: %s", t.verb, t.items, units.HumanSize(float64(t.bytes)), what)
}

// stop clears the line on a terminal.
func (t *tally) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tty {
		fmt.Fprint(t.w, "\r\x1b[K")
	}
}
