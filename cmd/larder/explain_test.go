package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/larder-build/larder/frontend/changes"
	"github.com/larder-build/larder/internal/testkit"
	"github.com/stretchr/testify/require"
)

// explainedFile has GO lines of two services, and lines of the user's on a base image of a registry.
const explainedFile = `# syntax=ghcr.io/larder-build/larder:1
ARG VERSION=1
FROM go AS test
GO test ./shared
FROM go AS one
ARG VERSION
ENV MODE=fast
GO build -ldflags="-X main.version=${VERSION}" -o /out/one ./cmd/one
FROM go AS two
GO build -o /out/two ./cmd/two
FROM REGISTRY/base:1
COPY conf /conf
RUN ["/bin/busybox", "true"]
COPY --from=test /usr/local/go/VERSION /VERSION
COPY --from=one /out/one /bin/one
COPY --from=two /out/two /bin/two
`

// An explained is a world whose builds are explained.
type explained struct {
	*world
	registry string
	args     []string
}

func newExplained(t *testing.T, registry string) *explained {
	e := &explained{newWorld(t), registry, nil}
	e.env = append(e.env, "XDG_CACHE_HOME="+t.TempDir())
	main := func(name, more string) string {
		return "package main\n\nimport (\n\t\"fmt\"\n\n\t\"a.example/greet\"\n\n\t\"example.com/app/shared\"\n)\n\nvar version string\n" + more + "\nfunc main() { fmt.Println(greet.Hello(shared.Name), version, \"" + name + "\") }\n"
	}
	sums, err := os.ReadFile(filepath.Join(e.context, "go.sum"))
	require.NoError(t, err)
	greet := strings.Join(slices.DeleteFunc(strings.SplitAfter(string(sums), "\n"), func(s string) bool { return !strings.HasPrefix(s, "a.example") }), "")
	for name, text := range map[string]string{
		"go.mod": "module example.com/app\n\ngo 1.26\n\nrequire a.example/greet v1.2.0\n", "go.sum": greet,
		"cmd/one/main.go": main("one", ""), "cmd/two/main.go": strings.Replace(main("two", "\n//go:embed page\nvar page string\n"), "\t\"fmt\"", "\t_ \"embed\"\n\t\"fmt\"", 1),
		"cmd/two/page": "a page", "shared/shared.go": "package shared\n\nconst Name = \"shared\"\n", "shared/old.go": "package shared\n", "shared/shared_windows.go": "package shared\n",
		"shared/shared_test.go": "package shared\n\nimport \"testing\"\n\nfunc TestName(t *testing.T) {\n\tif Name == \"\" {\n\t\tt.Fatal()\n\t}\n}\n",
		"README.md":             "Two services.\n", "conf/a.json": "{}", "main.go": "",
	} {
		e.write(name, text)
	}
	e.write("Dockerfile", strings.ReplaceAll(explainedFile, "REGISTRY", e.registry))
	return e
}

// pushBase pushes the base image, with a file that tells it from others.
func (e *explained) pushBase(text string) {
	base := world{e.t, e.ns, e.state, e.proxy, testkit.Tree(e.t, "-- Dockerfile --\nFROM scratch\nADD busybox /bin/\nADD note /\n-- note --\n"+text+"\n"), e.env}
	base.addBusybox()
	out, err := base.command(append([]string{"build", "--push", "-t", e.registry + "/base:1"}, append(e.args, base.context)...)...).CombinedOutput()
	require.NoError(e.t, err, "%s", out)
}

// build builds and returns what is said of it.
func (e *explained) build(args ...string) (why explanation, text string) {
	file := filepath.Join(e.t.TempDir(), "metadata.json")
	all := slices.Concat([]string{"build", "--explain", "--metadata-file", file}, e.args, args, []string{e.context})
	out, err := e.command(all...).CombinedOutput()
	require.NoError(e.t, err, "%s", out)
	data, err := os.ReadFile(file)
	require.NoError(e.t, err)
	var metadata struct {
		Explanation *explanation `json:"larder.explanation"`
	}
	require.NoError(e.t, json.Unmarshal(data, &metadata))
	require.NotNil(e.t, metadata.Explanation)
	return *metadata.Explanation, string(out)
}

