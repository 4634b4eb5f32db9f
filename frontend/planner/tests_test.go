package planner

import (
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/stretchr/testify/require"
)

// FuzzTestTarget holds that any file can be planned for its tests, that BuildKit's parser takes what comes out, and that
// the user's lines stay where they are.
func FuzzTestTarget(f *testing.F) {
	f.Add("")
	f.Add("# syntax=larder\n")
	f.Add("FROM go\nGO --junit=/out/j.xml test -fuzz=X .\nRUN [\"x\"]\nFROM 0\nCOPY <<E /\nE\nGO test\nGO build \\\n  -o /x\n")
	f.Add("FROM golang AS a\nUSER u\nGO test .\nFROM scratch\nRUN --mount=from=a,target=/a x\n")
	f.Add("# escape=`\nFROM go\r\nGO test `\r\n  .\r\nRUN x")
	f.Fuzz(func(t *testing.T, dockerfile string) {
		req := fuzzRequest(dockerfile, "module example.com/app\n\ngo 1.26\n", "")
		req.Target = TestTarget
		req.File = ForTarget(req.File, TestTarget)
		p, err := New(req)
		if err != nil || !p.Go || req.File.Broken {
			return
		}
		_, err = parser.Parse(strings.NewReader(p.Dockerfile))
		require.NoError(t, err)
		require.GreaterOrEqual(t, strings.Count(p.Dockerfile, "\n"), strings.Count(strings.TrimRight(dockerfile, "\n"), "\n"))
	})
}
