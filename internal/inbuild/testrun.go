package inbuild

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/larder-build/larder/internal/atomicfile"
	"github.com/larder-build/larder/internal/inbuild/junit"
	"github.com/larder-build/larder/internal/inbuild/testjson"
)

// These are the files that hold the results of tests: in the folder of --record, and in that of the step test-results.
const (
	testJSON   = "test.json"  // what go test -json printed
	testText   = "test.txt"   // what was shown of it
	testStderr = "stderr.txt" // of --record alone: what go said on stderr
	testLine   = "line.txt"   // of --record alone: the GO line
	testExit   = "exit-code"  // of go test: 0, or 1 if tests failed
	testCover  = "cover.out"  // the coverage, if any was asked for
	testJUnit  = "junit.xml"  // of test-results alone
	testSeeds  = "seeds"      // inputs that fuzzing found to fail, by their paths in the module
)

// A testRun is a "go test" whose events are read. It runs with -json, but shows the same output as without.
//
// With --record its results are kept, the coverage among them, and it succeeds if tests fail, so that the build goes on
// and exports them: a step of its own, test-verdict, fails. What keeps tests from being run at all is a failure still.
type testRun struct {
	line  *goLine
	words []string // the go command's, as they were written

	mu     sync.Mutex // of what two streams write to
	report junit.Report
	json   io.Writer
	text   io.Writer
	stderr testjson.Clipped
}

// maxStderr is the number of bytes of stderr that are kept.
const maxStderr = 256 << 10

// test returns a testRun for a line whose test results are requested, or nil.
func (l *goLine) test(words []string) *testRun {
	if words[0] != "test" || l.JUnit == "" && l.Record == "" && !hasFlag(words, "fuzz") {
		return nil
	}
	return &testRun{line: l, words: words, json: io.Discard, text: io.Discard, stderr: testjson.Clipped{Limit: maxStderr}}
}

// run runs the command. It adds the flags to the command's arguments.
func (t *testRun) run(cmd *exec.Cmd, stdout, stderr io.Writer) error {
	var err error
	switch l := t.line; {
	case l.Record != "":
		err = t.record(cmd, stdout, stderr)
	case l.JUnit != "":
		cmd.Args = append(cmd.Args[:1], withFlags(t.words, t.jsonFlag()...)...)
		err = t.watch(cmd, stdout, stderr)
	default:
		err = t.withInputs("", stderr, func() error { return runCommand(cmd, stdout, stderr) })
	}
	if err != nil || t.line.JUnit == "" {
		return err
	}
	return t.writeJUnit(t.line.JUnit)
}

// record runs the command and keeps its results.
func (t *testRun) record(cmd *exec.Cmd, stdout, stderr io.Writer) error {
	dir := t.line.Record
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keeping the test's results: %w", err)
	}
	events, err := os.Create(filepath.Join(dir, testJSON))
	if err != nil {
		return fmt.Errorf("keeping the test's results: %w", err)
	}
	defer events.Close()
	text, err := os.Create(filepath.Join(dir, testText))
	if err != nil {
		return fmt.Errorf("keeping the test's results: %w", err)
	}
	defer text.Close()
	jsonKept, textKept := &stdoutFile{File: events}, &stdoutFile{File: text}
	t.json, t.text = jsonKept, textKept
	cover, extra := t.coverage(filepath.Join(dir, testCover))
	cmd.Args = append(cmd.Args[:1], withFlags(t.words, append(t.jsonFlag(), extra...)...)...)
	err = t.withInputs(filepath.Join(dir, testSeeds), io.MultiWriter(stderr, t.text), func() error { return t.watch(cmd, stdout, stderr) })
	code := 0
	if err != nil {
		if exit := new(exitError); !errors.As(err, &exit) || exit.code != 1 {
			return err // no word on tests: it was called wrongly, or ended from outside
		}
		code = 1
	}
	if cover != "" {
		err = copyFile(cover, filepath.Join(dir, testCover))
	} else {
		err = nil
	}
	for _, f := range []struct{ name, text string }{{testStderr, t.stderr.String()}, {testLine, t.line.line}, {testExit, strconv.Itoa(code) + "\n"}} {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f.name), []byte(f.text), 0o644)
		}
	}
	for _, kept := range []*stdoutFile{jsonKept, textKept} {
		if err == nil {
			err = kept.err
		}
	}
	if err != nil {
		return fmt.Errorf("keeping the test's results: %w", err)
	}
	return nil
}

