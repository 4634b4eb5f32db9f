package plain

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"mvdan.cc/sh/v3/syntax"
)

// cacheMounts are the cache mounts of a RUN that calls go. Modules that aren't there are fetched, and packages are
// compiled.
const cacheMounts = "--mount=type=cache,target=" + step.ModCache + " --mount=type=cache,target=" + step.GoCache

// goLine writes a GO line as a RUN.
func (w *writer) goLine(s *stage, g *dockerfile.GoLine) error {
	line := g.Node.StartLine
	planned, source, err := w.plannedLine(line)
	if err != nil {
		return err
	}
	switch {
	case g.Cgo == "true":
		return w.failed(line, "GO --cgo: which C compiler is taken is Larder's choice: write RUN CGO_ENABLED=1 CC=… go %s", g.Words[0])
	case g.Libs != "":
		return w.failed(line, "GO --libs: Larder finds the libraries")
	case g.JUnit != "":
		return w.failed(line, "GO --junit: Larder writes the report: take --stdout with test -json, and a program that makes one of it")
	case planned.Commit != "":
		return w.failed(line, "GO %s -buildvcs: Larder answers what go asks git for: leave it out", g.Words[0])
	case s.user != "":
		return w.failed(line, "GO as the user %s: it could write no cache: put USER below it", s.user)
	}
	command, err := w.command(g)
	if err != nil {
		return err
	}
	var before []string
	if !s.goes && s.golang == "" {
		before = append(before, goArgs...)
	}
	if s.src != source {
		if place, at := s.hidden(); place != "" {
			return w.failed(line, "GO mounts its sources over %s, which line %d makes: use another folder", place, at)
		}
		if s.src != "" {
			return w.failed(line, "GO with --from and without, in one stage: the sources would be mixed: use a stage for each")
		}
		before = append(before, source)
		s.src = source
	}
	s.goes = true
	flags := []string{cacheMounts}
	if g.Network == "host" {
		flags = append(flags, "--network=host")
	}
	for _, m := range g.Mounts {
		flags = append(flags, "--mount="+m)
	}
	text := strings.Join(append(before, "RUN "+strings.Join(flags, " ")+" "+string(w.File.Escape)+"\n    "+w.shell(g, planned, command)), "\n")
	start, _ := w.File.Line(line)
	_, end := w.File.Line(g.Node.EndLine)
	w.edits = append(w.edits, dockerfile.Edit{Start: start, End: end, Text: text})
	return nil
}

// hidden returns a folder of the stage that the mount of GO's sources would hide, and the line that makes it.
func (s *stage) hidden() (place string, line int) {
	for place, line := range s.places {
		if clean := path.Clean(place); clean == step.Src || strings.HasPrefix(clean, step.Src+"/") {
			return place, line
		}
	}
	return "", 0
}

// plannedLine returns a GO line as it is planned, and the COPY that brings its sources.
func (w *writer) plannedLine(line int) (*step.GoLine, string, error) {
	n := w.planned.Nodes[line]
	var args []string
	if n != nil {
		_, text, ok := strings.Cut(n.Original, " [")
		if !ok || json.Unmarshal([]byte("["+text), &args) != nil {
			n = nil
		}
	}
	planned := &step.GoLine{Dir: step.Src}
	if n == nil || len(args) == 0 || step.Parse(planned, args[1:]) != nil {
		return nil, "", w.failed(line, "it isn't known what becomes of this line")
	}
	for _, flag := range n.Flags {
		value, ok := strings.CutPrefix(flag, "--mount=")
		m, err := dockerfile.ParseMount(value)
		if !ok || err != nil || path.Clean(m.Target) != step.Src {
			continue
		}
		if g := w.File.GoLines[line]; g.From != "" {
			return planned, fmt.Sprintf("COPY --from=%s %s/ %s/", m.From, strings.TrimSuffix(m.Source, "/"), step.Src), nil
		}
	}
	return planned, "COPY . " + step.Src + "/", nil
}

