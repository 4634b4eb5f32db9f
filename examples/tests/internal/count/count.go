// Package count counts words.
package count

import (
	"bufio"
	"cmp"
	"io"
	"slices"
	"strings"
	"unicode"
)

// A Word is a word and how often it was seen.
type Word struct {
	Text  string
	Count int
}

// Words returns the words of a text in lower case, the most frequent first, equally frequent ones by the alphabet.
func Words(r io.Reader) ([]Word, error) {
	seen := map[string]int{}
	scanner := bufio.NewScanner(r)
	scanner.Split(bufio.ScanWords)
	for scanner.Scan() {
		text := strings.ToLower(strings.TrimFunc(scanner.Text(), func(r rune) bool { return !unicode.IsLetter(r) }))
		if text != "" {
			seen[text]++
		}
	}
	var words []Word
	for text, n := range seen {
		words = append(words, Word{text, n})
	}
	slices.SortFunc(words, func(a, b Word) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Text, b.Text))
	})
	return words, scanner.Err()
}
