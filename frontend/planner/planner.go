package planner

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/expand"
	"github.com/larder-build/larder/internal/golang/gotoolchain"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// A planner goes through a file with instructions once. It notes what Larder has to supply and what is rewritten.
type planner struct {
	Request
	plan        *Plan
	lex         *expand.Lex
	globals     env
	bases       map[int]*Base // by the FROM line
	scopes      []*scope      // of the stages so far, as they are at their end
	edits       []dockerfile.Edit
	sets        map[string]*Modules
	runs        map[int]*runLine // by their first line
	taken       []stagePath
	caches      [][]string // of each stage: see findCaches
	moduleDirs  []string   // see modules
	modulesRead bool
	lint        *linter.Linter
	tests       tests
	reached     []bool // the stages that the target may need
}

// dockerfile plans a file that has instructions.
func (p *Plan) dockerfile(req Request) error {
	args, err := expandArgs(req.File, req)
	if err != nil {
		return err
	}
	bases, err := Bases(req.File, req)
	if err != nil {
		return err
	}
	w := &planner{Request: req, plan: p, lex: expand.New(shell.NewLex(req.File.Escape)), bases: map[int]*Base{}, sets: map[string]*Modules{}, runs: map[int]*runLine{}, globals: env{}}
	for _, name := range args.Keys() {
		w.globals[name], _ = args.Get(name)
	}
	for i := range bases {
		w.bases[bases[i].Line] = &bases[i]
	}
	if err := w.checkContext(); err != nil {
		return err
	}
	if err := w.prepare(bases); err != nil {
		return err
	}
	w.findTests()
	w.reached = w.reachable()
	for i, st := range req.File.Stages {
		if err := w.stage(i, st); err != nil {
			return err
		}
	}
	if len(w.scopes) > 0 {
		w.settle()
	}
	w.checkFinal()
	w.lintPrivate()
	w.noteUnseen()
	slices.SortStableFunc(p.Notes, func(a, b Note) int { return a.Line - b.Line })
	if len(w.scopes) > 0 {
		p.CgoCopies = w.target().cgoCopies
	}
	p.Go = len(w.edits) > 0
	p.LintError = w.lint.Error()
	if !p.Go && len(w.modules()) == 0 {
		// It may call go, but not for a module of the context: then it is BuildKit's alone, its rules too.
		p.Warnings, p.Notes, p.LintError = nil, nil, nil
	}
	p.Dockerfile = string(req.File.Apply(w.edits))
	w.addTestStages()
	p.addSteps()
	return nil
}

// checkContext does three things if a file has GO lines. It checks the platforms and the build arguments, and finds
// folders outside of the build context that replace modules.
func (w *planner) checkContext() error {
	w.plan.Wide = Wide{Base: ".", tree: w.Tree}
	if len(w.File.GoLines) > 0 {
		if err := checkArgs(w.BuildArgs); err != nil {
			return err
		}
	}
	dirs := map[string]bool{}
	for _, line := range slices.Sorted(maps.Keys(w.File.GoLines)) {
		g := w.File.GoLines[line]
		if err := checkPorts(w.Platforms); err != nil {
			return w.File.ErrorAt(g.Node, g.Node.Value, fmt.Sprintf("GO %s: %v", g.Words[0], err))
		}
		if g.From != "" {
			continue
		}
		dirs[g.Module] = true
		wide, err := widen(w.Request, sortedKeys(dirs), w.BuildArgs["GOWORK"] == "off")
		if err != nil {
			return parser.WithLocation(fmt.Errorf("GO %s: %w", g.Words[0], err), g.Node.Location())
		}
		w.plan.Wide = wide
	}
	return nil
}

// prepare chooses the toolchains of virtual bases.
func (w *planner) prepare(bases []Base) error {
	w.startLint()
	if mod, err := (gotree.Tree{FS: w.Tree}).Mod("."); err == nil {
		w.plan.Module = mod.Module.Mod.Path
	} else if mod, err := readModule(w.Tree, ".", false); err == nil {
		w.plan.Module = mod.Path
	}
	if len(bases) == 0 {
		return nil
	}
	versions, err := w.versions()
	if err != nil {
		if len(w.File.GoLines) > 0 || slices.ContainsFunc(bases, func(b Base) bool { return b.Kind == baseGo }) {
			return err
		}
		versions = nil // the static base does without, and a RUN's go says it, if it cares
	}
	sources, err := ModuleSources(w.Request)
	if err != nil {
		return err
	}
	for i := range bases {
		b := w.bases[bases[i].Line]
		if b.Kind == baseStatic {
			w.plan.Static = true
			continue
		}
		if b.toolchain, err = w.plan.addToolchain(w.Request, sources, b.Version, versions); err != nil {
			return b.wrap(err)
		}
	}
	if len(w.plan.Toolchains) == 0 {
		// The static base has its time zones from a toolchain, whichever is at hand.
		if _, err := w.plan.addToolchain(w.Request, sources, "", versions); err != nil {
			return bases[0].wrap(err)
		}
	}
	return nil
}

