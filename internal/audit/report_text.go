package audit

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteText writes each finding as a line, in the form of a compiler's messages: FILE:LINE: SEVERITY: [RULE] MESSAGE;
// DO. For a program of an image, IMAGE PLATFORM FILE stands in the place of FILE:LINE. A last line counts the findings.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	count := map[Severity]int{}
	for _, f := range r.Findings {
		count[f.Severity]++
		if at := f.where(); at != "" {
			fmt.Fprintf(b, "%s: ", visible(at))
		}
		fmt.Fprintf(b, "%s: [%s] %s", f.Severity, f.Rule, visible(f.Message))
		if f.Do != "" {
			fmt.Fprintf(b, "; %s", visible(f.Do))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "%s: %s, %s, %s\n", number(len(r.Modules), "module version"),
		number(count[Error], "error"), number(count[Warning], "warning"), number(count[Note], "note"))
	return b.Flush()
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// visible replaces characters that would control a terminal.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
