package gowords

import (
	"fmt"
	"slices"
	"strings"
)

// Flags splits a text of GOFLAGS. It refuses flags that would change what is built without being seen.
func Flags(text string) (words []string, err error) {
	words, err = Quoted(text)
	if err != nil {
		return nil, err
	}
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		if strings.HasPrefix(name, "--") {
			name = name[1:] // the go command takes two dashes for one
		}
		if slices.Contains([]string{"-modfile", "-overlay", "-toolexec", "-exec"}, name) || name == "-mod" && value == "mod" {
			return nil, fmt.Errorf("%s is refused there, as it changes what is built out of sight: write it on the GO line itself", w)
		}
	}
	return words, nil
}

// Quoted splits a list that the go command takes in one variable. Words are separated by white space, and a word may be
// quoted as a whole. There are no escapes.
func Quoted(s string) (words []string, err error) {
	const space = " \t\n\r"
	for s = strings.TrimLeft(s, space); s != ""; s = strings.TrimLeft(s, space) {
		var word string
		if quote := s[:1]; quote == `"` || quote == "'" {
			var ok bool
			if word, s, ok = strings.Cut(s[1:], quote); !ok {
				return nil, fmt.Errorf("unterminated %s string", quote)
			}
		} else {
			end := strings.IndexAny(s, space)
			if end < 0 {
				end = len(s)
			}
			word, s = s[:end], s[end:]
		}
		words = append(words, word)
	}
	return words, nil
}
