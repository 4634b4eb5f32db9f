package planner

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// A CgoCopy is a COPY that brings the output of GO lines with cgo into the image. The programs may need a loader and
// libraries. Whether the image has these is only known when it is built.
type CgoCopy struct {
	Path     string // in the image: a file or a folder
	Location []parser.Range
}

// noteCgo notes a COPY from a stage that has programs made by cgo. If the lint rule is skipped for that COPY, the
// program gets its libraries elsewhere: from a volume, or from the runtime.
func (w *planner) noteCgo(s *scope, cmd instructions.Command) {
	c, ok := cmd.(*instructions.CopyCommand)
	if !ok || c.From == "" {
		return
	}
	from := w.stageNamed(c.From, true)
	if from == nil || !from.byCgo {
		return
	}
	s.byCgo = true
	if _, skipped := w.lint.WithMergedConfigFromComments(c.Comments()).SkippedRules[ruleCgo.Name]; skipped {
		return
	}
	dest := s.abs(s.expand(w.lex, c.DestPath))
	if strings.Contains(c.DestPath, "$") && !s.known && !s.fromScratch {
		dest = "/" // it may be in the environment of the base, which isn't known
	}
	s.cgoCopies = append(s.cgoCopies, CgoCopy{Path: dest, Location: c.Location()})
}

// target returns the stage that is built.
func (w *planner) target() *scope {
	if i := slices.IndexFunc(w.scopes, func(s *scope) bool { return s.name != "" && strings.EqualFold(s.name, w.Target) }); i >= 0 {
		return w.scopes[i]
	}
	if n, err := strconv.Atoi(w.Target); err == nil && n >= 0 && n < len(w.scopes) {
		return w.scopes[n]
	}
	return w.scopes[len(w.scopes)-1]
}