// row writes what is said of an edit as rows of a table.
func (e *explained) row(edit string, why explanation) string {
	slices.SortStableFunc(why.Steps, func(a, b changes.Change) int { return cmp.Or(a.Line-b.Line, strings.Compare(a.Step, b.Step)) })
	clean := strings.NewReplacer(e.registry, "registry.example", "|", `\|`, e.proxy, "/proxy")
	var b strings.Builder
	said := why.Notes
	for _, s := range why.Steps {
		name := "`" + s.Step + "`"
		if s.Line > 0 {
			name = fmt.Sprintf("line %d, %s", s.Line, name)
		}
		said = append(said, name+"<br>• "+strings.Join(s.Why, "<br>• "))
	}
	if len(said) == 0 {
		said = []string{"Nothing ran again."}
	}
	for _, s := range said {
		fmt.Fprintf(&b, "| %s | %s |\n", edit, regexp.MustCompile(`sha256:[0-9a-f]{12}`).ReplaceAllString(clean.Replace(s), "sha256:…"))
		edit = ""
	}
	return b.String()
}

// Each kind of edit, and what is said of the steps that run again. docs/reference/explanations.md has them all.
func TestExplain(t *testing.T) {
	e := newExplained(t, testkit.Registry(t))
	addr := testkit.Buildkitd(t, nil)
	e.args = []string{"--builder", addr}
	e.pushBase("first")
	testkit.Toolchain(t, e.proxy, "go1.27.3")
	newer := testkit.Module{Path: "a.example/greet", Version: "v1.3.0", Files: map[string]string{"greet.go": "package greet\n\nfunc Hello(name string) string { return \"hi, \" + name }\n"}}.Write(t, e.proxy)
	more := testkit.Module{Path: "c.example/more", Version: "v1.0.0", Files: map[string]string{"more.go": "package more\n"}}.Write(t, e.proxy)
	replace := func(name, old, new string) func() { return func() { e.replace(name, old, new) } }
	write := func(name, text string) func() { return func() { e.write(name, text) } }
	nothing := func() {}
	var table strings.Builder
	for _, edit := range []struct {
		name string
		edit func()
		args []string
	}{
		{"the first build", nothing, nil},
		{"nothing", nothing, nil},
		{"a README", write("README.md", "More than one.\n"), nil},
		{"a file of another platform", write("shared/shared_windows.go", "// Windows.\n\npackage shared\n"), nil},
		{"a comment in the Dockerfile", replace("Dockerfile", "FROM go AS two", "# Two.\nFROM go AS two"), nil},
		{"a test", replace("shared/shared_test.go", "t.Fatal()", "t.Fatal(\"none\")"), nil},
		{"one service", replace("cmd/one/main.go", "\"one\"", "\"1\""), nil},
		{"an import of the standard library", replace("cmd/one/main.go", "\"fmt\"", "\"fmt\"\n\t_ \"html\""), nil},
		{"what two services share", replace("shared/shared.go", "\"shared\"", "\"common\""), nil},
		{"a new file", write("shared/new.go", "package shared\n"), nil},
		{"a file that goes", write("shared/old.go", ""), nil},
		{"a file that was touched, and is as it was", func() { e.touch("shared/new.go") }, nil},
		{"what a program embeds", write("cmd/two/page", "another page"), nil},
		{"a build argument", nothing, []string{"--build-arg", "VERSION=2"}},
		{"ENV", replace("Dockerfile", "MODE=fast", "MODE=slow"), []string{"--build-arg", "VERSION=2"}},
		{"a flag", replace("Dockerfile", "GO build -o /out/two", "GO build -trimpath -o /out/two"), []string{"--build-arg", "VERSION=2"}},
		{"a tag, which compiles imports anew", replace("Dockerfile", "GO build -trimpath", "GO build -trimpath -tags=x"), []string{"--build-arg", "VERSION=2"}},
		{"another version of a module", func() {
			e.replace("go.mod", "greet v1.2.0", "greet v1.3.0")
			e.write("go.sum", newer)
		}, []string{"--build-arg", "VERSION=2"}},
		{"one module more", func() {
			e.replace("go.mod", "require a.example/greet v1.3.0", "require (\n\ta.example/greet v1.3.0\n\tc.example/more v1.0.0\n)")
			e.write("go.sum", newer+more)
		}, []string{"--build-arg", "VERSION=2"}},
		{"the toolchain", replace("go.mod", "go 1.26\n", "go 1.26\n\ntoolchain go1.27.3\n"), []string{"--build-arg", "VERSION=2"}},
		{"what COPY copies", write("conf/a.json", "{\"a\": 1}"), []string{"--build-arg", "VERSION=2"}},
		{"the base image", func() { e.pushBase("second") }, []string{"--build-arg", "VERSION=2", "--pull"}},
		{"a RUN line", replace("Dockerfile", "\"true\"]", "\"echo\"]"), []string{"--build-arg", "VERSION=2"}},
		{"a user", replace("Dockerfile", "RUN [", "USER 1000\nRUN ["), []string{"--build-arg", "VERSION=2"}},
		{"a line that goes", replace("Dockerfile", "RUN [\"/bin/busybox\", \"echo\"]\n", ""), []string{"--build-arg", "VERSION=2"}},
		{"another platform", nothing, []string{"--build-arg", "VERSION=2", "--platform", "linux/arm64"}},
		{"no cache for a stage", nothing, []string{"--build-arg", "VERSION=2", "--platform", "linux/arm64", "--no-cache-filter", "two"}},
		{"a cache that was pruned", func() { testkit.Run(t, testkit.Tool(t, "buildctl"), "--addr", addr, "prune", "--all") }, []string{"--build-arg", "VERSION=2", "--platform", "linux/arm64"}},
	} {
		edit.edit()
		why, _ := e.build(edit.args...)
		table.WriteString(e.row(edit.name, why))
	}
	cache, _ := strings.CutPrefix(e.env[len(e.env)-1], "XDG_CACHE_HOME=")
	records, err := filepath.Glob(filepath.Join(cache, "larder/last-builds/*.json"))
	require.NoError(t, err)
	require.Len(t, records, 3, "one of each folder: two base images were pushed")
	doc := filepath.Join(testkit.Root(t), "docs/reference/explanations.md")
	data, err := os.ReadFile(doc)
	require.NoError(t, err)
	const head = "| edit | what is said |\n| --- | --- |\n"
	text, _, found := strings.Cut(string(data), head)
	require.True(t, found)
	if *update {
		require.NoError(t, os.WriteFile(doc, []byte(text+head+table.String()), 0o644))
		return
	}
	require.Equal(t, string(data), text+head+table.String(), "run the test with -update")
}

