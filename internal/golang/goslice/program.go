package goslice

import (
	"bytes"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
)

// IsProgram reports whether a package, as go/build has read it from a tree, is a command: package main with a function
// main. A package main that only holds tools for go generate has no such function. A file that can't be parsed may have
// one; the compiler will report it.
func IsProgram(tree fs.FS, p *build.Package) bool {
	if p == nil || p.Name != "main" {
		return false
	}
	if len(p.InvalidGoFiles) > 0 {
		return true
	}
	return slices.ContainsFunc(slices.Concat(p.GoFiles, p.CgoFiles), func(name string) bool {
		return hasMain(tree, path.Join(p.Dir, name))
	})
}

func hasMain(tree fs.FS, file string) bool {
	data, err := fs.ReadFile(tree, file)
	if err != nil {
		return true // the compiler says why
	}
	if !bytes.Contains(data, []byte("main")) || !bytes.Contains(data, []byte("func")) {
		return false
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, data, parser.SkipObjectResolution)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(parsed.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Recv == nil && f.Name.Name == "main"
	})
}
