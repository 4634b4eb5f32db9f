package planpage

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// show makes a text from outside fit to be read: it isn't too long, and characters that would hide or reorder what is
// beside them are written as their numbers.
func show(text string) string { return shorten(text, maxText) }

func shorten(text string, limit int) string {
	var b strings.Builder
	n := 0
	for _, r := range strings.ToValidUTF8(text, string(unicode.ReplacementChar)) {
		if n == limit {
			b.WriteRune('…')
			break
		}
		n++
		switch {
		case r == '\t':
			b.WriteString("    ")
		case r == '\n', r == ' ':
			b.WriteRune(r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, "\\u{%x}", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// count returns a number with the word for what is counted: "1 step", "2 steps".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// size returns a number of bytes for people.
func size(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1e6:
		return fmt.Sprintf("%.0f kB", float64(n)/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// age returns how long before now a time is, in the largest unit that fits.
func age(t, now time.Time) string {
	days := int(now.Sub(t).Hours() / 24)
	switch {
	case days < 0:
		return "in the future"
	case days < 60:
		return count(days, "day")
	case days < 730:
		return count(days/30, "month")
	}
	return count(days*100/36525, "year")
}
