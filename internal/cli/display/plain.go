package display

import (
	"fmt"
	"io"
	"time"
)

// between is the least time between two lines about one step. What takes long is told of ever more rarely: a tenth of the time
// that it has taken, at least.
const between = 5 * time.Second

// plain writes a line when a step ends in which something was to do, and now and then if it takes long.
type plain struct {
	w     io.Writer
	quiet bool      // only warnings and notes
	last  time.Time // when a line about the step was written, or it began
}

func (p *plain) begin(s *step) { p.last = s.began }

func (p *plain) tick(s *step, now time.Time) {
	if p.quiet || !s.changed || now.Sub(p.last) < max(between, now.Sub(s.began)/10) {
		return
	}
	p.last, s.changed = now, false
	fmt.Fprintln(p.w, s.summary(now))
}

func (p *plain) end(s *step, now time.Time) {
	if !p.quiet && s.items+s.total+s.missed > 0 {
		fmt.Fprintln(p.w, s.summary(now))
	}
}

func (p *plain) say(k kind, text string, _ time.Time) {
	if !p.quiet || k != miss {
		fmt.Fprintln(p.w, said(k, text))
	}
}

// said is a text as people read it.
func said(k kind, text string) string {
	switch k {
	case warning:
		return "WARNING: " + text
	case miss:
		return "not there: " + text
	}
	return text
}
