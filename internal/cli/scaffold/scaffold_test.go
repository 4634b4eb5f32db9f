package scaffold

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func tree(archive string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		files[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	return files
}

// TestNew compares what is written for each tree of testdata with a golden file.
func TestNew(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, archive := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(archive), ".txtar"), func(t *testing.T) {
			data, err := os.ReadFile(archive)
			require.NoError(t, err)
			files := tree(string(data))
			result, err := New(files, Options{Name: "folder"})
			require.NoError(t, err)
			out := &txtar.Archive{Comment: []byte(strings.Join(append(result.Notes, ""), "\n"))}
			for _, f := range result.Files {
				out.Files = append(out.Files, txtar.File{Name: f.Name, Data: []byte(f.Text)})
				files[f.Name] = &fstest.MapFile{Data: []byte(f.Text)}
			}
			golden, got := strings.TrimSuffix(archive, ".txtar")+".golden", txtar.Format(out)
			if *update {
				require.NoError(t, os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("files differ (-want +got):\n%s\nrun 'go test -update' if that is right", diff)
			}
			// What is written changes nothing of what is written next.
			again, err := New(files, Options{Name: "folder"})
			require.NoError(t, err)
			require.Equal(t, result.Files, again.Files)
		})
	}
}

const library = "-- go.mod --\nmodule example.com/app\n\ngo 1.26\n"
const program = library + "-- main.go --\npackage main\n\nfunc main() {}\n"

