package planner

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Widths of the two columns of a side-by-side listing, in characters.
const (
	userWidth  = 56
	givenWidth = 84
)

// writeSideBySide writes the user's file. Beside each line that differs, it writes the line that BuildKit's converter
// gets.
func (p *Plan) writeSideBySide(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "\nThe file, and what BuildKit's converter is given where that differs:\n\n")
	user, given := strings.Split(p.user, "\n"), strings.Split(p.Dockerfile, "\n")
	width := 0
	for _, line := range user {
		width = max(width, min(utf8.RuneCountInString(line), userWidth))
	}
	for i, line := range user {
		if i == len(user)-1 && line == "" {
			break
		}
		left, right := wrap(line, width), []string(nil)
		if i < len(given) && given[i] != line {
			right = wrap(given[i], givenWidth)
		}
		for k := range max(len(left), len(right)) {
			number := ""
			if k == 0 {
				number = fmt.Sprint(i + 1)
			}
			text := fmt.Sprintf("%5s  %s | %s", number, pad(at(left, k), width), at(right, k))
			fmt.Fprintln(out, strings.TrimRight(text, " "))
		}
	}
	return out.Flush()
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}

// wrap breaks a line at spaces and after commas. If there are none, it breaks it anywhere.
func wrap(line string, width int) []string {
	runes := []rune(strings.TrimRight(strings.ReplaceAll(line, "\t", "    "), "\r"))
	var out []string
	for len(runes) > width && width > 0 {
		cut := width
		for i := width; i > width/2; i-- {
			if runes[i] == ' ' || runes[i] == ',' && i < width {
				cut = i
				if runes[i] == ',' {
					cut++
				}
				break
			}
		}
		out = append(out, string(runes[:cut]))
		runes = append([]rune("  "), []rune(strings.TrimLeft(string(runes[cut:]), " "))...)
	}
	return append(out, string(runes))
}
