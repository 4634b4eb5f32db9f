package gomod

import (
	"bytes"

	"golang.org/x/mod/modfile"
)

// IsBlank reports whether a go.mod has no statement. People put such a file into a folder to keep it out of the module
// above it: nothing can be built from it as a module.
func IsBlank(data []byte) bool {
	if bytes.Contains(data, []byte("module")) && modfile.ModulePath(data) != "" {
		return false
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	return err == nil && len(mod.Syntax.Stmt) == comments(mod.Syntax)
}

// comments counts the statements that are only comments.
func comments(file *modfile.FileSyntax) (n int) {
	for _, stmt := range file.Stmt {
		if _, ok := stmt.(*modfile.CommentBlock); ok {
			n++
		}
	}
	return n
}
