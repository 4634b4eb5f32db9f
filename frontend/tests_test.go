package frontend_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// testTargets holds that the tests of a file can be had as files whether they fail or not, and that they run once.
func testTargets(g *gateway) {
	sub := *g
	sub.context = g.t.TempDir()
	g = &sub
	g.add("go.mod", "module example.com/app\n\ngo 1.26\n", "README.md", "A library.\n", "sum/sum.go", "package sum\n\nfunc Of(a, b int) int { return a + b }\n",
		"sum/sum_test.go", "package sum\n\nimport \"testing\"\n\nfunc TestOf(t *testing.T) {\n\tif Of(1, 2) != 3 {\n\t\tt.Fatal(\"wrong sum\")\n\t}\n}\n\nfunc FuzzOf(f *testing.F) {\n\tf.Fuzz(func(t *testing.T, a int) {\n\t\tif Of(a, 0) != a {\n\t\t\tt.Fatal(\"wrong\")\n\t\t}\n\t})\n}\n",
		"sum/testdata/fuzz/FuzzOf/seed", "go test fuzz v1\nint(42)\n")
	results, fail := []string{"--opt", "target=larder-test-results"}, []string{"--opt", "target=larder-test"}

	// Without instructions: the tests of the module.
	g.file("")
	root, log := g.export(fail...)
	require.Contains(g.t, log, "[larder-test-run 1/2] GO test ./...")
	require.Equal(g.t, "0\n", read(g.t, root, "exit-code"))
	xml := read(g.t, root, "junit.xml")
	require.Contains(g.t, xml, `<testcase classname="example.com/app/sum" name="FuzzOf/seed"`, "seeds are tests")
	require.Contains(g.t, read(g.t, root, "cover.out"), "example.com/app/sum/sum.go:3.23,3.39 1 1\n")
	g.add("README.md", "Another text.\n")
	_, log = g.export(results...)
	require.Empty(g.t, done(log, `\[.*\] GO test.*`), "an unrelated edit runs no test, and both targets share their steps")

	g.file("FROM go AS build\nGO test ./sum\nGO build -o /out/ ./...\nFROM static\nCOPY --from=build /out/ /\n")
	_, log = g.export(results...)
	require.NotContains(g.t, log, "GO build", "what comes after the tests isn't built")
	broken := strings.NewReplacer("a + b", "a - b").Replace(read(g.t, g.context, "sum/sum.go"))
	g.add("sum/sum.go", broken)
	log = g.fails(fail...)
	require.Contains(g.t, log, "wrong sum")
	require.Contains(g.t, log, "larder: tests failed: the target larder-test-results exports what they said; before an edit, they are only run again with --no-cache-filter=build\n")
	require.Contains(g.t, log, "[larder-test-fail 1/1] GO test: fail if tests failed")
	root, log = g.export(results...)
	require.Empty(g.t, done(log, `\[.*\] GO test.*`), "the tests that failed aren't run again")
	require.Equal(g.t, "1\n", read(g.t, root, "exit-code"))
	require.Contains(g.t, read(g.t, root, "junit.xml"), `<failure message="failed" type="failure">    sum_test.go:7: wrong sum`)
	require.Contains(g.t, read(g.t, root, "test.txt"), "--- FAIL: TestOf")
	_, log = g.export(append(results, "--opt", "no-cache=build")...)
	require.Contains(g.t, done(log, `\[.*\] (GO test.*)`), "GO test ./sum")

	hangs(g, fail)
	byOtherDoors(g)
}

