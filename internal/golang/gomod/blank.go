package gomod

import (
	"bytes"

	"golang.org/x/mod/modfile"
)

// IsBlank reports whether a go.mod says nothing. Such a file is a known way to keep a folder out of the module above it:
// it is no module that anything could be built of.
func IsBlank(data []byte) bool {
	if bytes.Contains(data, []byte("module")) && modfile.ModulePath(data) != "" {
		return false
	}
	mod, err := modfile.ParseLax("go.mod", data, nil)
	return err == nil && len(mod.Syntax.Stmt) == comments(mod.Syntax)
}

// comments counts the statements that are comments alone.
func comments(file *modfile.FileSyntax) (n int) {
	for _, stmt := range file.Stmt {
		if _, ok := stmt.(*modfile.CommentBlock); ok {
			n++
		}
	}
	return n
}