// shell returns the shell command of a GO line: go, in the environment that GO gives it.
func (w *writer) shell(g *dockerfile.GoLine, planned *step.GoLine, command string) string {
	goflags := []string{"-buildvcs=false", "-mod=readonly", "$GOFLAGS"}
	var more []string
	for _, kv := range planned.Env {
		k, v, _ := strings.Cut(kv, "=")
		switch {
		case k == "CGO_ENABLED" && g.Cgo != "": // the line itself has the last word
		case k == "GOFLAGS":
			goflags = append(goflags, strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(v))
		default:
			more = append(more, k+"="+quote(v))
		}
	}
	if planned.Vendor {
		goflags = append(goflags, "-mod=vendor")
	}
	work := "off"
	if planned.Work != "" {
		work = planned.Work
	}
	cgo := `"${CGO_ENABLED:-0}"`
	if g.Cgo == "false" {
		cgo = "0"
	}
	env := slices.Concat([]string{"GOENV=off", "GOTOOLCHAIN=local", "GOMODCACHE=" + step.ModCache, "GOCACHE=" + step.GoCache, "GOWORK=" + quote(work), "CGO_ENABLED=" + cgo, `GOFLAGS="` + strings.Join(goflags, " ") + `"`}, more)
	platform := `export GOOS="${GOOS:-$TARGETOS}" GOARCH="${GOARCH:-$TARGETARCH}"`
	if runsItsOutput(g) {
		platform = `if [ "$GOOS/$GOARCH" = "$TARGETOS/$TARGETARCH" ]; then unset GOOS GOARCH; fi`
	}
	parts := []string{"cd " + quote(planned.Dir), "export " + strings.Join(env, " "), platform}
	if dirs := w.folders(g); len(dirs) > 0 {
		parts = append(parts, "mkdir -p "+strings.Join(dirs, " "))
	}
	parts = append(parts, command)
	esc := " " + string(w.File.Escape) + "\n    && "
	return strings.Join(parts, esc)
}

// runsItsOutput reports whether a line runs what it compiles. It must compile for the builder's platform then.
func runsItsOutput(g *dockerfile.GoLine) bool {
	return g.RunsTests() || slices.Contains([]string{"run", "tool"}, g.Words[0])
}

// profiles are the flags of go test that name output files. GO makes the folders of these files.
var profiles = []string{"-blockprofile", "-coverprofile", "-cpuprofile", "-memprofile", "-mutexprofile", "-trace", "-outputdir"}

// folders returns the folders that the line writes into, and that may be missing.
func (w *writer) folders(g *dockerfile.GoLine) (dirs []string) {
	if g.Stdout != "" {
		dirs = append(dirs, quote(path.Dir(g.Stdout)))
	}
	if g.Words[0] != "test" {
		return dirs
	}
	for i, word := range g.Words {
		name, value, ok := strings.Cut(strings.Replace(word, "--", "-", 1), "=")
		if !ok && i+1 < len(g.Words) {
			value = g.Words[i+1]
		}
		if slices.Contains(profiles, name) && path.IsAbs(value) && !strings.Contains(value, "$") {
			if name != "-outputdir" {
				value = path.Dir(value)
			}
			dirs = append(dirs, quote(value))
		}
	}
	return dirs
}