// hangs holds that a test that hangs is killed at its timeout, and its goroutines are shown.
func hangs(g *gateway, target []string) {
	g.add("Dockerfile", strings.Replace(read(g.t, g.context, "Dockerfile"), "GO test ", "GO test -timeout=3s ", 1))
	g.add("sum/sum_test.go", "package sum\n\nimport \"testing\"\n\nfunc TestHang(t *testing.T) {\n\tdone := make(chan int)\n\tfor range 2000 {\n\t\tgo waits(done)\n\t}\n\tneverDone()\n}\n\nfunc waits(done chan int) { <-done }\n\nfunc neverDone() { select {} }\n")
	for _, args := range [][]string{target, {"--opt", "target=build"}} {
		log := g.fails(args...)
		require.Contains(g.t, log, "panic: test timed out after 3s")
		require.Contains(g.t, log, "sum.neverDone(")
		require.Regexp(g.t, `FAIL\s+example.com/app/sum`, log, "the end is shown, however much goroutines fill")
	}
}

// byOtherDoors has the results of tests by buildx, bake and larder build.
func byOtherDoors(g *gateway) {
	out, arg := g.t.TempDir(), "GOPROXY="+g.proxy
	g.buildx("build", "--target", "larder-test-results", "--output", filepath.Join(out, "buildx"), "--build-arg", arg, g.context)
	bake := filepath.Join(g.t.TempDir(), "docker-bake.hcl")
	require.NoError(g.t, os.WriteFile(bake, []byte("target \"test\" {\n  context = \""+g.context+"\"\n  target = \"larder-test-results\"\n  args = { GOPROXY = \""+g.proxy+"\" }\n  output = [\"type=local,dest="+filepath.Join(out, "bake")+"\"]\n}\n"), 0o644))
	g.buildx("bake", "-f", bake, "test")
	cmd := exec.CommandContext(g.t.Context(), testkit.Larder(g.t, "larder"), "build", "--builder", g.addr, "--target", "larder-test-results", "-o", filepath.Join(out, "larder"), g.context)
	cmd.Env = append(os.Environ(), arg)
	log, err := cmd.CombinedOutput()
	require.NoError(g.t, err, "%s", log)
	for _, door := range []string{"buildx", "bake", "larder"} {
		require.Contains(g.t, read(g.t, out, door, "junit.xml"), `<error message="panic: test timed out after 3s" type="timeout">`)
	}
	require.NotContains(g.t, g.buildx("build", "--call", "targets", "--build-arg", arg, g.context), "larder-test", "as the target larder-gocache isn't")
}

// cancelled holds that a build that is cancelled leaves no test running.
func cancelled(g *gateway) {
	sub := *g
	sub.context = g.t.TempDir()
	sub.add("go.mod", "module example.com/app\n\ngo 1.26\n", "neverends/hang_test.go", "package neverends\n\nimport (\n\t\"os\"\n\t\"testing\"\n)\n\nfunc TestHang(t *testing.T) {\n\tos.Stdout.WriteString(\"it hangs\\n\")\n\tselect {}\n}\n")
	sub.file("FROM go AS test\nGO test -v ./neverends\n")
	cmd := sub.buildctlCommand(sub.context, "--opt", "build-arg:GOPROXY="+g.proxy)
	log := &awaited{text: "it hangs", there: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(g.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-log.there:
	case <-ended:
		require.Fail(g.t, "the build ended", "%s", &log.buf)
	}
	require.NotEmpty(g.t, running(g.t, "/neverends.test"))
	require.NoError(g.t, cmd.Process.Signal(os.Interrupt))
	require.Error(g.t, <-ended)
	require.Eventually(g.t, func() bool { return len(running(g.t, "/neverends.test")) == 0 }, testkit.Patience, 20*time.Millisecond, "the test runs on")
}

// awaited is an output that tells when it has a text. Its buffer isn't embedded: that would be read into past Write.
type awaited struct {
	buf   bytes.Buffer
	text  string
	there chan struct{}
	told  bool
}

func (a *awaited) Write(p []byte) (int, error) {
	n, err := a.buf.Write(p)
	if !a.told && bytes.Contains(a.buf.Bytes(), []byte(a.text)) {
		a.told = true
		close(a.there)
	}
	return n, err
}

// running returns the processes whose program has a name, as it is seen in their containers.
func running(t *testing.T, name string) (pids []string) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if program, _, _ := strings.Cut(string(data), "\x00"); err == nil && strings.HasSuffix(program, name) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}
