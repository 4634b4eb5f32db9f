package testjson

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Clipped is a text that loses its middle if it becomes longer than a limit. A test may print without end; its start
// shows what it does, and its end shows why it failed.
type Clipped struct {
	Limit int // bytes; none are kept if it is 0

	head, tail []byte
	cut        int
}

// WriteString adds to the text.
func (c *Clipped) WriteString(s string) {
	half := c.Limit / 2
	if free := half - len(c.head); free > 0 && c.cut == 0 && len(c.tail) == 0 {
		n := min(free, len(s))
		c.head = append(c.head, s[:n]...)
		s = s[n:]
	}
	c.tail = append(c.tail, s...)
	if len(c.tail) > 2*half {
		drop := len(c.tail) - half
		c.cut += drop
		c.tail = append(c.tail[:0], c.tail[drop:]...)
	}
}

// Len returns the number of bytes that are kept.
func (c *Clipped) Len() int { return len(c.head) + len(c.tail) }

// String returns the text. What isn't UTF-8 in it stays as it is.
func (c *Clipped) String() string {
	if c.cut == 0 {
		return string(c.head) + string(c.tail)
	}
	var b strings.Builder
	b.Write(c.head)
	fmt.Fprintf(&b, "\n… %d bytes left out …\n", c.cut)
	b.Write(c.tail)
	return b.String()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
