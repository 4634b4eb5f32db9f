package planner

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner/shellgo"
	"github.com/larder-build/larder/internal/expand"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// A runLine is a RUN instruction while it is planned.
type runLine struct {
	node   *parser.Node
	cmd    *instructions.RunCommand
	stage  int
	scope  *scope // of the stage before it
	joined dockerfile.LogicalLine
	mounts []dockerfile.Mount // its own, but for Larder's
	flags  []string
	added  []string // flags to put in front
	edits  []dockerfile.Edit
	what   []string // what they are for

	script shellgo.Script
	known  bool // the script can be read

	network   string // as --network has it, or ""
	asked     bool   // it asks for a mount of Larder's by name
	asksCache bool

	uses, downloads []shellgo.Call      // what its calls of go do: see classify
	needs           []moduleNeed        // of these
	modules         map[string]*Modules // what they are given, by where it is mounted
	left            string              // why it is left as it is; "" if it isn't, or calls nothing that uses modules
	exposed         bool                // that is for what comes after it
	filled          bool                // the stage before it has a module cache that is not to be covered
	elsewhere       bool                // it is for a module that isn't known to be the build context's
}

// run plans a RUN instruction without those that follow. It plans the mounts that the RUN asks for, and considers
// whether it could get any.
func (w *planner) run(s *scope, cmd *instructions.RunCommand) error {
	n := w.File.Nodes[cmd.Location()[0].Start.Line]
	j, ok := w.File.Join(n)
	r := &runLine{node: n, cmd: cmd, stage: s.index, scope: s.clone(), joined: j, flags: n.Flags}
	w.runs[n.StartLine] = r
	if !ok {
		s.noteRun(w.lex, r)
		return nil // not as BuildKit reads it: then it isn't ours to change
	}
	if err := w.readFlags(s, r); err != nil {
		return err
	}
	if r.script, r.known = scriptOf(r, s.shell); r.known {
		s.noteGoEnv(r.script)
		w.lintRun(s, r)
		if err := w.consider(r); err != nil {
			return err
		}
		s.ownSecrets = r.scope.ownSecrets
	}
	s.noteRun(w.lex, r)
	return nil
}

// finish adds the edits of a RUN to the plan.
func (w *planner) finish(r *runLine) {
	if len(r.added) > 0 {
		end := r.joined.KeywordEnd()
		r.edits = append(r.edits, dockerfile.Edit{Start: end, End: end, Text: " " + strings.Join(r.added, " ")})
	}
	if len(r.edits) > 0 {
		done := w.rewrote(r.node, strings.Join(r.what, ", "), r.edits...)
		done.Runs, done.Network = true, r.network != instructions.NetworkNone && !w.offline()
		done.Injected = len(r.added) > 0
	}
}

// change adds an edit, and what it is for.
func (r *runLine) change(what string, edits ...dockerfile.Edit) {
	r.edits = append(r.edits, edits...)
	r.what = append(r.what, what)
}

// text returns the instruction's text with its here-documents.
func (r *runLine) text() string {
	var b strings.Builder
	b.WriteString(r.node.Original)
	for _, doc := range r.node.Heredocs {
		b.WriteString("\n" + doc.Content)
	}
	return b.String()
}

// noteRun notes the folders of a stage in which a RUN may have changed modules.
func (s *scope) noteRun(lex *expand.Lex, r *runLine) {
	s.noteTools(r)
	line := r.node.StartLine
	note := func(dir, what string) {
		s.copies = append(s.copies, folderCopy{dest: dir, why: fmt.Sprintf("%s in line %d", what, line)})
	}
	if !r.known || writesToMod.MatchString(r.text()) {
		note("/", "RUN")
		return
	}
	for _, c := range r.script.Calls {
		if changesModule(c) {
			note("/", "go "+words(c))
		}
	}
	flags, _, known := s.value(nil, "GOFLAGS")
	if len(r.script.Calls) > 0 && (!known || strings.Contains(flags, "-mod=mod")) {
		note("/", "go with GOFLAGS="+flags)
	}
	p := pathReader{lex, r.scope}
	for _, c := range r.script.Commands {
		for _, dir := range p.changes(c) {
			note(dir, c.Name)
		}
	}
}

// readFlags reads a RUN's flags, and rewrites Larder's own mounts.
func (w *planner) readFlags(s *scope, r *runLine) error {
	spans := r.joined.Flags(w.File.Escape)
	for i, flag := range r.flags {
		if v, ok := strings.CutPrefix(flag, "--network="); ok {
			r.network = v
		}
		value, ok := strings.CutPrefix(flag, "--mount=")
		if !ok {
			continue
		}
		m, err := dockerfile.ParseMount(value)
		m.Source, m.Target, m.ID = s.expand(w.lex, m.Source), s.expand(w.lex, m.Target), s.expand(w.lex, m.ID)
		if err != nil {
			if !strings.Contains(value, "type=go") {
				continue // BuildKit's converter says it
			}
			return parser.WithLocation(fmt.Errorf("RUN --mount=%s: %w", value, err), w.File.Find(r.node, value))
		}
		if m.Kind != dockerfile.KindModules && m.Kind != dockerfile.KindCompileCache {
			r.mounts = append(r.mounts, m)
			if from := w.stageNamed(m.From, true); from != nil && m.From != "" {
				w.taken = append(w.taken, stagePath{from.index, takenPath(m.Source), fmt.Sprintf("RUN in line %d", r.node.StartLine)})
			}
			continue
		}
		text, err := w.ownMount(s, r, m)
		if err != nil {
			return parser.WithLocation(fmt.Errorf("RUN --mount=%s: %w", value, err), w.File.Find(r.node, value))
		}
		if i >= len(spans) {
			return w.File.ErrorAt(r.node, value, "RUN --mount="+value+": the flag can't be found in the line: write it without quotes")
		}
		from, to, ok := r.joined.Place(spans[i].Start, spans[i].End)
		if !ok {
			return w.File.ErrorAt(r.node, "--mount", "RUN --mount="+value+": write the flag on one line")
		}
		r.change("--mount=type="+m.Kind, dockerfile.Edit{Start: from, End: to, Text: text})
	}
	return nil
}

