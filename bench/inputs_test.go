//go:build bench

package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// An input is a tree to build.
type input struct {
	name  string
	make  func(t *testing.T, dir string)
	mains []string // folders of main packages
	main  string   // the file of one of them
	deep  string   // a file that all of them compile, or ""
	slow  bool     // fewer runs, and none of the peer that has no cache mounts
	bake  bool     // built by bake, too
}

// repository is the input's name as a registry takes it.
func (in input) repository() string {
	return strings.ToLower(strings.ReplaceAll(in.name, " ", "-"))
}

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
	in := input{name: "services", main: "cmd/s0/main.go", deep: "shared/p0/p.go", slow: true, bake: true}
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

// larder is Larder's own repository, as it is committed.
func larder() input {
	return input{
		name: "Larder itself", mains: []string{"./cmd/larder"}, main: "cmd/larder/main.go", deep: "internal/golang/gomod/set.go", slow: true,
		make: func(t *testing.T, dir string) {
			archive, untar := exec.Command("git", "-C", testkit.Root(t), "archive", "HEAD"), exec.Command("tar", "-x", "-C", dir)
			var err error
			untar.Stdin, err = archive.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, untar.Start())
			require.NoError(t, archive.Run())
			require.NoError(t, untar.Wait())
		},
	}
}

// grown is a program that imports a number of modules, or of packages of its own, all of them small.
func grown(w *world, kind string, count int) input {
	in := input{name: fmt.Sprintf("%d %s", count, kind), mains: []string{"."}, main: "main.go", slow: true}
	in.make = func(t *testing.T, dir string) {
		var mod, sum, imports strings.Builder
		mod.WriteString("module example.com/grown\n\ngo 1.26\n\n")
		for i := range count {
			text := fmt.Sprintf("package lib\n\n// F adds up.\nfunc F(n int) (sum int) {\n\tfor i := range n {\n\t\tsum += i * %d\n\t}\n\treturn sum\n}\n", i)
			path := fmt.Sprintf("example.com/grown/p%d", i)
			if kind == "modules" {
				path = fmt.Sprintf("m%d.example/lib", i)
				fmt.Fprintf(&mod, "require %s v1.0.0\n", path)
				sum.WriteString(testkit.Module{Path: path, Version: "v1.0.0", Files: map[string]string{"go.mod": "module " + path + "\n\ngo 1.26\n", "lib.go": text}}.Write(t, w.modules))
			} else {
				require.NoError(t, os.Mkdir(filepath.Join(dir, filepath.Base(path)), 0o755))
				require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(path), "lib.go"), []byte(text), 0o644))
			}
			fmt.Fprintf(&imports, "import _ \"%s\"\n", path)
		}
		for name, text := range map[string]string{"go.mod": mod.String(), "go.sum": sum.String(), "main.go": "package main\n\n" + imports.String() + "\nfunc main() {}\n"} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
		}
	}
	return in
}