func (e *explained) touch(name string) {
	file := filepath.Join(e.context, name)
	data, err := os.ReadFile(file)
	require.NoError(e.t, err)
	require.NoError(e.t, os.Remove(file))
	require.NoError(e.t, os.WriteFile(file, data, 0o644))
}

// said are the sentences on the steps that ran, each behind the name of its step.
func (why explanation) said() (list []string) {
	list = append(list, why.Notes...)
	for _, s := range why.Steps {
		list = append(list, s.Step+": "+strings.Join(s.Why, ", "))
	}
	slices.Sort(list)
	return list
}

// The command's own builder remembers in its state folder, for the user alone, and no values of variables. A record that
// can't be read is no reason to fail.
func TestExplainRecord(t *testing.T) {
	e := newExplained(t, "")
	e.state = t.TempDir()
	e.args = []string{"--builder", "embedded", "--state", e.state, "--build-arg", "TOKEN=hunter2"}
	e.addBusybox()
	e.write("token", "s3cret")
	e.write("Dockerfile", "FROM scratch\nADD busybox /bin/\nARG TOKEN\nCOPY conf /conf\nRUN --mount=type=secret,id=t [\"/bin/busybox\", \"true\"]\n")
	secret := []string{"--secret", "id=t,src=" + filepath.Join(e.context, "token")}
	out, err := e.command(slices.Concat([]string{"build"}, e.args, secret, []string{e.context})...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "remembers")
	records, err := filepath.Glob(filepath.Join(e.state, "last-builds/*.json"))
	require.NoError(t, err)
	require.Len(t, records, 1)
	info, err := os.Stat(records[0])
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	data, err := os.ReadFile(records[0])
	require.NoError(t, err)
	require.NotContains(t, string(data), "hunter2")
	require.NotContains(t, string(data), "s3cret")

	// It was remembered without being asked for.
	e.write("conf/a.json", "[]")
	why, text := e.build(secret...)
	require.Equal(t, []string{
		"[stage-0 2/3] COPY conf /conf: conf/a.json changed",
		`[stage-0 3/3] RUN --mount=type=secret,id=t ["/bin/busybox", "true"]: what it is made of ran again: line 4`,
	}, why.said())
	require.Regexp(t, `These ran again since the build of [-\d]+ [:\d]+:\nline 4    \[stage-0 2/3\] COPY conf /conf\n            conf/a\.json changed\n`, text)

	e.args[5] = "TOKEN=other"
	why, text = e.build(secret...)
	require.Equal(t, []string{`[stage-0 3/3] RUN --mount=type=secret,id=t ["/bin/busybox", "true"]: variable TOKEN has another value`}, why.said())
	require.NotContains(t, text, "other\n")

	// A build that fails is not the last build.
	e.replace("Dockerfile", "\"true\"", "\"false\"")
	out, err = e.command(slices.Concat([]string{"build", "--explain"}, e.args, secret, []string{e.context})...).CombinedOutput()
	require.Error(t, err, "%s", out)
	e.replace("Dockerfile", "\"false\"", "\"true\"")
	why, _ = e.build(secret...)
	require.Empty(t, why.said())

	require.NoError(t, os.WriteFile(records[0], []byte("{\x1b[2J"), 0o600))
	why, text = e.build(secret...)
	require.Len(t, why.Notes, 1)
	require.Contains(t, why.Notes[0], "What is remembered of the last build can't be read, and is forgotten")
	require.NotContains(t, text, "\x1b[2J")
	why, _ = e.build(secret...)
	require.Empty(t, why.said())

	// Builds at the same time leave a record that is whole.
	var both sync.WaitGroup
	for range 3 {
		both.Go(func() {
			if out, err := e.command(slices.Concat([]string{"build"}, e.args, secret, []string{e.context})...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	both.Wait()
	why, _ = e.build(secret...)
	require.Empty(t, why.said())

	// A folder that can't be written to is no reason to fail either.
	require.NoError(t, os.RemoveAll(filepath.Join(e.state, "last-builds")))
	require.NoError(t, os.WriteFile(filepath.Join(e.state, "last-builds"), nil, 0o600))
	why, _ = e.build(secret...)
	require.Contains(t, strings.Join(why.Notes, " "), "This build can't be remembered")
}

// Files without instructions, and those that name docker/dockerfile, are explained, too.
func TestExplainKindsOfFiles(t *testing.T) {
	e := newExplained(t, "")
	e.args = []string{"--builder", "embedded", "--state", e.state}
	for name, tt := range map[string]struct{ file, edit, want string }{
		"no instructions": {"# syntax=ghcr.io/larder-build/larder:1\n", "cmd/one/main.go", "cmd/one/main.go changed (package example.com/app/cmd/one)"},
		"docker's":        {"# syntax=docker/dockerfile:1\nFROM scratch\nCOPY . /\n", "README.md", "README.md changed"},
		"without syntax":  {"FROM scratch\nCOPY README.md /\n", "README.md", "README.md changed"},
		"a context":       {"FROM scratch\nCOPY --from=more x /\n", "more/x", "something changed in the named context more, of which Larder remembers no files, or the builder's cache has it no longer"},
	} {
		t.Run(name, func(t *testing.T) {
			e.write("Dockerfile", tt.file)
			e.write("more/x", "x")
			args := []string{"--build-context", "more=" + filepath.Join(e.context, "more"), "--target", "one"}
			if !strings.HasPrefix(name, "no inst") {
				args = args[:2]
			}
			e.build(args...)
			data, err := os.ReadFile(filepath.Join(e.context, tt.edit))
			require.NoError(t, err)
			e.write(tt.edit, strings.Replace(string(data)+"\n", "\"one\"", "\""+name+"\"", 1))
			why, _ := e.build(args...)
			require.NotEmpty(t, why.Steps)
			require.Contains(t, why.Steps[0].Why, tt.want, "%v", why)
		})
	}
	for _, args := range [][]string{{"--call", "check", e.context}, {"https://git.example/app.git"}} {
		out, err := e.command(append([]string{"build", "--explain"}, args...)...).CombinedOutput()
		require.Error(t, err)
		require.Contains(t, string(out), "--explain: what is built is compared with")
	}
}