func TestErrors(t *testing.T) {
	ko := func(text string) string { return program + "-- .ko.yaml --\n" + text }
	for name, c := range map[string]struct{ tree, want string }{
		"no module":          {"-- main.go --\npackage main\n", "there is no go.mod in this folder, nor in one below it: name the folder of a Go module, or make one with 'go mod init'"},
		"no program":         {library + "-- x.go --\npackage x\n", "there is no main package in this tree"},
		"broken go.mod":      {"-- go.mod --\nmodule example.com/app\nrequires x\n", "go.mod:2: unknown directive: requires"},
		"blank go.mod":       {"-- go.mod --\n\n-- main.go --\npackage main\n\nfunc main() {}\n", "there is no go.mod in this folder, nor in one below it"},
		"no func main":       {library + "-- x.go --\npackage main\n", "there is no main package in this tree"},
		"no module line":     {"-- go.mod --\ngo 1.26\n", "go.mod has no module line"},
		"broken go.work":     {program + "-- go.work --\nuses x\n", "go.work:1: unknown directive: uses"},
		"missing in go.work": {program + "-- go.work --\ngo 1.26\nuse ./x\n", "go.work:2: use ./x: there is no x/go.mod: take the line out with 'go work edit -dropuse=./x', or add the module"},
		"twice in go.work":   {program + "-- go.work --\ngo 1.26\nuse ./cmd\nuse cmd\n-- cmd/go.mod --\nmodule example.com/cmd\n", "go.work:3: use cmd: line 2 uses that folder, too, and go takes none twice: take one of the lines out"},
		"outside go.work":    {program + "-- go.work --\ngo 1.26\nuse ../x\n", "go.work:2: use ../x is outside of the tree: name the folder that holds all modules"},
		"empty go.work":      {program + "-- go.work --\ngo 1.26\n", "go.work uses no module"},

		"yaml":             {ko("defaultFlags: [\n"), ".ko.yaml:1: did not find expected node content"},
		"a list":           {ko("- a\n"), ".ko.yaml:1: .ko.yaml: expected names with values"},
		"base":             {ko("\ndefaultBaseImage: [a]\n"), ".ko.yaml:2: defaultBaseImage: expected a text"},
		"no image":         {ko("defaultBaseImage: \"a b\"\n"), `.ko.yaml:1: defaultBaseImage: "a b": expected the name of an image`},
		"platform":         {ko("defaultPlatforms:\n- linux/a$b\n"), `.ko.yaml:2: defaultPlatforms: "a$b" is an invalid component`},
		"overrides":        {ko("baseImageOverrides: x\n"), ".ko.yaml:1: baseImageOverrides: expected names with values"},
		"builds":           {ko("builds: x\n"), ".ko.yaml:1: builds: expected a list"},
		"flags":            {ko("builds:\n- flags: {a: b}\n"), ".ko.yaml:2: builds[0].flags: expected a list of texts"},
		"a flag":           {ko("builds:\n- flags:\n  - [a]\n"), ".ko.yaml:3: builds[0].flags: expected a text"},
		"env":              {ko("defaultEnv:\n- A=b\n- nonsense\n"), `.ko.yaml:3: env: "nonsense": expected NAME=VALUE`},
		"template":         {ko("defaultLdflags:\n- -X main.v={{if .Env.A}}b{{end}}\n"), ".ko.yaml:2: the template {{if .Env.A}} has no counterpart: use {{.Env.NAME}}, which becomes the build argument NAME"},
		"open template":    {ko("defaultFlags: ['{{.Env.A']\n"), ".ko.yaml:1: \"{{.Env.A\": a {{ has no }}"},
		"two lines":        {ko("defaultFlags: [\"a\\nb\"]\n"), `.ko.yaml:1: "a\nb": expected a text of one line`},
		"capability":       {ko("builds:\n- linux_capabilities: fly=ep\n"), `.ko.yaml:2: linux_capabilities: unknown capability "fly"`},
		"capability flags": {ko("builds:\n- linux_capabilities: [chown=x]\n"), `.ko.yaml:2: linux_capabilities: "chown=x": unknown flag 'x'`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tree(c.tree), Options{})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestLinksAreTold(t *testing.T) {
	files := tree(program)
	files["kodata/HEAD"] = &fstest.MapFile{Data: []byte("../.git/HEAD"), Mode: fs.ModeSymlink}
	result, err := New(files, Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"kodata/HEAD is a symbolic link, and is copied as one: ko copies what it leads to"}, result.Notes)
}

// The attribute is that of setcap(8) and of ko.
func TestFileCapabilities(t *testing.T) {
	for text, want := range map[string]string{
		"net_bind_service=ep":              "0100000200040000000000000000000000000000",
		"CAP_NET_BIND_SERVICE":             "0000000200040000000000000000000000000000",
		"10":                               "0000000200040000000000000000000000000000",
		"bpf,perfmon,net_admin=ep":         "010000020010000000000000c000000000000000",
		"chown+i":                          "0000000200000000010000000000000000000000",
		"chown=p chown-p":                  "",
		"chown,kill=eip kill-ei":           "0100000221000000010000000000000000000000",
		"all=p all-p checkpoint_restore+p": "0000000200000000000000000001000000000000",
	} {
		var items []item
		for _, word := range strings.Fields(text) {
			items = append(items, item{word, 1})
		}
		got, err := fileCapabilities(items)
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
}

func TestPrivate(t *testing.T) {
	const require2 = program + "-- go.mod --\nmodule git.example.com/app\n\nrequire (\n\tgithub.com/acme/lib v1.0.0\n\tgit.example.com/lib v1.0.0\n\tgo.corp/x v1.0.0\n\tlib.corp/x v1.0.0\n)\n"
	for goprivate, want := range map[string]string{
		"":                          "git.example.com,lib.corp",
		"github.com/acme,*.example": "*.example,git.example.com,github.com/acme,lib.corp",
	} {
		s := newSurvey(tree(strings.Replace(require2, "\tgo.corp/x v1.0.0\n", "", 1)))
		require.NoError(t, s.look())
		s.notePrivate(goprivate)
		require.Equal(t, want, s.private)
	}

	// Many projects have a host of their own that is open to all.
	s := newSurvey(tree(program + "-- go.mod --\nmodule go.example.com/app\n\nrequire (\n\tgo.example.com/lib v1.0.0\n\tgo.example.com/other v1.0.0\n)\n"))
	require.NoError(t, s.look())
	s.notePrivate("")
	require.Empty(t, s.private)
	require.Equal(t, []string{"if the modules of go.example.com are private, write these files anew by GOPRIVATE=go.example.com larder init --force"}, s.notes)
}

func TestSetSyntax(t *testing.T) {
	const line = "# syntax=" + Image
	for before, want := range map[string]string{
		"":                                       line + "\n",
		"FROM x\n":                               line + "\nFROM x\n",
		"FROM x\r\nRUN y\r\n":                    line + "\r\nFROM x\r\nRUN y\r\n",
		"# syntax=docker/dockerfile:1\nFROM x\n": line + "\nFROM x\n",
		"#syntax = docker/dockerfile:1\r\nFROM x\r\n":                    "#syntax = " + Image + "\r\nFROM x\r\n",
		"# escape=`\n# syntax=docker/dockerfile-upstream:master\nFROM x": "# escape=`\n" + line + "\nFROM x",
		"# check=skip=all\nFROM x":                                       line + "\n# check=skip=all\nFROM x",
		"\xef\xbb\xbfFROM x\n":                                           "\xef\xbb\xbf" + line + "\nFROM x\n",
		"# syntax=registry.example.com/larder:dev\nFROM x\n":             line + "\nFROM x\n",
	} {
		got, err := SetSyntax([]byte(before))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		again, err := SetSyntax(got)
		require.NoError(t, err)
		require.Equal(t, want, string(again))
		require.True(t, IsGoDockerfile(got))
	}
	_, err := SetSyntax([]byte(`{"syntax": "docker/dockerfile:1"}`))
	require.ErrorContains(t, err, "Dockerfile:1: the frontend docker/dockerfile:1 is named in JSON")
	_, err = SetSyntax([]byte("# escape=`\n# syntax=docker.io/acme/mopy:1\nFROM x\n"))
	require.EqualError(t, err, "Dockerfile:2: the frontend docker.io/acme/mopy:1 isn't docker/dockerfile: if what it reads is a Dockerfile all the same, change the line by hand")
}

// FuzzKo wants a .ko.yaml to be read or refused, with its line, and what is made of it to be of whole lines.
func FuzzKo(f *testing.F) {
	archives, err := fs.Glob(os.DirFS("testdata"), "*.txtar")
	require.NoError(f, err)
	for _, archive := range archives {
		data, err := os.ReadFile(filepath.Join("testdata", archive))
		require.NoError(f, err)
		if ko, ok := tree(string(data))[koFile]; ok {
			f.Add(string(ko.Data))
		}
	}
	f.Add("builds:\n- &a\n  flags: *a\n")
	f.Add("defaultLdflags: ['{{.Env.A}}{{.Git.Tag}}']\ndefaultEnv: ['A=$B\"\\']\n")
	f.Fuzz(func(t *testing.T, text string) {
		files := tree(program)
		files[koFile] = &fstest.MapFile{Data: []byte(text)}
		result, err := New(files, Options{})
		if err != nil {
			require.Regexp(t, `^\.ko\.yaml:\d+: `, err.Error())
			return
		}
		for line := range strings.Lines(result.Files[0].Text) {
			require.Regexp(t, `^(#|FROM |ARG |ENV |GO |COPY |EXPOSE |ENTRYPOINT |\n|package|import|\)|\(|\t|func|}|EOF)`, line)
		}
	})
}

// FuzzSetSyntax wants the first line alone to change.
func FuzzSetSyntax(f *testing.F) {
	for _, text := range []string{"FROM x\n", "# syntax=docker/dockerfile:1\nFROM x\n", "// syntax=docker/dockerfile:1\n", `{"syntax": "docker/dockerfile:1"}`, "#!/bin/sh\n# syntax=docker/dockerfile\n", "\xef\xbb\xbf# syntax=docker/dockerfile\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := SetSyntax(data)
		if err != nil {
			require.Regexp(t, `isn't docker/dockerfile|in JSON`, err.Error())
			return
		}
		again, err := SetSyntax(got)
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}
