package testjson

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files")

// print shows a stream of events as text; what isn't an event stays as it is.
func print(stream []byte, p *Printer) {
	lines := NewLines(func(line []byte) {
		if e, ok := Parse(line); ok {
			p.Add(e)
		} else {
			p.Stdout.Write(line)
		}
	})
	lines.Write(stream)
	lines.Flush()
	p.Close()
}

func TestPrinter(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		for suffix, verbose := range map[string]bool{".txt": false, ".v.txt": true} {
			t.Run(name+suffix, func(t *testing.T) {
				stream, err := os.ReadFile(file)
				require.NoError(t, err)
				var out bytes.Buffer
				live := map[string]string{"bench": "Benchmark", "fuzz": "Fuzz"}[name]
				print(stream, &Printer{Stdout: &out, Stderr: &out, Verbose: verbose, Live: live})
				golden := filepath.Join("testdata", name+suffix)
				if *update {
					require.NoError(t, os.WriteFile(golden, out.Bytes(), 0o644))
				}
				want, err := os.ReadFile(golden)
				require.NoError(t, err)
				require.Equal(t, string(want), out.String())
			})
		}
	}
}

func TestLinesInPieces(t *testing.T) {
	var got []string
	lines := NewLines(func(line []byte) { got = append(got, string(line)) })
	for _, piece := range []string{"a", "b\nc\n", "\n", "d"} {
		n, err := lines.Write([]byte(piece))
		require.NoError(t, err)
		require.Equal(t, len(piece), n)
	}
	lines.Flush()
	lines.Flush()
	require.Equal(t, []string{"ab\n", "c\n", "\n", "d"}, got)
}

func TestClipped(t *testing.T) {
	c := Clipped{Limit: 20}
	c.WriteString("0123456789abcdefghij")
	require.Equal(t, "0123456789abcdefghij", c.String())
	for range 10 {
		c.WriteString("0123456789")
	}
	require.LessOrEqual(t, c.Len(), 30)
	require.Regexp(t, `^0123456789\n… \d+ bytes left out …\n[0-9]+9$`, c.String())
}

func FuzzPrinter(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, file := range files {
		stream, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(stream, false)
		f.Add(stream, true)
	}
	f.Fuzz(func(t *testing.T, stream []byte, verbose bool) {
		var out bytes.Buffer
		p := &Printer{Stdout: &out, Stderr: &out, Verbose: verbose}
		print(stream, p)
		require.Empty(t, p.packages, "nothing is held back")
	})
}
