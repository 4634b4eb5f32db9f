package junit

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/inbuild/testjson"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

func report(stream []byte) *Report {
	r := new(Report)
	lines := testjson.NewLines(func(line []byte) {
		if e, ok := testjson.Parse(line); ok {
			r.Add(e)
		}
	})
	lines.Write(stream)
	lines.Flush()
	return r
}

// streams returns those that go test wrote, by name.
func streams(t testing.TB) map[string][]byte {
	files, err := filepath.Glob("../testjson/testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := map[string][]byte{}
	for _, file := range files {
		stream, err := os.ReadFile(file)
		require.NoError(t, err)
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = stream
	}
	return all
}

func TestReport(t *testing.T) {
	all := streams(t)
	all["none"] = nil
	for name, stream := range all {
		t.Run(name, func(t *testing.T) {
			r := report(stream)
			if name == "none" || name == "torn" {
				r.Fail("go: updates to go.mod needed\n")
			}
			var out bytes.Buffer
			_, err := r.WriteTo(&out)
			require.NoError(t, err)
			golden := filepath.Join("testdata", name+".xml")
			if *update {
				require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), out.String())
			requireCounts(t, out.Bytes())
		})
	}
}

// requireCounts holds that the counts of a file are those of what is in it.
func requireCounts(t *testing.T, text []byte) {
	var x xmlSuites
	require.NoError(t, xml.Unmarshal(text, &x))
	tests, failures, errs := 0, 0, 0
	for _, s := range x.Suites {
		require.Len(t, s.Cases, s.Tests)
		tests += s.Tests
		for _, c := range s.Cases {
			if c.Failure != nil {
				failures++
			}
			if c.Error != nil {
				errs++
			}
		}
	}
	require.Equal(t, []int{x.Tests, x.Failures, x.Errors}, []int{tests, failures, errs})
}

func TestReportIsBounded(t *testing.T) {
	r := new(Report)
	text := strings.Repeat("x", 1<<20)
	for range 100 {
		r.Add(testjson.Event{Action: "output", Package: "p", Test: "TestA", Output: text})
		r.Add(testjson.Event{Action: "fail", Package: "p", Test: "TestA"})
		r.Add(testjson.Event{Action: "run", Package: "p", Test: "TestA"})
	}
	n, err := r.WriteTo(io.Discard)
	require.NoError(t, err)
	require.Less(t, n, int64(maxAll+maxCase))
}

func FuzzReport(f *testing.F) {
	for _, stream := range streams(f) {
		f.Add(stream, "stderr")
	}
	f.Fuzz(func(t *testing.T, stream []byte, stderr string) {
		r := report(stream)
		r.Fail(stderr)
		var out bytes.Buffer
		_, err := r.WriteTo(&out)
		require.NoError(t, err)
		requireCounts(t, out.Bytes())
	})
}
