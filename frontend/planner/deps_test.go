package planner

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// TestPart holds which lines of a file add what they import to what another line has compiled.
func TestPart(t *testing.T) {
	tree := fstest.MapFS{
		"go.mod":           {Data: []byte("module example.com/app\n\ngo 1.26\n")},
		"cmd/one/main.go":  {Data: []byte("package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/app/lib\"\n)\n\nfunc main() { fmt.Println(lib.Name) }\n")},
		"cmd/two/main.go":  {Data: []byte("package main\n\nimport _ \"fmt\"\n\nfunc main() {}\n")},
		"lib/lib.go":       {Data: []byte("package lib\n\nimport \"strings\"\n\nvar Name = strings.ToUpper(\"lib\")\n")},
		"lib/lib_arm64.go": {Data: []byte("package lib\n\nimport _ \"sort\"\n")},
		"lib/lib_test.go":  {Data: []byte("package lib\n\nimport \"testing\"\n\nfunc TestName(t *testing.T) {}\n")},
	}
	const amd64, arm64 = "linux/amd64", "linux/arm64"
	for _, test := range []struct {
		name, lines, target, of string
		part, platform          string
	}{
		{"tests add to what is built", "GO test ./...\nGO build ./cmd/one\n", amd64, "line 2", "line 3", amd64},
		{"of another platform's tests, the builder's", "GO test ./...\nGO build ./cmd/one\n", arm64, "line 2", "line 3", amd64},
		{"the largest part", "GO build ./cmd/two\nGO build ./...\nGO build ./lib\n", arm64, "line 3", "line 4", arm64},
		{"what is built has no part", "GO test ./...\nGO build ./cmd/one\n", amd64, "line 3", "", ""},
		{"other flags", "GO test ./...\nGO build -trimpath ./cmd/one\n", amd64, "line 2", "", ""},
		{"flags of the stage", "ENV GOFLAGS=-trimpath\nGO test ./...\nGO build -trimpath ./cmd/one\n", amd64, "line 3", "line 4", amd64},
		{"another setting", "GO test ./...\nENV GOEXPERIMENT=jsonv2\nGO build ./cmd/one\n", amd64, "line 2", "", ""},
		{"services", "GO build ./cmd/two\nGO build ./cmd/one\n", amd64, "line 3", "", ""},
		{"twice the same", "GO build ./cmd/one\nGO build -o /out/ ./cmd/one\n", amd64, "line 3", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := fstest.MapFS{"Dockerfile": {Data: []byte("FROM go\n" + test.lines)}}
			for name, file := range tree {
				files[name] = file
			}
			p, err := New(requestOf(t, "travels: true\nplatforms: "+amd64+","+arm64+"\n", files))
			require.NoError(t, err)
			for _, d := range p.Deps {
				if d.For != test.of {
					continue
				}
				part, platform := p.Part(d, test.target)
				require.Equal(t, test.platform, platform)
				require.Equal(t, test.part != "", part != nil)
				if part != nil {
					require.Equal(t, test.part, part.For)
				}
				return
			}
			require.Fail(t, "no such line", "%s", test.of)
		})
	}
}
