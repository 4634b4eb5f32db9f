package inbuild

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/larder-build/larder/internal/step"
)

const (
	passing = "package y\n\nimport \"testing\"\n\nfunc Two() int { return 2 }\n\nfunc TestTwo(t *testing.T) {\n\tt.Log(\"quiet\")\n\tif Two() != 2 {\n\t\tt.Fatal()\n\t}\n}\n"
	failing = "package z\n\nimport (\n\t\"fmt\"\n\t\"testing\"\n)\n\nfunc TestBad(t *testing.T) {\n\tfmt.Println(\"loud\")\n\tt.Error(\"no luck\")\n}\n"
)

func readFile(t *testing.T, elems ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(elems...))
	require.NoError(t, err)
	return string(data)
}

func TestGoLineWritesJUnit(t *testing.T) {
	src, out := makeTree(t, "y_test.go", passing, "z/z_test.go", failing), filepath.Join(t.TempDir(), "new")
	code, stdout, stderr := goLineIn(t, src, "test .", "--junit="+out+"/junit.xml")
	require.Zero(t, code, stderr)
	require.Regexp(t, `^ok  \tx.example/y\t[^\n]+\n$`, stdout, "as go test shows it")
	require.Contains(t, readFile(t, out, "junit.xml"), `<testcase classname="x.example/y" name="TestTwo"`)
	require.NoError(t, os.RemoveAll(out))

	code, stdout, _ = goLineIn(t, src, "test -v .", "--junit="+out+"/junit.xml")
	require.Zero(t, code)
	require.Contains(t, stdout, "=== RUN   TestTwo\n")
	require.NoError(t, os.RemoveAll(out))

	code, stdout, _ = goLineIn(t, src, "test -json . -args x", "--junit="+out+"/junit.xml")
	require.Zero(t, code)
	require.Contains(t, stdout, `"Action":"pass"`)
	require.NoError(t, os.RemoveAll(out))

	code, stdout, _ = goLineIn(t, src, "test ./...", "--junit="+out+"/junit.xml")
	require.Equal(t, 1, code)
	require.Regexp(t, `^ok  \tx.example/y\t.*\n--- FAIL: TestBad .*\nloud\n    z_test.go:10: no luck\nFAIL\nFAIL\tx.example/y/z\t.*\nFAIL\n$`, stdout)
	require.NoDirExists(t, out)
}

// Lines that keep their results, the files made of them, and the verdict.
func TestResults(t *testing.T) {
	src, root := makeTree(t, "y_test.go", passing, "y.go", "package y\n\nfunc One() int { return 1 }\n", "z/z_test.go", failing, "z/z.go", "package z\n"), t.TempDir()
	records, out := filepath.Join(root, "records"), filepath.Join(root, "out")
	own := filepath.Join(root, "made", "own.out") // its folder too is made
	t.Setenv("GOFLAGS", "-count=1")
	for record, line := range map[string]string{"7": "test .", "12": "test -coverprofile=" + own + " -covermode=count ./..."} {
		code, _, stderr := goLineIn(t, src, line, "--record="+filepath.Join(records, record))
		require.Zero(t, code, stderr)
	}
	require.FileExists(t, own)
	code, stdout, stderr := runStep(t, "test-results", "--from", records, "--out", out)
	require.Zero(t, code, stderr)
	require.Equal(t, "results of 2 GO test lines: exit code 1\n", stdout)
	require.Equal(t, "1\n", readFile(t, out, "exit-code"))
	require.Regexp(t, `(?s)^# GO test \.\nok .*\n# GO test -coverprofile.*--- FAIL: TestBad`, readFile(t, out, "test.txt"))
	xml := readFile(t, out, "junit.xml")
	require.Contains(t, xml, `<testsuites tests="3" failures="1" errors="0"`)
	require.Equal(t, 2, strings.Count(xml, `name="TestTwo"`), "two lines, two suites")
	cover := readFile(t, out, "cover.out")
	require.Equal(t, 1, strings.Count(cover, "mode: "))
	require.True(t, strings.HasPrefix(cover, "mode: set\n"))
	require.Equal(t, 2, strings.Count(cover, "x.example/y/y.go:3.16,3.28 1 0\n"), cover)
	require.Contains(t, readFile(t, out, "test.json"), `"Test":"TestBad"`)

	code, stdout, stderr = runStep(t, "test-verdict", "--from", out, "--stages=build")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "no luck")
	require.Contains(t, stderr, "larder: tests failed: ")
	require.Contains(t, stderr, "--no-cache-filter=build\n")

	require.NoError(t, os.RemoveAll(filepath.Join(records, "12")))
	code, _, stderr = runStep(t, "test-results", "--from", records, "--out", out)
	require.Zero(t, code, stderr)
	code, stdout, _ = runStep(t, "test-verdict", "--from", out, "--stages=build")
	require.Zero(t, code)
	require.Equal(t, "all tests passed\n", stdout)

	require.NoError(t, os.Mkdir(filepath.Join(records, "x"), 0o755))
	_, _, stderr = runStep(t, "test-results", "--from", records, "--out", out)
	require.Contains(t, stderr, "is no folder of a GO test line")
}

