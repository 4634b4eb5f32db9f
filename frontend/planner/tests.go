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

// Targets that run the tests of a file, if no stage of it has that name, and export what they said. BuildKit exports
// nothing of a build that fails. So a GO test line of such a target keeps its results and goes on if tests fail, and a
// step of its own, which TestTarget has and TestResultsTarget hasn't, fails.
const (
	TestTarget        = "larder-test"         // fails if tests do
	TestResultsTarget = "larder-test-results" // shares its steps, and doesn't fail
)

// Names of stages that are added for these targets.
const (
	testRunStage  = TestTarget + "-run"  // runs the module's tests, in a file without a GO test line
	testJoinStage = TestTarget + "-join" // joins the results of all lines
	testFailStage = TestTarget + "-fail" // fails
)

// Where a GO test line keeps its results in its stage, in a folder named by its line. Only root can write into /.
const (
	testRecords     = "/.larder-test"
	testRecordsUser = "/tmp/.larder-test"
)

// ForTarget returns the file that a target is built of: the file itself, with a stage that runs the tests of the module
// behind it where these are the target and no GO line of the file runs tests.
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

// testsAre reports whether a target is one of those that run tests.
func testsAre(f dockerfile.File, target string) bool {
	return (target == TestTarget || target == TestResultsTarget) &&
		!slices.ContainsFunc(f.Stages, func(st instructions.Stage) bool { return strings.EqualFold(st.Name, target) })
}

// checkSanitizer refuses flags that need cgo on a line that is known to be without.
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

// tests says what a build of the tests takes of a file. Its zero value is for a build of something else.
type tests struct {
	asked  bool
	last   map[int]int // by stage: the last GO test line
	whole  map[int]bool
	places []testPlace
}

// A testPlace is a folder of records.
type testPlace struct {
	stage int
	name  string // of the stage, or its number
	dir   string
}

// drops reports whether an instruction is left out: what comes after the tests of a stage isn't built for them.
func (t tests) drops(stage, line int) bool {
	last, ok := t.last[stage]
	return ok && !t.whole[stage] && line > last
}

// findTests finds the stages that run tests. Of a stage that no later one refers to, nothing is needed after its tests.
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

// refers reports whether a stage may need what an earlier one leaves.
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

// drop takes an instruction out.
func (w *planner) drop(line int) {
	w.edits = append(w.edits, w.File.ReplaceLines(w.File.Nodes[line], func(int, int) string { return "" })...)
}

// record returns where a line keeps its results, or "" for one that doesn't.
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

// addTestStages adds the stages that the tests' results are taken from, behind the user's.
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
