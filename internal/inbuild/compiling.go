package inbuild

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// A packageCounter reads what a go command with -v writes to standard error: the names of the packages that it compiles, which it
// counts, and messages, which it passes on.
type packageCounter struct {
	messages io.Writer

	mu    sync.Mutex
	count int
	rest  []byte // of a line whose end is yet to come
}

// packageName matches a line that is a name, and no message: these have spaces, or begin with a number sign.
var packageName = regexp.MustCompile(`^[^\s#:]+$`)

// Write implements io.Writer.
func (c *packageCounter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest = append(c.rest, p...)
	for {
		end := bytes.IndexByte(c.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		line := c.rest[:end+1]
		if packageName.Match(line[:end]) {
			c.count++
		} else if _, err := c.messages.Write(line); err != nil {
			return 0, err
		}
		c.rest = c.rest[end+1:]
	}
}

// flush passes on a message without an end of line.
func (c *packageCounter) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.messages.Write(c.rest)
	c.rest = nil
	return err
}

// tell says how many packages were compiled, of how many: the text all has a line for each.
func (c *packageCounter) tell(to io.Writer, all string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := ""
	if n := strings.Count(all, "\n"); n > 0 {
		of = fmt.Sprintf(" of %d", n)
	}
	fmt.Fprintf(to, "compiled %d%s packages\n", c.count, of)
}

// report tells every few seconds, until the returned function is called. The function list lists the packages that are needed;
// it isn't called for what takes no time.
func (c *packageCounter) report(to io.Writer, list func() string) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		all := sync.OnceValue(list)
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				c.tell(to, all())
			}
		}
	})
	return func() { close(done); wg.Wait() }
}
