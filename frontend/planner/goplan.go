package planner

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/commit"
	"github.com/larder-build/larder/internal/golang/gotree"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/util/suggest"
)

// Names of the contexts and files that the step of a GO line mounts.
const (
	StepContext   = ContextPrefix + "step"   // holds Larder's binary, as StepFile
	TargetContext = ContextPrefix + "target" // holds the target platform as variables of the go command, as TargetFile
	StepFile      = "/larder-frontend"
	TargetFile    = "/target"
)

// maxLine bounds a rewritten line, in bytes. BuildKit's parser accepts at most 65535.
const maxLine = 60000

// settings are the variables of the go command that a GO line takes from build arguments, without an ARG.
var settings = []string{"CGO_ENABLED", "GO386", "GOAMD64", "GOARM", "GOARM64", "GODEBUG", "GOEXPERIMENT", "GOFIPS140", "GOFLAGS", "GOMIPS", "GOMIPS64", "GOPPC64", "GORISCV64"}

// goLine plans a GO line, and rewrites it to a RUN that no shell reads.
func (w *planner) goLine(s *scope, g *dockerfile.GoLine, comments []string) error {
	if s.virtual == baseStatic || s.base == "scratch" {
		return w.File.ErrorAt(g.Node, g.Node.Value, fmt.Sprintf("GO %s: FROM %s has no go command: start the stage with FROM go, or from an image that has a Go toolchain", g.Words[0], s.base))
	}
	if err := w.checkStage(s, g); err != nil {
		return err
	}
	if err := w.checkSanitizer(s, g); err != nil {
		return err
	}
	if g.Cgo == "true" && s.virtual == baseGo && !s.adds && len(g.Mounts) == 0 {
		return w.File.ErrorAt(g.Node, "--cgo", "GO --cgo: FROM go has no C compiler: start the stage from an image that has Go and one, such as golang, or copy a static one into it, such as zig")
	}
	src, err := w.source(s, g.Node, g.From, g.Module)
	if err != nil {
		return err
	}
	if wide := w.plan.Wide; g.From == "" {
		src.tree, src.dir, src.from = wide.tree, path.Join(wide.Base, src.dir), wide.whole()
		src.rel = src.dir
	}
	mod, err := w.goModule(s, g, src)
	if err != nil {
		return err
	}
	mods, err := w.needModules([]gotree.Module{mod}, s, nil)
	if err != nil {
		return parser.WithLocation(err, g.Node.Location())
	}
	slice, err := w.sliceLine(s, g, mod)
	if err != nil {
		return parser.WithLocation(err, g.Node.Location())
	}
	cache := w.lineCache(s, g)
	deps, err := w.depsLine(s, g, mod, slice, mods, cache)
	if err != nil {
		return err
	}
	stamp, err := w.stampLine(s, g)
	if err != nil {
		return err
	}
	if stamp != nil {
		slice = w.plan.repository(w.Tree, slice, fmt.Sprintf("source-%d", g.Node.StartLine))
	}
	if slice != nil {
		src.from = slice.Context
	}
	given := lineInputs{source: src, modules: mods, cache: cache, deps: deps, compiled: w.compileLine(s, g, deps, stamp != nil), commit: stamp}
	text, err := w.goRun(s, g, mod, given)
	if err != nil {
		return err
	}
	w.plan.GoLines = true
	s.ran = s.ran || cache == runsCache
	w.lintGoLine(s, g, comments)
	r := w.rewrote(g.Node, "a RUN that no shell reads"+mods.in()+slice.in(), w.File.ReplaceLines(g.Node, func(i, count int) string {
		switch {
		case i == count-1 && count == 1:
			return text[0] + " " + text[1]
		case i == count-1:
			return text[1]
		case i == 0:
			return text[0] + " " + string(w.File.Escape)
		}
		return string(w.File.Escape)
	})...)
	r.Runs, r.Network = true, g.Network != instructions.NetworkNone
	return nil
}