// command returns the go command for a shell. It fails if a shell would read other words than GO does.
func (w *writer) command(g *dockerfile.GoLine) (string, error) {
	text := "go " + g.Rest
	line := g.Node.StartLine
	if w.File.Escape != parser.DefaultEscapeToken && strings.ContainsRune(g.Rest, w.File.Escape) {
		return "", w.failed(line, "GO with %c, which means something else to a shell", w.File.Escape)
	}
	f, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(text), "")
	if err != nil || len(f.Stmts) != 1 || len(f.Last) > 0 {
		return "", w.failed(line, "GO %s: a shell reads it otherwise", g.Words[0])
	}
	st := f.Stmts[0]
	call, ok := st.Cmd.(*syntax.CallExpr)
	if !ok || len(st.Redirs) > 0 || st.Background || st.Negated || len(st.Comments) > 0 || len(call.Assigns) > 0 || len(call.Args) != len(g.Words)+1 {
		return "", w.failed(line, "GO %s: a shell reads it otherwise", g.Words[0])
	}
	strange := ""
	for _, word := range call.Args {
		syntax.Walk(word, func(n syntax.Node) bool {
			if strange == "" && n != nil && !plainNode(n) {
				strange = text[n.Pos().Offset():n.End().Offset()]
			}
			return true
		})
		if lit := word.Lit(); strings.HasPrefix(lit, "~") || unquotedGlob(word) {
			strange = text[word.Pos().Offset():word.End().Offset()]
		}
	}
	if strange != "" {
		return "", w.failed(line, "GO %s: to a shell %s means something else: put it in single quotes", g.Words[0], strange)
	}
	if g.Stdout != "" {
		text += " >" + quote(g.Stdout) + " " + string(w.File.Escape) + "\n    && cat " + quote(g.Stdout)
	}
	return text, nil
}

// plainNode reports whether a part of a word means the same to a shell and to GO.
func plainNode(n syntax.Node) bool {
	switch n := n.(type) {
	case *syntax.Word, *syntax.Lit:
		return true
	case *syntax.SglQuoted:
		return !n.Dollar
	case *syntax.DblQuoted:
		return !n.Dollar
	case *syntax.ParamExp:
		known := n.Exp == nil || slices.Contains([]syntax.ParExpOperator{syntax.DefaultUnset, syntax.DefaultUnsetOrNull, syntax.AlternateUnset, syntax.AlternateUnsetOrNull}, n.Exp.Op)
		return known && !n.Excl && !n.Length && !n.Width && n.Index == nil && n.Slice == nil && n.Repl == nil && n.Param != nil && syntax.ValidName(n.Param.Value)
	}
	return false
}

// unquotedGlob reports whether a shell might replace a word by names of files.
func unquotedGlob(word *syntax.Word) bool {
	return slices.ContainsFunc(word.Parts, func(p syntax.WordPart) bool {
		lit, ok := p.(*syntax.Lit)
		return ok && strings.ContainsAny(lit.Value, "*?[")
	})
}

// quote quotes a word for a shell.
func quote(word string) string {
	quoted, err := syntax.Quote(word, syntax.LangPOSIX)
	if err != nil {
		return "''" // it has a character that no file's name has
	}
	return quoted
}

// runMounts replaces Larder's own mounts by cache mounts.
func (w *writer) runMounts(n *parser.Node) error {
	j, ok := w.File.Join(n)
	for _, flag := range n.Flags {
		value, isMount := strings.CutPrefix(flag, "--mount=")
		m, _ := dockerfile.ParseMount(value)
		if !isMount || m.Kind != dockerfile.KindModules && m.Kind != dockerfile.KindCompileCache {
			continue
		}
		if slices.Contains(n.Flags, "--network=none") {
			return w.failed(n.StartLine, "RUN --network=none --mount=type=%s: go would have to fetch the modules there: leave --network=none out", m.Kind)
		}
		target := m.Target
		if target == "" {
			target = map[string]string{dockerfile.KindModules: step.ModCache, dockerfile.KindCompileCache: step.GoCache}[m.Kind]
		}
		found := false
		for _, span := range j.Flags(w.File.Escape) {
			start, end, onLine := j.Place(span.Start, span.End)
			if ok && onLine && j.Text[span.Start:span.End] == flag {
				w.edits = append(w.edits, dockerfile.Edit{Start: start, End: end, Text: "--mount=type=cache,target=" + target})
				found = true
				break
			}
		}
		if !found {
			return w.failed(n.StartLine, "%s isn't written on one line, without quotes", flag)
		}
	}
	return nil
}