// What can't be built is a result; what isn't called rightly is none.
func TestResultsWithoutTests(t *testing.T) {
	src, record := makeTree(t, "y_test.go", passing+"var x int = \"\"\n", "go.mod", "module x.example/y\n\ngo 1.25\n"), t.TempDir()
	code, _, stderr := goLineIn(t, src, "test .", "--record="+record)
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "cannot use")
	require.Equal(t, "1\n", readFile(t, record, "exit-code"))
	require.Contains(t, readFile(t, record, "test.json"), `"Action":"build-fail"`)

	record = t.TempDir()
	code, _, stderr = goLineIn(t, makeTree(t, "y_test.go", "package y\n\nimport _ \"a.example/none\"\n"), "test .", "--record="+record)
	require.Zero(t, code, stderr)
	require.Contains(t, readFile(t, record, "test.txt"), "larder: no module of go.mod has the package a.example/none", "what to do is among the results")

	record = t.TempDir()
	code, _, stderr = goLineIn(t, src, "test -timeout=soon .", "--record="+record)
	require.Equal(t, 2, code, stderr)
	require.NoFileExists(t, filepath.Join(record, "exit-code"))

	code, _, stderr = goLineIn(t, src, "test -race .")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "larder: -race needs cgo, which is off here")
}

// A test that hangs is killed at its timeout, and its goroutines are shown, under record and not.
func TestResultsOfHang(t *testing.T) {
	src, record := makeTree(t, "y_test.go", "package y\n\nimport \"testing\"\n\nfunc TestHang(t *testing.T) { select {} }\n"), t.TempDir()
	code, stdout, _ := goLineIn(t, src, "test -timeout=1s .", "--record="+record)
	require.Zero(t, code)
	require.Contains(t, stdout, "panic: test timed out after 1s")
	require.Contains(t, stdout, "y.TestHang(")
	require.Equal(t, stdout, readFile(t, record, "test.txt"))
}

// What fuzzing finds to fail is shown and kept.
func TestInputsOfFuzzing(t *testing.T) {
	src, kept := makeTree(t, "deep/testdata/fuzz/FuzzY/seed", "go test fuzz v1\nstring(\"known\")\n"), t.TempDir()
	for _, to := range []string{"", kept} {
		run := &testRun{line: &goLine{GoLine: step.GoLine{Dir: src}}, words: strings.Fields("test -fuzz=FuzzY ./deep")}
		found, failed := filepath.Join(src, "deep/testdata/fuzz/FuzzY/found"), errors.New("failed")
		var stderr bytes.Buffer
		err := run.withInputs(to, &stderr, func() error {
			require.NoError(t, os.WriteFile(found, []byte("go test fuzz v1\nstring(\"0\")\n"), 0o644))
			return failed
		})
		require.Equal(t, failed, err)
		require.Equal(t, "larder: fuzzing found an input that fails: keep it as deep/testdata/fuzz/FuzzY/found where the sources are kept:\ngo test fuzz v1\nstring(\"0\")\n", stderr.String())
		require.NoError(t, os.Remove(found))
	}
	require.Equal(t, "go test fuzz v1\nstring(\"0\")\n", readFile(t, kept, "deep/testdata/fuzz/FuzzY/found"))
	require.NoFileExists(t, filepath.Join(kept, "deep/testdata/fuzz/FuzzY/seed"))
}

func TestWithFlags(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"test", "test -json"},
		{"test ./... -args -C", "test -json ./... -args -C"},
		{"test -C dir .", "test -C dir -json ."},
		{"test --C=dir .", "test --C=dir -json ."},
		{"test -C", "test -C -json"},
	} {
		require.Equal(t, tt.want, strings.Join(withFlags(strings.Fields(tt.line), "-json"), " "))
	}
	require.True(t, hasFlag(strings.Fields("test --v=true"), "v"))
	require.True(t, hasFlag(strings.Fields("test -test.v"), "v"))
	require.False(t, hasFlag(strings.Fields("test -v=false -args -v"), "v"))
}
