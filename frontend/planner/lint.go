package planner

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/frontend/planner/shellgo"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// A Warning is what a lint rule found at a place in the file.
type Warning struct {
	Rule        string         `json:"rule"`        // the name of the rule
	Description string         `json:"description"` // what the rule asks for
	URL         string         `json:"url"`         // where the rule is documented
	Message     string         `json:"message"`     // what is wrong here
	Location    []parser.Range `json:"location"`    // the lines
}

// startLint reads the check directive, as BuildKit's frontend does.
func (w *planner) startLint() {
	config := w.Lint
	if config == nil {
		options, _, _, _ := parser.ParseDirective("check", w.File.Data)
		var err error
		if config, err = linter.ParseLintOptions(options); err != nil {
			config = &linter.Config{} // BuildKit's frontend says it
		}
	}
	own := *config
	own.Warn = func(name, description, url, msg string, at []parser.Range) {
		w.plan.Warnings = append(w.plan.Warnings, Warning{name, description, url, msg, at})
	}
	w.lint = linter.New(&own)
}

// lintAt warns of a finding, unless the comments above the instruction skip its rule.
func (w *planner) lintAt(f finding, n *parser.Node, comments []string) {
	w.lint.WithMergedConfigFromComments(comments).Run(f.rule.linterRule(), n.Location(), f.message)
}

// lintBase checks the base of a stage.
func (w *planner) lintBase(s *scope, st instructions.Stage) {
	ref, err := reference.ParseNormalizedNamed(s.base)
	if err != nil || s.base == "scratch" || w.hasContext(s.base) {
		return
	}
	n := w.File.Nodes[st.Location[0].Start.Line]
	if _, pinned := ref.(reference.Digested); pinned {
		return
	}
	w.lintAt(hasNoDigest(st.BaseName), n, st.Comments)
	tag := "latest"
	if tagged, ok := ref.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	if isGolang(s.base) && (tag == "" || tag[0] < '0' || tag[0] > '9') {
		w.lintAt(namesNoRelease(st.BaseName), n, st.Comments)
	}
}

// lintGoLine checks a GO line.
func (w *planner) lintGoLine(s *scope, g *dockerfile.GoLine, comments []string) {
	if g.Network != instructions.NetworkNone {
		w.lintAt(hasNetwork(g.Words[0], g.Network), g.Node, comments)
	}
	if !w.withCgo(s, g) || !makesBinary(g.Words[0]) {
		return
	}
	s.byCgo = true
	if g.Libs == "" && !strings.Contains(g.Rest, "-static") {
		s.cgo = g.Node.StartLine
	}
}

func makesBinary(subcommand string) bool { return subcommand == "build" || subcommand == "install" }

// lintRun checks a RUN that calls go.
func (w *planner) lintRun(s *scope, r *runLine) {
	w.lintCacheMounts(s, r)
	for _, c := range r.script.Calls {
		kind := classify(c)
		switch {
		case kind == callWrites:
			w.lintAt(resolvesModules(words(c), adviceFor(c)), r.node, r.cmd.Comments())
		case kind == callUses && (r.network == instructions.NetworkDefault || r.network == instructions.NetworkHost):
			w.lintAt(hasNetwork(words(c), r.network), r.node, r.cmd.Comments())
		}
		w.lintPort(s, r, &c)
		if len(c.Args) > 0 && makesBinary(c.Args[0].Text) && w.cgo(s, &c) {
			s.cgo = r.node.StartLine
		}
	}
}

