// Package texts has the program's texts. They are kept in texts.yaml; the code made of that isn't kept at all.
package texts

import (
	"maps"
	"slices"
)

//go:generate go tool gen texts.yaml texts_gen.go

// byLanguage has the texts of each language by their keys. Generated code fills it.
var byLanguage map[string]map[string]string

// Get returns a text, if the language has it.
func Get(language, key string) (string, bool) {
	text, ok := byLanguage[language][key]
	return text, ok
}

// Languages returns the languages there are.
func Languages() []string { return slices.Sorted(maps.Keys(byLanguage)) }
