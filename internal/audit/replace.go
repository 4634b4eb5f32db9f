package audit

import (
	"fmt"

	"golang.org/x/mod/modfile"
)

// replacements finds replace and use lines that leave a tree, so that the tree alone can't be built. It also finds
// modules that are replaced by others.
func replacements(units []*unit) []Finding {
	var out []Finding
	for _, u := range units {
		if u.work != nil {
			for _, use := range u.work.Use {
				if leaves(u.dir, use.Path) {
					out = append(out, Finding{Rule: RuleReplaceOutside, Severity: Error, File: u.file, Line: use.Syntax.Start.Line,
						Message: fmt.Sprintf("use %s leaves the tree, so that another machine can't build it", use.Path),
						Do:      "move that module into the tree, or audit a folder that holds both"})
				}
			}
			out = append(out, replaced(u.file, u.dir, u.work.Replace)...)
		}
		for _, s := range u.services {
			out = append(out, replaced(s.file, s.dir, s.mod.Replace)...)
		}
	}
	return out
}

func replaced(file, dir string, lines []*modfile.Replace) []Finding {
	var out []Finding
	for _, r := range lines {
		f := Finding{File: file, Line: r.Syntax.Start.Line, Module: r.Old.Path, Version: r.Old.Version}
		switch {
		case r.New.Version != "" && r.New.Path != r.Old.Path:
			f.Rule, f.Severity = RuleReplaceFork, Note
			f.Message = fmt.Sprintf("%s takes the place of %s", r.New, r.Old.Path)
			f.Do = "see to its updates yourself: those of the original don't come"
		case r.New.Version == "" && leaves(dir, r.New.Path):
			f.Rule, f.Severity = RuleReplaceOutside, Error
			f.Message = fmt.Sprintf("%s is replaced by %s, which leaves the tree, so that another machine can't build it", r.Old.Path, r.New.Path)
			f.Do = "require a released version, move the folder into the tree, or audit a folder that holds both"
		default:
			continue
		}
		out = append(out, f)
	}
	return out
}