// goModule reads the module of a GO line. A line needs none if its subcommand doesn't use modules, or if it names Go
// files.
func (w *planner) goModule(s *scope, g *dockerfile.GoLine, src source) (gotree.Module, error) {
	var mod gotree.Module
	var err error
	if g.From == "" {
		mod, err = w.plan.Wide.readModule(w.Tree, g.Module, w.workOff(s))
	} else {
		mod, err = readModule(src.tree, src.dir, w.workOff(s))
	}
	if errors.Is(err, ErrNoModule) {
		if slices.Contains([]string{"env", "version", "help", "doc"}, g.Words[0]) || slices.ContainsFunc(g.Words, func(s string) bool { return strings.HasSuffix(s, ".go") }) {
			return gotree.Module{Dir: src.dir}, nil
		}
		return mod, w.noModule(g, src)
	}
	if err != nil {
		return mod, parser.WithLocation(fmt.Errorf("GO %s: %w", g.Words[0], err), w.File.Find(g.Node, ""))
	}
	return mod, nil
}

// workOff reports whether go.work doesn't count in a stage.
func (w *planner) workOff(s *scope) bool {
	if v, ok := w.BuildArgs["GOWORK"]; ok {
		return v == "off"
	}
	return s.env["GOWORK"] == "off"
}

// noModule returns the error for a GO line without a module, which names the modules that exist.
func (w *planner) noModule(g *dockerfile.GoLine, src source) error {
	where, tree := "the build context", w.Tree
	if src.name != "" {
		where, tree = src.name, src.tree
	}
	err := fmt.Errorf("GO %s: there is no go.mod in %s: make one with 'go mod init', or name a folder that holds one with --module=DIR", g.Words[0], where)
	at := w.File.Find(g.Node, g.Node.Value)
	if g.Module != "." {
		err = fmt.Errorf("GO --module=%s: there is no %s in %s", g.Module, path.Join(g.Module, "go.mod"), where)
		at = w.File.Find(g.Node, g.Module)
	}
	if dirs := findModules(tree); len(dirs) > 0 {
		err = suggest.WrapError(fmt.Errorf("%w: the modules there are in %s", err, strings.Join(dirs, ", ")), g.Module, dirs, true)
	}
	return parser.WithLocation(err, at)
}

// lineInputs are the inputs of a GO line's step, beside its stage.
type lineInputs struct {
	source   source
	cache    lineCache
	modules  *Modules // nil for none, as are the others
	deps     *Deps
	compiled *Compile
	commit   *commit.Commit
}

// modulesContext returns the named context that the line takes its modules from. A line that runs code of the tree, which
// may read any file of them, has all.
func (in lineInputs) modulesContext() string {
	if in.cache == ownCache && in.deps != nil && in.deps.ModulesContext() != "" {
		return in.deps.ModulesContext()
	}
	return in.modules.Context
}

// goRun returns the RUN of a GO line: its flags, and its arguments.
func (w *planner) goRun(s *scope, g *dockerfile.GoLine, mod gotree.Module, in lineInputs) (text [2]string, err error) {
	src := in.source
	if !utf8.ValidString(g.Rest) || strings.ContainsRune(g.Rest, 0) {
		return text, w.File.ErrorAt(g.Node, "", "GO: its text is not UTF-8, or has a NUL byte: no command can be given that")
	}
	flags := []string{
		"--network=" + g.Network,
		"--mount=type=bind,from=" + StepContext + ",source=" + StepFile + ",target=" + step.Go,
		"--mount=type=bind,from=" + TargetContext + ",source=" + TargetFile + ",target=" + step.LineTarget,
		w.quoteFlag("--mount=type=bind" + fromSource(src) + ",target=" + step.Src + g.Writable()),
	}
	line := &step.GoLine{Compile: in.cache.kind(), Cgo: g.Cgo, Stdout: g.Stdout, JUnit: g.JUnit, Record: w.record(s, g), Libs: g.Libs, Vendor: mod.Vendored, Line: []string{g.Rest}}
	if dir := path.Join(step.Src, src.rel); dir != step.Src {
		line.Dir = dir
	}
	if in.modules != nil {
		flags = append(flags, "--mount=type=bind,from="+in.modulesContext()+",target="+step.ModCache)
	}
	if in.deps != nil {
		flags = append(flags, "--mount=type=bind,from="+in.deps.Context+",target="+step.LineDeps)
	}
	if in.compiled != nil {
		flags = append(flags, "--mount=type=bind,from="+in.compiled.Context+",target="+step.LineLinked)
	}
	if in.commit != nil {
		facts, err := json.Marshal(in.commit)
		if err != nil {
			return text, err
		}
		flags = append(flags, "--mount=type=bind,from="+StepContext+",source="+StepFile+",target="+step.Git)
		line.Commit = string(facts)
	}
	flags = append(flags, "--mount="+in.cache.mount(w.mark(), mod.Path, s))
	if in.cache == ownCache {
		flags = append(flags, toolchainMount(s.toolchain))
	}
	for _, m := range g.Mounts {
		flags = append(flags, w.quoteFlag("--mount="+m))
	}
	if mod.Work != "" {
		line.Work = path.Join(step.Src, inSource(mod, src))
	}
	if w.File.Escape != parser.DefaultEscapeToken {
		line.Escape = string(w.File.Escape)
	}
	for _, name := range settings {
		if v, ok := w.BuildArgs[name]; ok {
			line.Env = append(line.Env, name+"="+v)
		}
	}
	command, err := json.Marshal(append([]string{step.Go}, step.Flags(line)...))
	if err == nil && len(command) > maxLine {
		err = w.File.ErrorAt(g.Node, g.Node.Value, fmt.Sprintf("GO %s: the line has %d bytes: BuildKit takes no longer ones than %d", g.Words[0], len(command), maxLine))
	}
	return [2]string{runLike(g.Node.Value) + " " + strings.Join(flags, " "), string(command)}, err
}

