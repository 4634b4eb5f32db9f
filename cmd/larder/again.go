package main

import (
	"os"
	"path"
	"path/filepath"
	"strings"
)

// again returns a function that builds the command for another folder of the build context, for the user to copy. It
// returns nil if the context isn't a folder.
func again(command, context string) func(folder string) string {
	if fi, err := os.Stat(context); err != nil || !fi.IsDir() {
		return nil
	}
	return func(folder string) string {
		return command + " " + shellWord(path.Join(filepath.ToSlash(context), folder))
	}
}

// shellWord quotes a word if a shell would change it.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+,:@%", r)
	}
	if strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
