package display

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/docker/go-units"
)

// summary says in one line how far a step is.
func (s *step) summary(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %d", printable(s.name), s.items)
	if s.total > 0 {
		fmt.Fprintf(&b, " of %d", s.total)
	}
	if n := s.allBytes(); n > 0 || s.totalBytes > 0 {
		b.WriteString(", " + amount(n, s.totalBytes))
	}
	if s.missed > 0 {
		fmt.Fprintf(&b, ", %d not there", s.missed)
	}
	b.WriteString(", " + elapsed(now.Sub(s.began)))
	return b.String()
}

func (h inHand) summary() string {
	if h.bytes == 0 && h.of == 0 {
		return printable(h.item)
	}
	return printable(h.item) + " " + amount(h.bytes, h.of)
}

func amount(bytes, of int64) string {
	if of > 0 {
		return units.HumanSize(float64(bytes)) + " of " + units.HumanSize(float64(of))
	}
	return units.HumanSize(float64(bytes))
}

// elapsed shows a time as people say it.
func elapsed(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// maxText is how many bytes of a text are shown.
const maxText = 4096

// printable returns a text as one line without control characters, such as those that move the cursor, colour what follows,
// or turn the direction of writing. What isn't UTF-8 is none of them.
func printable(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "..."
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return unicode.ReplacementChar
	}, text))
}

// fit cuts a printable text so that a terminal shows it on one line of so many columns. A character that isn't ASCII counts
// for two: some of them are that wide.
func fit(text string, columns int) string {
	const dots = "..."
	width, cut := 0, 0 // cut: where the text ends that leaves room for the dots
	for i, r := range text {
		if width+len(dots) <= columns {
			cut = i
		}
		if width++; r >= 0x80 {
			width++
		}
		if width > columns {
			return text[:cut] + dots[:min(len(dots), max(columns, 0))]
		}
	}
	return text
}