// inSource returns the path of the go.work file below the source's root.
func inSource(mod gotree.Module, src source) string {
	if src.dir == src.rel {
		return mod.Work
	}
	// The stage has the module in another folder than the build context has: count from the module.
	up := strings.Count(mod.Dir+"/", "/") - strings.Count(path.Dir(mod.Work)+"/", "/")
	if path.Dir(mod.Work) == "." && mod.Dir != "." {
		up++
	}
	return path.Join(src.rel, strings.Repeat("../", max(up, 0)), "go.work")
}

func fromSource(src source) string {
	if src.from == "" {
		return ""
	}
	if src.root != "" && src.root != "/" {
		return ",from=" + src.from + ",source=" + src.root
	}
	return ",from=" + src.from
}

// runLike returns RUN in upper or lower case, as the word is written.
func runLike(word string) string {
	if word == strings.ToLower(word) {
		return "run"
	}
	return "RUN"
}

// quoteFlag quotes a flag so that BuildKit's parser reads it unchanged.
func (w *planner) quoteFlag(flag string) string {
	if !strings.ContainsAny(flag, " \t'\"\\`") {
		return flag
	}
	name, value, _ := strings.Cut(flag, "=")
	esc := string(w.File.Escape)
	return name + `="` + strings.NewReplacer(esc, esc+esc, `"`, esc+`"`).Replace(value) + `"`
}

// cacheMount returns a cache mount for compiled packages. The cache's name includes the stage's user, who must be able
// to write it.
func cacheMount(s *scope, target, id string) string {
	value := "type=cache,target=" + target + ",id=" + clean(id)
	if !s.root() {
		value += clean("/user-"+s.user) + ",mode=0777"
	}
	return value
}

// cacheName returns the name of a cache for lines that run code of the tree. It includes the module, and the stage's
// toolchain or base.
func cacheName(kind, module string, s *scope) string {
	from := s.toolchain
	if from == "" {
		from = s.base
	}
	return kind + "/" + module + "/" + from
}

// clean replaces characters that have a special meaning in a flag.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`,$'"\`+"`", r) || r <= ' ' {
			return '-'
		}
		return r
	}, s)
}

// unknownSource returns the error for an unknown --from, which says what it could have named.
func (w *planner) unknownSource(s *scope, n *parser.Node, from string) error {
	if strings.EqualFold(from, s.name) && s.name != "" {
		return w.File.ErrorAt(n, from, fmt.Sprintf("--from=%s: that is this stage: --from takes the source from another one", from))
	}
	var names []string
	for i, st := range w.File.Stages {
		if st.Name == "" {
			continue
		}
		if i > s.index && strings.EqualFold(st.Name, from) {
			return w.File.ErrorAt(n, from, fmt.Sprintf("--from=%s: the stage %s comes later, in line %d: move it before this one", from, from, st.Location[0].Start.Line))
		}
		names = append(names, st.Name)
	}
	names = append(names, slices.Sorted(maps.Keys(w.Contexts))...)
	err := fmt.Errorf("--from=%s: there is no such stage before this one, and no such named context: for an image, write a stage FROM it", from)
	return parser.WithLocation(suggest.WrapError(err, from, names, true), w.File.Find(n, from))
}

func sortedKeys(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
