package planner

import (
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// A CgoCopy is a COPY that brings what GO lines built with cgo into the image: programs that may need a loader and
// libraries, which the image has or lacks only once it is built.
type CgoCopy struct {
	Path     string // in the image: a file or a folder
	Location []parser.Range
}

// noteCgo notes what a COPY brings from a stage that has programs made by cgo. A rule that is skipped for a line says that
// its program gets its libraries elsewhere: by a volume, or from the runtime.
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
