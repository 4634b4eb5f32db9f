package planner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/larder-build/larder/frontend/dockerfile"
	"github.com/larder-build/larder/internal/step"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// Targets that run the tests of a file and export the results, unless a stage of the file has that name. BuildKit
// exports nothing if a build fails. So a GO test line of such a target keeps its results, and succeeds even if tests
// fail. TestTarget has one more step, which fails then. TestResultsTarget doesn't have it.
const (
	TestTarget        = "larder-test"         // fails if tests do
	TestResultsTarget = "larder-test-results" // shares its steps, and doesn't fail
)

// Names of the stages that these targets add.
const (
	testRunStage  = TestTarget + "-run"  // runs the module's tests, in a file without a GO test line
	testJoinStage = TestTarget + "-join" // joins the results of all lines
	testFailStage = TestTarget + "-fail" // fails
)

// Folders where the GO test lines of a stage keep their results. Each line has a folder in it, named by its number.
// Only root can write into /.
const (
	testRecords     = "/.larder-test"
	testRecordsUser = "/tmp/.larder-test"
)

// ForTarget returns the file that is built for a target. If the target runs tests, and no GO line of the file does, it
// adds a stage that runs the module's tests. Otherwise it is the file itself.
func ForTarget(f dockerfile.File, target string) dockerfile.File {
	if f.Err != nil || f.Broken || !testsAre(f, target) {
		return f
	}
	for _, g := range f.GoLines {
		if g.RunsTests() {
			return f
		}
	}
	data := bytes.TrimRight(f.Data, "\n")
	if len(data) > 0 {
		data = append(slices.Clip(data), '\n')
	}
	return dockerfile.Parse(f.Name, append(data, "FROM go AS "+testRunStage+"\nGO test ./...\n"...))
}

// testsAre reports whether a target is one that runs tests.
func testsAre(f dockerfile.File, target string) bool {
	return (target == TestTarget || target == TestResultsTarget) &&
		!slices.ContainsFunc(f.Stages, func(st instructions.Stage) bool { return strings.EqualFold(st.Name, target) })
}

// checkSanitizer refuses flags that need cgo on a line without cgo.
func (w *planner) checkSanitizer(s *scope, g *dockerfile.GoLine) error {
	if !slices.Contains([]string{"build", "install", "run", "test"}, g.Words[0]) || !s.known || w.withCgo(s, g) {
		return nil
	}
	for _, flag := range []string{"race", "msan", "asan"} {
		if g.HasFlag(flag) {
			return w.File.ErrorAt(g.Node, "-"+flag, fmt.Sprintf("GO %s -%s: that needs cgo, which is off here: start the stage from an image that has Go and a C compiler, such as golang (FROM go has none), and write GO --cgo %s", g.Words[0], flag, dockerfile.Abbreviate(g.Rest)))
		}
	}
	return nil
}

// tests holds what a build of the tests needs from a file. It is the zero value in other builds.
type tests struct {
	asked  bool
	last   map[int]int // by stage: the last GO test line
	whole  map[int]bool
	places []testPlace
}

// A testPlace is a folder with results of tests.
type testPlace struct {
	stage int
	name  string // of the stage, or its number
	dir   string
}

// drops reports whether an instruction is left out. Instructions after the last tests of a stage aren't needed.
func (t tests) drops(stage, line int) bool {
	last, ok := t.last[stage]
	return ok && !t.whole[stage] && line > last
}

// findTests finds the stages that run tests. If no later stage refers to a stage, nothing after its tests is needed.
func (w *planner) findTests() {
	if w.tests.asked = testsAre(w.File, w.Target); !w.tests.asked {
		return
	}
	w.tests.last, w.tests.whole = map[int]int{}, map[int]bool{}
	end := -1
	for i, st := range w.File.Stages {
		for _, cmd := range st.Commands {
			line := cmd.Location()[0].Start.Line
			if g := w.File.GoLines[line]; g != nil && g.RunsTests() {
				w.tests.last[i], end = line, i
			}
		}
	}
	for i := range w.tests.last {
		w.tests.whole[i] = slices.ContainsFunc(w.File.Stages[i+1:end+1], func(later instructions.Stage) bool { return w.refers(later, i) })
	}
}

// refers reports whether a stage may need the files of an earlier one.
func (w *planner) refers(st instructions.Stage, earlier int) bool {
	names := []string{strconv.Itoa(earlier), w.File.Stages[earlier].Name}
	named := func(from string) bool {
		return strings.Contains(from, "$") || from != "" && slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, from) })
	}
	if named(st.BaseName) {
		return true
	}
	return slices.ContainsFunc(st.Commands, func(cmd instructions.Command) bool {
		n := w.File.Nodes[cmd.Location()[0].Start.Line]
		return slices.ContainsFunc(n.Flags, func(flag string) bool {
			flag, value, _ := strings.Cut(flag, "=")
			if flag == "--mount" {
				m, err := dockerfile.ParseMount(value)
				return err != nil || named(m.From)
			}
			return flag == "--from" && named(value)
		})
	})
}

// drop removes an instruction.
func (w *planner) drop(line int) {
	w.edits = append(w.edits, w.File.ReplaceLines(w.File.Nodes[line], func(int, int) string { return "" })...)
}

// record returns the folder where a line keeps its results, or "".
func (w *planner) record(s *scope, g *dockerfile.GoLine) string {
	if !w.tests.asked || !g.RunsTests() {
		return ""
	}
	dir := testRecords
	if !s.root() {
		dir = testRecordsUser
	}
	place := testPlace{stage: s.index, name: s.name, dir: dir}
	if place.name == "" {
		place.name = strconv.Itoa(s.index)
	}
	if !slices.Contains(w.tests.places, place) {
		w.tests.places = append(w.tests.places, place)
	}
	return dir + "/" + strconv.Itoa(g.Node.StartLine)
}

// addTestStages adds the stages that export the tests' results, after the user's stages.
func (w *planner) addTestStages() {
	if !w.tests.asked || len(w.tests.places) == 0 {
		return
	}
	p := w.plan
	if !strings.HasSuffix(p.Dockerfile, "\n") {
		p.Dockerfile += "\n"
	}
	add := func(format string, args ...any) { p.Dockerfile += fmt.Sprintf(format, args...) + "\n" }
	run := func(shown string, s step.Step) {
		line := strings.Count(p.Dockerfile, "\n") + 1
		command, _ := json.Marshal(append([]string{step.Go}, step.Args(s)...))
		add("RUN --network=none --mount=type=bind,from=%s,source=%s,target=%s %s", StepContext, StepFile, step.Go, command)
		p.Rewrites = append(p.Rewrites, Rewrite{Line: line, EndLine: line, Text: shown, What: "added for the target " + w.Target, Runs: true, escape: parser.DefaultEscapeToken})
	}
	var names []string
	add("FROM --platform=${BUILDPLATFORM} scratch AS %s", testJoinStage)
	for _, place := range w.tests.places {
		add("COPY --from=%s %s/ /records/", strconv.Itoa(place.stage), place.dir)
		if !slices.Contains(names, place.name) {
			names = append(names, place.name)
		}
	}
	run("GO test: join the results", &step.TestResults{From: "/records", Out: "/results"})
	add("FROM scratch AS %s\nCOPY --from=%s /results/ /", TestResultsTarget, testJoinStage)
	add("FROM %s AS %s", testJoinStage, testFailStage)
	run("GO test: fail if tests failed", &step.TestVerdict{From: "/results", Stages: strings.Join(names, ",")})
	add("FROM scratch AS %s\nCOPY --from=%s /results/ /", TestTarget, testFailStage)
}