// watch runs the command and reads its events. It shows them as text, or unchanged if the line has -json.
func (t *testRun) watch(cmd *exec.Cmd, stdout, stderr io.Writer) error {
	return runConverted(cmd, stdout, io.MultiWriter(stderr, t.text), func(out, errs io.Writer) (io.Writer, io.Writer, func()) {
		printer := &testjson.Printer{Stdout: io.MultiWriter(out, t.text), Stderr: errs, Verbose: hasFlag(t.words, "v")}
		switch {
		case hasFlag(t.words, "fuzz"):
			printer.Live = "Fuzz"
		case hasFlag(t.words, "bench"):
			printer.Live = "Benchmark"
		}
		raw := hasFlag(t.words, "json")
		if raw {
			printer.Stdout, printer.Stderr = t.text, t.text
		}
		lines := testjson.NewLines(func(line []byte) {
			t.json.Write(line)
			if raw {
				out.Write(line)
			}
			if e, ok := testjson.Parse(line); ok {
				t.report.Add(e)
				printer.Add(e)
			} else if !raw {
				printer.Stdout.Write(line)
			}
		})
		done := func() {
			lines.Flush()
			printer.Close()
		}
		return lockedWriter{&t.mu, lines}, lockedWriter{&t.mu, io.MultiWriter(errs, stringWriter{&t.stderr})}, done
	})
}

// jsonFlag returns the flag that makes go test write events, unless the line has it.
func (t *testRun) jsonFlag() []string {
	if hasFlag(t.words, "json") {
		return nil
	}
	return []string{"-json"}
}

// coverage returns the file to which the line's own flags write the coverage, or else flags that write it to the file
// to. There are no such flags for fuzzing, which has no coverage, nor for benchmarks, whose figures it would change.
func (t *testRun) coverage(to string) (own string, flags []string) {
	flags = []string{"-coverprofile=" + to}
	eachFlag(t.words, func(name, value string) {
		switch name {
		case "-coverprofile":
			if own = value; !filepath.IsAbs(own) {
				own = filepath.Join(t.line.Dir, own)
			}
			flags = nil
		case "-fuzz", "-bench", "-outputdir", "-list":
			flags = nil
		}
	})
	return own, flags
}

// makeFolders makes the folders of the files that flags of go test name, as go build does for -o. Go test fails if they
// are missing. It makes no folders inside the module, which is read-only.
func makeFolders(words []string) (err error) {
	if words[0] != "test" {
		return nil
	}
	eachFlag(words, func(name, value string) {
		if err != nil || !filepath.IsAbs(value) {
			return
		}
		switch name {
		case "-blockprofile", "-coverprofile", "-cpuprofile", "-memprofile", "-mutexprofile", "-trace":
			err = os.MkdirAll(filepath.Dir(value), 0o755)
		case "-outputdir":
			err = os.MkdirAll(value, 0o755)
		}
	})
	if err != nil {
		return fmt.Errorf("making a folder that the line names: %w", err)
	}
	return nil
}

// writeJUnit writes the report to a file.
func (t *testRun) writeJUnit(name string) error {
	if err := writeReport(&t.report, name); err != nil {
		return fmt.Errorf("--junit=%s: %w", name, err)
	}
	return nil
}

// writeReport writes a report to a file, which is complete or missing.
func writeReport(report *junit.Report, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteBy(name, func(f *os.File) error {
		_, err := report.WriteTo(f)
		return err
	})
}

// testFlags returns the words after "test" that are for the go command. Those after -args are for the test binary.
func testFlags(words []string) []string {
	if i := slices.IndexFunc(words, func(w string) bool { return oneDash(w) == "-args" }); i >= 0 {
		words = words[:i]
	}
	return words[1:]
}

// eachFlag calls do for each flag of a line of go test, with the flag's name, without the prefix test., and its value.
// If a flag has no "=", the next word is taken as its value, even if the flag takes none.
func eachFlag(words []string, do func(name, value string)) {
	words = testFlags(words)
	for i, w := range words {
		name, value, ok := strings.Cut(oneDash(w), "=")
		if !strings.HasPrefix(name, "-") {
			continue
		}
		if !ok && i+1 < len(words) {
			value = words[i+1]
		}
		do("-"+strings.TrimPrefix(name[1:], "test."), value)
	}
}

// hasFlag reports whether a line of go test has a flag, which isn't set to false.
func hasFlag(words []string, name string) bool {
	return slices.ContainsFunc(testFlags(words), func(w string) bool {
		flag, value, _ := strings.Cut(oneDash(w), "=")
		return (flag == "-"+name || flag == "-test."+name) && value != "false"
	})
}

// withFlags inserts flags after "test", and after -C, which must be the first flag.
func withFlags(words []string, flags ...string) []string {
	at := 1
	if len(words) > 1 && strings.HasPrefix(oneDash(words[1]), "-C") {
		at = 2
		if oneDash(words[1]) == "-C" {
			at = min(3, len(words))
		}
	}
	return slices.Insert(slices.Clone(words), at, flags...)
}

// A lockedWriter is one of several writers that write to the same place, one at a time.
type lockedWriter struct {
	mu *sync.Mutex
	io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Writer.Write(p)
}

// A stringWriter keeps what is written to it.
type stringWriter struct{ to *testjson.Clipped }

func (w stringWriter) Write(p []byte) (int, error) {
	w.to.WriteString(string(p))
	return len(p), nil
}