// ownMount returns a mount of Larder's as one that BuildKit knows.
func (w *planner) ownMount(s *scope, r *runLine, m dockerfile.Mount) (string, error) {
	module := "."
	if m.Module != "" {
		module = path.Clean(m.Module)
	}
	if m.Kind == dockerfile.KindCompileCache {
		r.asksCache = true
		target := m.Target
		if target == "" {
			var ok bool
			if target, ok = s.goCache(nil); !ok {
				return "", errors.New("where the stage's GOCACHE is isn't known: name it with target=DIR")
			}
		}
		id := m.ID
		if id == "" {
			id = cacheName("larder-run", w.plan.Module, s)
		}
		return w.quoteFlag("--mount=" + cacheMount(s, target, id)), nil
	}
	r.asked = true
	src, err := w.source(s, r.node, m.From, module)
	if err != nil {
		return "", err
	}
	mod, err := readModule(src.tree, src.dir, w.workOff(s))
	if errors.Is(err, ErrNoModule) {
		return "", fmt.Errorf("there is no %s: name a folder that holds one with module=DIR", path.Join(src.dir, "go.mod"))
	} else if err != nil {
		return "", err
	}
	mods, err := w.needModules([]gotree.Module{mod}, s, &shellgo.Call{})
	if err != nil {
		return "", err
	}
	target := m.Target
	if target == "" {
		var ok bool
		if target, ok = s.goModCache(nil); !ok {
			return "", errors.New("where the stage's GOMODCACHE is isn't known: name it with target=DIR")
		}
	}
	if mods == nil { // a vendored module, or one that needs no others
		return w.quoteFlag("--mount=type=tmpfs,target=" + target), nil
	}
	return w.quoteFlag("--mount=type=bind,from=" + mods.Context + ",target=" + target), nil
}

// scriptOf reads the script of a RUN instruction. The bool is false if the shell isn't like sh, or if sh can't read the
// script.
func scriptOf(r *runLine, shell []string) (shellgo.Script, bool) {
	cmd := r.cmd
	if !cmd.PrependShell {
		return shellgo.Exec(cmd.CmdLine), true
	}
	posix, ok := shellKind(shell)
	if !ok || len(cmd.CmdLine) != 1 {
		return shellgo.Script{}, false
	}
	source := cmd.CmdLine[0]
	if len(cmd.Files) > 0 {
		if parser.MustParseHeredoc(source) != nil {
			source = cmd.Files[0].Data
			if cmd.Files[0].Chomp {
				source = parser.ChompHeredocContent(source)
			}
			if first, _, _ := strings.Cut(source, "\n"); strings.HasPrefix(first, "#!") {
				if posix, ok = shellKind(strings.Fields(first[2:])); !ok {
					return shellgo.Script{}, false
				}
			}
		} else {
			var b strings.Builder
			b.WriteString(source)
			for _, file := range cmd.Files {
				b.WriteString("\n" + file.Data + file.Name)
			}
			source = b.String()
		}
	}
	script, err := shellgo.Parse(source, posix)
	return script, err == nil
}

// shellKind reports whether a SHELL reads the language of sh (ok), and whether it is sh itself and not bash (posix). No
// SHELL stands for BuildKit's default, /bin/sh.
func shellKind(shell []string) (posix, ok bool) {
	if len(shell) == 0 {
		return true, true
	}
	name := path.Base(shell[0])
	if name == "env" && len(shell) > 1 {
		name = path.Base(shell[1])
	}
	switch name {
	case "bash":
		return false, true
	case "sh", "ash", "dash", "busybox":
		return true, true
	}
	return false, false
}

// sourceAt returns the offsets in the file of a part of the script, if the part is on one line there.
func sourceAt(f dockerfile.File, r *runLine, start, end int) (from, to int, ok bool) {
	text := r.cmd.CmdLine[0]
	if len(r.cmd.Files) > 0 && parser.MustParseHeredoc(text) != nil {
		if r.cmd.Files[0].Chomp {
			return 0, 0, false
		}
		body, _ := f.Line(f.LineOf(r.joined.Pos[len(r.joined.Pos)-1]) + 1)
		data := r.cmd.Files[0].Data
		if end > len(data) || !strings.HasPrefix(string(f.Data[body:]), data) || strings.Contains(data[start:end], "\n") {
			return 0, 0, false
		}
		return body + start, body + end, true
	}
	i := strings.LastIndex(r.joined.Text, text)
	if i < 0 || strings.TrimSpace(r.joined.Text[i+len(text):]) != "" || end > len(text) {
		return 0, 0, false
	}
	return r.joined.Place(i+start, i+end)
}