// versions returns the files that say which toolchain is needed: of the module at the root, and of each module that a
// GO line names.
func (w *planner) versions() ([]gotoolchain.VersionFile, error) {
	dirs := map[string]bool{".": true}
	for _, g := range w.File.GoLines {
		if g.From == "" {
			dirs[g.Module] = true
		}
	}
	var all []gotoolchain.VersionFile
	for _, dir := range sortedKeys(dirs) {
		m, err := readModule(w.Tree, dir, w.BuildArgs["GOWORK"] == "off")
		if errors.Is(err, ErrNoModule) {
			continue
		} else if err != nil {
			return nil, err
		}
		all = append(all, m.Versions...)
	}
	return all, nil
}

// stage plans one stage.
func (w *planner) stage(i int, st instructions.Stage) error {
	s, err := w.enter(i, st)
	if err != nil {
		return err
	}
	for _, cmd := range st.Commands {
		line := cmd.Location()[0].Start.Line
		run, ok := cmd.(*instructions.RunCommand)
		w.noteCredentials(s, cmd)
		switch {
		case w.tests.drops(i, line):
			w.drop(line)
		case w.File.GoLines[line] != nil:
			err = w.goLine(s, w.File.GoLines[line], cmd.Comments())
		case ok:
			err = w.run(s, run)
		default:
			w.noteTaken(s, cmd)
			s.step(w.lex, cmd, w.globals, w.BuildArgs, w.Tree)
			w.noteCgo(s, cmd)
		}
		if err == nil && w.lex.Err() != nil {
			err = parser.WithLocation(fmt.Errorf("line %d: %w", line, w.lex.Err()), cmd.Location())
		}
		if err != nil {
			return err
		}
	}
	w.scopes = append(w.scopes, s)
	return nil
}

// enter makes the scope at the start of a stage.
func (w *planner) enter(i int, st instructions.Stage) (*scope, error) {
	base := (&scope{env: w.globals}).expand(w.lex, st.BaseName)
	s := &scope{env: env{}, set: map[string][]parser.Range{}, dir: "/"}
	line := st.Location[0].Start.Line
	if from := w.stageNamed(base, false); from != nil {
		s = from.clone()
	} else if b := w.bases[line]; b != nil {
		s.virtual, s.known = b.Kind, true
		if err := w.rewriteBase(b); err != nil {
			return nil, err
		}
		if b.Kind == baseGo {
			for _, kv := range goStageEnv {
				s.env[kv[0]] = kv[1]
			}
			s.dir, s.toolchain = "/go", b.toolchain
		}
	} else if base != "scratch" {
		w.image(i, s, base, st)
	}
	w.noteOrdinary(base, st)
	s.fromScratch = s.fromScratch || base == "scratch"
	if w.stageNamed(base, false) == nil {
		s.base = base
		if s.virtual == "" {
			w.lintBase(s, st)
		}
	}
	s.index, s.name, s.parent = i, st.Name, -1
	if from := w.stageNamed(base, false); from != nil {
		s.parent = from.index
	}
	if s.onbuild > 0 {
		s.copies = append(s.copies, folderCopy{dest: "/", why: fmt.Sprintf("ONBUILD in line %d", s.onbuild)})
		s.onbuild = 0
	}
	return s, nil
}

// noteOrdinary adds a note if a base looks like a virtual one and isn't.
func (w *planner) noteOrdinary(base string, st instructions.Stage) {
	n := w.File.Nodes[st.Location[0].Start.Line]
	name, ok := strings.CutPrefix(base, "docker.io/library/")
	if kind, _, _ := strings.Cut(name, ":"); ok && (kind == baseGo || kind == baseStatic) {
		w.note(n, "%s is an image in a registry, not Larder's base %s", base, kind)
	}
	if kind, _, _ := strings.Cut(base, ":"); w.bases[n.StartLine] == nil && (kind == baseGo || base == baseStatic) {
		w.note(n, "%s is a stage or a named context of that name, not Larder's base %s", base, kind)
	}
}

