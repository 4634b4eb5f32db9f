//go:build bench

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// hello is examples/hello: 46 modules, one main package.
func hello() input {
	return input{
		name: "hello", mains: []string{"."}, main: "main.go",
		make: func(t *testing.T, dir string) {
			require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join(testkit.Root(t), "examples", "hello"))))
		},
	}
}

// services is a tree of 8 services over 40 packages that they share, each of which imports two others.
func services() input {
	in := input{name: "services", main: "cmd/s0/main.go", deep: "shared/p0/p.go", slow: true}
	for i := range 8 {
		in.mains = append(in.mains, fmt.Sprintf("./cmd/s%d", i))
	}
	in.make = func(t *testing.T, dir string) {
		write := func(name, text string) {
			file := filepath.Join(dir, name)
			require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
			require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		}
		write("go.mod", "module example.com/services\n\ngo 1.26\n\nrequire github.com/google/uuid v1.6.0\n")
		write("go.sum", "github.com/google/uuid v1.6.0 h1:NIvaJDMOsjHA8n1jAhLSgzrAzy1Hgr+hNrb57e+94F0=\ngithub.com/google/uuid v1.6.0/go.mod h1:TIyPZe4MgqvfeYDBFedMoGGpEw/LqOeaOT+nhxU+yHo=\n")
		for i := range 40 {
			imports, calls := "", ""
			for _, j := range []int{i / 2, i / 3} {
				if j < i && !strings.Contains(imports, fmt.Sprintf("/p%d\"", j)) {
					imports += fmt.Sprintf("\t\"example.com/services/shared/p%d\"\n", j)
					calls += fmt.Sprintf(" + p%d.Name()", j)
				}
			}
			var body strings.Builder
			for f := range 60 {
				fmt.Fprintf(&body, "\n// F%d adds up.\nfunc F%d(n int) (sum int) {\n\tfor i := range n {\n\t\tsum += i * %d\n\t}\n\treturn sum\n}\n", f, f, f+i)
			}
			write(fmt.Sprintf("shared/p%d/p.go", i), fmt.Sprintf("// Package p%d is shared.\npackage p%d\n\nimport (\n\t\"strings\"\n%s)\n\n// Name names it.\nfunc Name() string { return strings.ToUpper(\"p%d\")%s }\n%s", i, i, imports, i, calls, body.String()))
		}
		for i := range 8 {
			imports, calls := "", ""
			for j := i * 5; j < i*5+5; j++ {
				imports += fmt.Sprintf("\t\"example.com/services/shared/p%d\"\n", j)
				calls += fmt.Sprintf(", p%d.Name()", j)
			}
			write(fmt.Sprintf("cmd/s%d/main.go", i), fmt.Sprintf("package main\n\nimport (\n\t\"fmt\"\n\t\"net/http\"\n\n%s\n\t\"github.com/google/uuid\"\n)\n\nfunc main() {\n\thttp.HandleFunc(\"/\", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, uuid.New()%s) })\n\tfmt.Println(http.ListenAndServe(\":8080\", nil))\n}\n", imports, calls))
		}
	}
	return in
}
