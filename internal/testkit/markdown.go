package testkit

import "regexp"

// Blocks returns the fenced blocks of a language in a Markdown text, without the fences.
func Blocks(text, language string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?s)```"+regexp.QuoteMeta(language)+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}