// image reads the config of a stage's base image, or of the named context that replaces the stage.
func (w *planner) image(i int, s *scope, base string, st instructions.Stage) {
	if st.Name != "" && w.hasContext(st.Name) {
		base = st.Name
	}
	s.env["PATH"] = ""
	if isGolang(base) {
		s.env["GOPATH"] = "/go" // as every golang image has it
		s.dir = "/go"
	}
	if w.Image == nil {
		s.guessed = !isGolang(base)
		return
	}
	if len(w.File.GoLines) == 0 && len(w.modules()) == 0 {
		return // nothing depends on it
	}
	if !w.reached[i] {
		s.unread = true
		return
	}
	platform := (&scope{env: w.globals}).expand(w.lex, st.Platform)
	if platform == "" {
		platform = w.Platforms[0]
	}
	img, ok := w.Image(base, platform)
	if !ok {
		s.unread = true
		return
	}
	s.known, s.user, s.shell = true, img.User, img.Shell
	s.dir = path.Join("/", img.WorkingDir)
	for _, kv := range img.Env {
		k, v, _ := strings.Cut(kv, "=")
		s.env[k] = v
	}
}

// isGolang reports whether a base is a golang image, in any registry.
func isGolang(base string) bool {
	name, _, _ := strings.Cut(base, "@")
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, ":")
	return name == "golang"
}

// goStageEnv are the variables of a go stage that a plan needs. Package llb sets all of them.
var goStageEnv = [][2]string{{"HOME", "/root"}, {"GOPATH", "/go"}, {"GOMODCACHE", step.ModCache}, {"GOCACHE", step.GoCache}, {"CGO_ENABLED", "0"}}

// stageNamed returns the scope of an earlier stage by its name or, if byIndex is set, its number. It returns nil if
// there is none.
func (w *planner) stageNamed(name string, byIndex bool) *scope {
	for i := len(w.scopes) - 1; i >= 0; i-- {
		if s := w.scopes[i]; s.name != "" && strings.EqualFold(s.name, name) {
			return s
		}
	}
	if n, err := strconv.Atoi(name); byIndex && err == nil && n >= 0 && n < len(w.scopes) {
		return w.scopes[n]
	}
	return nil
}

// modules returns the folders of the build context that hold a module.
func (w *planner) modules() []string {
	if !w.modulesRead {
		w.moduleDirs = findModules(w.Tree)
		w.modulesRead = true
	}
	return w.moduleDirs
}

// rewrote notes edits of an instruction, and what they are for.
func (w *planner) rewrote(n *parser.Node, what string, edits ...dockerfile.Edit) *Rewrite {
	r := Rewrite{Line: n.StartLine, EndLine: n.EndLine, Text: n.Original, What: what, escape: w.File.Escape}
	if w.File.GoLines[n.StartLine] == nil {
		for _, e := range edits {
			r.swaps = append(r.swaps, [2]string{e.Text, string(w.File.Data[e.Start:e.End])})
		}
	}
	w.edits = append(w.edits, edits...)
	w.plan.Rewrites = append(w.plan.Rewrites, r)
	return &w.plan.Rewrites[len(w.plan.Rewrites)-1]
}

// note adds a note about an instruction that isn't changed.
func (w *planner) note(n *parser.Node, format string, args ...any) {
	w.plan.Notes = append(w.plan.Notes, Note{Line: n.StartLine, Text: fmt.Sprintf(format, args...)})
}

// source is a tree that packages are compiled from.
type source struct {
	name string // as --from has it
	tree fs.FS
	from string // for --mount=…,from=
	root string // the folder in there
	dir  string // the module's folder in tree
	rel  string // the module's folder below root
}

// source returns the source that --from and --module name.
func (w *planner) source(s *scope, n *parser.Node, from, module string) (source, error) {
	src := source{name: from, tree: w.Tree, dir: module, rel: module, from: from}
	if from == "" {
		return src, nil
	}
	if st := w.stageNamed(from, true); st != nil {
		src.root = st.sourceRoot(w.Tree)
		if dir, ok := st.contextDir(w.Tree, path.Join(src.root, module)); ok {
			src.dir = dir
		}
		return src, nil
	}
	if w.hasContext(from) {
		if w.Context == nil {
			return src, nil
		}
		tree, err := w.Context(from)
		if err != nil {
			return src, parser.WithLocation(fmt.Errorf("reading the named context %s: %w", from, err), w.File.Find(n, from))
		}
		src.tree = tree
		return src, nil
	}
	return src, w.unknownSource(s, n, from)
}

// sourceRoot returns the folder of a stage that a module of the build context was copied to, or else its working
// folder.
func (s *scope) sourceRoot(tree fs.FS) string {
	if _, ok := s.contextDir(tree, s.dir); ok {
		return s.dir
	}
	for i := len(s.copies) - 1; i >= 0; i-- {
		if (gotree.Tree{FS: tree}).IsModule(s.copies[i].src) {
			return s.copies[i].dest
		}
	}
	return s.dir
}