// lintCacheMounts warns of cache mounts that keep out Larder's modules. A RUN that writes the module cache may need
// such a mount.
func (w *planner) lintCacheMounts(s *scope, r *runLine) {
	var targets []string
	for _, c := range r.script.Calls {
		switch target, ok := s.goModCache(&c); classify(c) {
		case callWrites:
			return
		case callUses, callDownload:
			if ok && !slices.Contains(targets, target) {
				targets = append(targets, target)
			}
		}
	}
	for _, target := range targets {
		i := slices.IndexFunc(r.mounts, func(m dockerfile.Mount) bool {
			return m.Kind == dockerfile.KindCache && overlaps(s.abs(m.Target), target)
		})
		if i >= 0 {
			w.lintAt(keepsModulesOut(s.abs(r.mounts[i].Target)), r.node, r.cmd.Comments())
		}
	}
}

func adviceFor(c shellgo.Call) string {
	if hasFlag(c.Args, "-mod=mod") {
		return "commit go.mod and go.sum as 'go mod tidy' leaves them, and leave -mod=mod out"
	}
	switch c.Args[0].Text {
	case "get", "mod", "work":
		return fmt.Sprintf("run 'go %s' where the sources are kept, and commit go.mod and go.sum", words(c))
	case "install", "run", "tool":
		return "make it a tool of the module with 'go get -tool PACKAGE@VERSION', commit go.mod and go.sum, and write 'go install tool' or 'go tool NAME'"
	}
	return "name what go.sum lists"
}

// cgo reports whether a call compiles with cgo. That is so if cgo is turned on, or if nothing is set and the image has
// a C compiler.
func (w *planner) cgo(s *scope, c *shellgo.Call) bool {
	if slices.ContainsFunc(c.Args, func(a shellgo.Word) bool { return strings.Contains(a.Text, "-static") }) {
		return false
	}
	v, set, known := s.value(c, "CGO_ENABLED")
	if set || !known {
		return v == "1"
	}
	if _, cross, _ := s.value(c, "GOARCH"); cross {
		return false // cgo is off for another platform, and which one it is isn't known
	}
	if slices.ContainsFunc(c.Args, func(a shellgo.Word) bool { return strings.Contains(a.Text, "netgo") }) {
		return false // so tagged, most programs need no C library, though cgo is on
	}
	return isGolang(s.base) && !strings.Contains(s.base, "alpine")
}

// withoutLibC matches images without a C library, in any registry.
var withoutLibC = regexp.MustCompile(`(^|/)distroless/static(-debian[0-9]+)?([:@]|$)`)

// bringsLibraries reports whether an instruction may copy a C library: its folder or its files.
func bringsLibraries(cmd instructions.Command) bool {
	c, ok := cmd.(*instructions.CopyCommand)
	return ok && slices.ContainsFunc(c.SourcePaths, func(p string) bool {
		dir, base := path.Split(path.Clean("/" + p))
		return strings.HasPrefix(base, "lib") && (base == "lib" || base == "lib64" || strings.Contains(base, ".so")) ||
			strings.HasPrefix(base, "ld-") || strings.Contains(dir, "/lib/") || strings.Contains(dir, "/lib64/")
	})
}

// checkFinal runs the lint rules for the last stage.
func (w *planner) checkFinal() {
	if len(w.scopes) == 0 {
		return
	}
	st, s := w.File.Stages[len(w.scopes)-1], w.scopes[len(w.scopes)-1]
	n := w.File.Nodes[st.Location[0].Start.Line]
	bare := s.virtual == baseStatic || s.base == "scratch" || s.fromScratch
	if s.root() && s.virtual == "" && (s.known || bare || s.user != "") {
		w.lintAt(runsAsRoot(), n, st.Comments)
	}
	if !bare && !withoutLibC.MatchString(s.base) || slices.ContainsFunc(st.Commands, bringsLibraries) {
		return
	}
	for _, cmd := range st.Commands {
		c, ok := cmd.(*instructions.CopyCommand)
		if !ok || c.From == "" {
			continue
		}
		if from := w.stageNamed(c.From, true); from != nil && from.cgo > 0 {
			w.lintAt(lacksLibC(from.cgo, s.base), w.File.Nodes[c.Location()[0].Start.Line], c.Comments())
		}
	}
}
