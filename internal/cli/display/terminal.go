package display

import (
	"io"
	"strings"
	"time"

	"github.com/containerd/console"
)

// maxInHand is how many items are shown on a terminal below the line of the step.
const maxInHand = 3

// terminal shows a step by a few lines that change, and that are gone afterwards.
type terminal struct {
	w     io.Writer
	size  func() (console.WinSize, error)
	drawn int // lines, the last of which has the cursor
}

// These are the escape codes that are used: ECMA-48 has them.
const (
	lineUp    = "\x1b[A"
	eraseLine = "\x1b[K" // from the cursor on
)

func (t *terminal) begin(*step) {} // the next tick is soon

func (t *terminal) tick(s *step, now time.Time) {
	columns, rows := t.room()
	list := []string{s.summary(now)}
	for _, h := range s.inHand[:min(len(s.inHand), maxInHand)] {
		list = append(list, "  "+h.summary())
	}
	if len(list) == 1 && s.last != "" {
		list = append(list, "  "+printable(s.last))
	}
	_, _ = io.WriteString(t.w, t.draw(list[:min(len(list), rows)], columns))
}

// draw puts lines in the place of those that are drawn.
func (t *terminal) draw(list []string, columns int) string {
	var b strings.Builder
	if t.drawn > 0 {
		b.WriteString("\r" + strings.Repeat(lineUp, t.drawn-1))
	}
	n := max(len(list), t.drawn)
	for i := range n {
		if i > 0 {
			b.WriteString("\n")
		}
		if i < len(list) {
			b.WriteString(fit(list[i], columns))
		}
		b.WriteString(eraseLine)
	}
	t.drawn = len(list)
	b.WriteString(strings.Repeat(lineUp, n-max(t.drawn, 1)))
	return b.String()
}

// room returns how many columns and rows may be used. The last column stays free, as some terminals go on to the next line
// there, and a row for what comes next.
func (t *terminal) room() (columns, rows int) {
	size, err := t.size()
	if err != nil || size.Width == 0 || size.Height == 0 { // nobody has told the terminal, as on some serial lines
		return 79, 1 + maxInHand
	}
	return max(int(size.Width)-1, 1), max(int(size.Height)-1, 1)
}

// erase removes the lines. The cursor is then where they began.
func (t *terminal) erase() string {
	if t.drawn == 0 {
		return ""
	}
	return t.draw(nil, 0)
}

func (t *terminal) end(*step, time.Time) { _, _ = io.WriteString(t.w, t.erase()) }

// say leaves a text above the lines that change, which are drawn again soon. What isn't there is only counted.
func (t *terminal) say(k kind, text string, _ time.Time) {
	if k != miss {
		_, _ = io.WriteString(t.w, t.erase()+said(k, text)+"\n")
	}
}
